"""What a finished run leaves behind: its circuit as arrays, and versions of packages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from nacgraph.graph.forms import isolated, mean_degree
from nacgraph.models.nac import NAC

if TYPE_CHECKING:
    from nacgraph.priors import MatchedLoss
    from nacgraph.tasks import Task


@torch.no_grad()
def circuit(
    model: NAC, task: Task, device: torch.device | str, prior_loss: MatchedLoss | None
) -> tuple[dict[str, np.ndarray], dict[str, float | None]]:
    """The circuit as arrays (signatures, codes, P), and what the summary says of it."""
    model = model.eval()
    batch = next(iter(task.eval_batches("val", limit=1))).to(device)
    design = model.design(batch, *model.tokenizer(batch))
    out = model(batch)
    arrays = {
        "processor_signatures": design.processor_signatures,
        "processor_codes": design.processor_codes,
        "readout_signatures": design.readout_signatures,
        "readout_codes": design.readout_codes,
        "link_probabilities": out.link,
        "readout_link_probabilities": out.readout_graph.probability,
    }
    numbers: dict[str, float | None] = {
        "prior_loss": None,
        "mean_degree": mean_degree(out.link),
        "isolated": isolated(out.graph),
    }
    if prior_loss is not None:
        numbers["prior_loss"] = float(prior_loss(out.link.float(), 0))
    return {name: t.float().cpu().numpy() for name, t in arrays.items()}, numbers


def versions() -> dict[str, str]:
    """Versions of what decides the numbers."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    from nacgraph import __version__

    found = {"nacgraph": __version__, "python": platform.python_version()}
    for name in ("torch", "torch_geometric", "pytorch_lightning", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found
