"""Fine-tuning on the support samples of an episode, and answering its queries."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nacgraph.models.nac import NAC
from nacgraph.models.transformer import Model
from nacgraph.tasks import Batch
from nacgraph.training.optim import clip_gradients, learning_rate, make_optimizer

PARTS = ("codes", "signatures", "head", "all")
CLIP = 1.0  # largest gradient norm
AT_ONCE = 64  # queries answered at once

Tokens = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Recipe:
    """How a model is fine-tuned.

    Attributes:
        parts: What learns beside the new head; some of :data:`PARTS`.
        steps: Steps of AdamW, without weight decay.
        rate: Learning rate at the start; then a cosine down to 1 %. See :func:`usual_rate`.
        signature_rate: Factor of the rate for signatures, of which only directions count.
        batch_size: Support samples a step, at most.
        precision: Precision of the forward pass, "32" or "bf16-mixed".
        seed: Seed of the order of samples.
    """

    parts: tuple[str, ...] = ("all",)
    steps: int = 50
    rate: float = 1e-3
    signature_rate: float = 1.0
    batch_size: int = 8
    precision: str = "32"
    seed: int = 0


def usual_rate(parts: tuple[str, ...]) -> float:
    """A learning rate that suits what learns: low for all weights, higher for a few.

    Measured on held-out Fashion-MNIST classes: with all, 0.001 beats 0.0003 and 0.003; with head
    or codes alone 0.05 beats 0.01 and 0.001.
    """
    return 1e-3 if "all" in parts else 3e-2


def parts_of(text: str) -> tuple[str, ...]:
    """``"signatures,codes"`` → ("codes", "signatures"), in the order of :data:`PARTS`.

    Raises:
        ValueError: If one is unknown, or there is none.
    """
    names = [part.strip() for part in text.split(",")]
    if unknown := [part for part in names if part not in PARTS]:
        raise ValueError(f"adapt: expected some of {', '.join(PARTS)}, got {', '.join(unknown)!r}")
    return tuple(part for part in PARTS if part in names)


def above_head(model: Model) -> tuple[str, Any]:
    """The part of a model whose ``head`` makes the logits: its name with a dot, and itself."""
    if isinstance(model, NAC):
        return "circuit.read_out.", model.circuit.read_out
    return "", model


def learning(model: Model, parts: tuple[str, ...]) -> dict[str, nn.Parameter]:
    """The parameters that learn beside the new head, by name.

    What pre-training could not change, such as the signatures of a complete graph, does not learn
    here either.

    Raises:
        ValueError: If codes or signatures are to learn but every sample has its own, or the model
            has no circuit.
    """
    wanted = [part for part in parts if part in ("codes", "signatures")]
    circuit = model.config if isinstance(model, NAC) else None
    if circuit is None and wanted:
        raise ValueError(
            f"adapt: expected head or all for a model without a circuit, got {', '.join(wanted)}"
        )
    if circuit is not None and circuit.condition != "none" and wanted:
        raise ValueError(
            f"adapt: expected head or all for a conditional circuit, whose {' and '.join(wanted)} "
            f"are made from each sample, got {', '.join(wanted)}"
        )
    head = above_head(model)[0] + "head."

    def learns(name: str) -> bool:
        if name.startswith(head):
            return False
        if "signatures" in name and circuit is not None and circuit.eval_mode == "threshold":
            return False  # a link that is there or not passes no gradient on
        return "all" in parts or any(
            name == f"generator.{role}_{part}"
            for role in ("processor", "readout")
            for part in parts
        )

    return {n: p for n, p in model.named_parameters() if p.requires_grad and learns(n)}


def adapt(model: Model, support: Batch, ways: int, recipe: Recipe, episode: int = 0) -> Model:
    r"""A copy of ``model`` with a new head for ``ways`` classes, fine-tuned on ``support``.

    The head starts at zero: before the first step all classes are equally likely. Graphs are those
    of evaluation. Only the order of samples is random; seed, episode and number of samples decide
    it.

    Args:
        model: Left as it is.
        support: Samples with labels from 0 to ``ways - 1``.
        ways: Number of classes.
        recipe: What learns, and how.
        episode: Number of the episode.

    Raises:
        ValueError: As :func:`learning`.

    Source: Neural Attentive Circuits (NeurIPS 2022), low-shot adaptation.
    """
    chosen = learning(model, recipe.parts)
    tuned = copy.deepcopy(model).eval()
    where, above = above_head(tuned)
    above.head = head = nn.utils.skip_init(nn.Linear, above.head.in_features, ways)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    for name, p in tuned.named_parameters():
        p.requires_grad_(name in chosen or name.startswith(where + "head."))
    learners = [p for p in tuned.parameters() if p.requires_grad]
    answer = _answerer(tuned, support, recipe, whole=bool(chosen))
    optimizer = make_optimizer(tuned, recipe.rate, 0.0, recipe.signature_rate)
    order = np.random.default_rng((recipe.seed, episode, len(support)))
    queue = np.zeros(0, np.int64)
    size = min(recipe.batch_size, len(support))
    for step in range(recipe.steps):
        while len(queue) < size:
            queue = np.concatenate([queue, order.permutation(len(support))])
        rows, queue = torch.from_numpy(queue[:size]), queue[size:]
        rate = learning_rate(step, recipe.rate, 0, recipe.steps)
        for group in optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        loss = F.cross_entropy(answer(rows), support.labels[rows])
        optimizer.zero_grad()
        loss.backward()
        clip_gradients(learners, CLIP)
        optimizer.step()
    return tuned


def _answerer(
    tuned: Model, support: Batch, recipe: Recipe, whole: bool
) -> Callable[[Tensor], Tensor]:
    """A function from rows of the support to their logits; what does not learn is computed once."""
    above = above_head(tuned)[1]
    head = above.head
    if not whole:
        # The head is linear and confidences sum to one, so it can come after the vote.
        above.head = nn.Identity()
        with torch.no_grad():
            features = answered(tuned, support, recipe.precision)
        above.head = head
        return lambda rows: head(features[rows])
    tokens: Tokens | None = None
    if not any(p.requires_grad for p in tuned.tokenizer.parameters()):
        with torch.no_grad():
            tokens = tuned.tokenizer(support)
    return lambda rows: _logits(tuned, support.rows(rows), recipe.precision, _rows(tokens, rows))


def _rows(tokens: Tokens | None, rows: Tensor) -> Tokens | None:
    return None if tokens is None else (tokens[0][rows], tokens[1][rows])


def _logits(model: Model, batch: Batch, precision: str, made: Tokens | None = None) -> Tensor:
    """Logits as in evaluation, with gradients."""
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
        tokens, mask = model.tokenizer(batch) if made is None else made
        if not isinstance(model, NAC):
            return model.answer(tokens, mask).logits.float()
        design = model.design(batch, tokens, mask)
        noise = torch.Generator().manual_seed(model.seed)
        out = model.circuit(tokens, design, mask, noise, model.config.eval_mode)
    return out.logits.float()


@torch.no_grad()
def answered(model: Model, batch: Batch, precision: str = "32") -> Tensor:
    """Logits (B, C) of a batch of any size, :data:`AT_ONCE` samples at a time."""
    starts = range(0, len(batch), AT_ONCE)
    return torch.cat([_logits(model, batch.rows(slice(k, k + AT_ONCE)), precision) for k in starts])
