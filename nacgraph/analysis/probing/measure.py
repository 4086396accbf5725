"""The measuring: run a trained circuit on samples, watch it read, remove its modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nacgraph.analysis.probing.reading import ReadingSums, watched
from nacgraph.analysis.probing.removal import affordable, check_shared, lesions
from nacgraph.analysis.probing.results import Probe
from nacgraph.analysis.probing.roles import role
from nacgraph.analysis.probing.sensitivity import contribution, sensitivities
from nacgraph.analysis.probing.similarity import correlations, cosines
from nacgraph.graph.kernel import SAMPLED
from nacgraph.models.nac import NAC
from nacgraph.tasks import Batch, Task

TIE = 1e-9  # confidences nearer than this are equal


def probe(
    model: NAC,
    task: Task,
    *,
    split: str = "val",
    samples: int = 128,
    lesion_samples: int | None = None,
    seed: int = 0,
    progress: Callable[[str, float], None] | None = None,
) -> Probe:
    """What each module of ``model`` does on the first samples of a split.

    The circuit runs in its ``eval_mode``, or in mode ``expected`` if that one draws noise.

    Args:
        model: A trained model; it is left as it was.
        task: Its task.
        split: "val" or "test".
        samples: Samples for attention, confidence and the gradients behind contributions.
        lesion_samples: Samples on which every module is removed once; 0 removes none, None takes
            as many as :func:`nacgraph.analysis.probing.removal.affordable` says, up to ``samples``.
        seed: Seed of the relabellings that test the correlation of codes and links.
        progress: Called with ("reading", "gradients" or "lesions", share done).

    Raises:
        ValueError: If a number is out of range, the split is empty, or the design is conditional.
    """
    if samples < 1:
        raise ValueError(f"samples: expected at least 1, got {samples}")
    if lesion_samples is not None and lesion_samples < 0:
        raise ValueError(f"lesion_samples: expected at least 0 or None, got {lesion_samples}")
    mode = "expected" if model.config.eval_mode in SAMPLED else model.config.eval_mode
    batches = list(task.eval_batches(split, limit=samples))
    total = sum(map(len, batches))
    if total == 0:
        raise ValueError(f"split {split!r} holds no samples")
    if lesion_samples is None:
        longest = max(batch.mask.shape[1] for batch in batches)
        lesion_samples = min(samples, affordable(model, longest))
    reasons: dict[str, str] = {}
    if total < 2:
        reasons["confidence_sd"] = "a single sample has no standard deviation"
    with _evaluating(model):
        found = _read(model, task, batches, mode, seed, reasons, progress)
        removed = _remove(model, task, split, batches, mode, lesion_samples, reasons, progress)
    return Probe(split=split, samples=total, mode=mode, reasons=reasons, **found, **removed)


def _read(
    model: NAC,
    task: Task,
    batches: list[Batch],
    mode: str,
    seed: int,
    reasons: dict[str, str],
    progress: Callable[[str, float], None] | None,
) -> dict[str, Any]:
    """All of a probe but the lesions."""
    device = next(model.parameters()).device
    kinds = [task.token_kinds(batch) for batch in batches]
    known = [ids for ids in kinds if ids is not None]
    count = 1 + max((int(ids.max()) for ids in known), default=-1)
    sums = ReadingSums(model.config.modules, count)
    confidence = []
    with torch.no_grad():
        for number, (batch, ids) in enumerate(zip(batches, kinds, strict=True)):
            batch = batch.to(device)
            tokens, mask = model.tokenizer(batch)
            design = model.design(batch, tokens, mask)
            check_shared(design)
            prepared = model.circuit.prepare(design, mode)
            out, calls = watched(model.circuit, prepared, tokens, mask)
            if count and (ids is None or ids.shape != tokens.shape[:2]):
                count = sums.kinds = 0
            sums.add(calls, None if ids is None else ids.to(device))
            confidence.append(out.confidence.double().cpu())
            _tell(progress, "reading", (number + 1) / len(batches))
        link, readout_link = design.links(model.circuit.kernel.bandwidth)
    found = _reading_results(sums, task, reasons)
    vote = torch.cat(confidence)
    tie = (vote >= vote.max(-1, keepdim=True).values - TIE).double()
    p, r = _array(link), _array(readout_link)
    np.fill_diagonal(p, 1.0)
    mean = _array(vote.mean(0))
    similarity = cosines(_array(design.processor_codes))
    return {
        **found,
        "link": p,
        "code_similarity": similarity,
        "similarity_link": correlations(similarity, p, seed),
        "confidence": mean,
        "confidence_sd": _array(vote.std(0)) if len(vote) > 1 else None,
        "confidence_largest": _array((tie / tie.sum(-1, keepdim=True)).mean(0)),
        "readout_degree": r.sum(1),
        "voice": mean @ r,
    }


def _reading_results(sums: ReadingSums, task: Task, reasons: dict[str, str]) -> dict[str, Any]:
    """Means from sums; kinds that do not occur are left out."""
    n = max(1, sums.samples)
    entropy, position = (_array(torch.stack(s)) / n for s in (sums.entropy, sums.position))
    found: dict[str, Any] = dict.fromkeys(
        ("token_names", "token_share", "token_attention", "reading_attention", "role")
    )
    found |= {
        "reading_entropy": entropy,
        "entropy": entropy.mean(0),
        "relative_entropy": None,
        "reading_position": position,
        "position": position.mean(0),
    }
    if sums.longer:
        found["relative_entropy"] = _array(torch.stack(sums.relative)).mean(0) / sums.longer
    else:
        reasons["relative_entropy"] = "no sample has more than one token"
    if not sums.kinds:
        reason = "the task's tokens have no kinds"
        reasons |= dict.fromkeys(
            (*[k for k in found if k.startswith("token")], "reading_attention", "role"), reason
        )
        return found
    share = _array(sums.share) / n
    present = np.flatnonzero(share)
    names = task.token_names
    shown = tuple(names[k] if names and k < len(names) else str(k) for k in present)
    attention = _array(torch.stack(sums.attention))[..., present] / n
    share, mean = share[present], attention.mean(0)
    found |= {
        "token_names": shown,
        "token_share": share,
        "token_attention": mean,
        "reading_attention": attention,
    }
    groups = {
        group: [place for place, name in enumerate(shown) if name in members]
        for group, members in task.token_groups.items()
    }
    if groups:
        found["role"] = tuple(role(each, share, groups) for each in mean)
    else:
        reasons["role"] = "the task names no groups of tokens"
    return found


def _remove(
    model: NAC,
    task: Task,
    split: str,
    batches: list[Batch],
    mode: str,
    samples: int,
    reasons: dict[str, str],
    progress: Callable[[str, float], None] | None,
) -> dict[str, Any]:
    """The lesions of a probe, and contributions."""
    names = ("accuracy_lost", "accuracy_lost_se", "loss_gained", "loss_gained_se")
    found: dict[str, Any] = dict.fromkeys((*names, "accuracy", "loss"))
    first_order = sensitivities(model, task, batches, mode, partial(_tell, progress, "gradients"))
    alone = model.config.modules < 2
    if not samples or alone:
        reason = "the only module cannot be removed" if alone else "no modules were removed"
        reasons |= dict.fromkeys(found, reason)
        found["contribution"], found["contribution_se"] = contribution(first_order, None)
        if found["contribution_se"] is None:
            reasons["contribution_se"] = "a single sample has no standard error"
        return {**found, "lesion_samples": 0}
    chosen = list(task.eval_batches(split, limit=samples))
    result = lesions(model, task, chosen, mode, partial(_tell, progress, "lesions"))
    found["contribution"], found["contribution_se"] = contribution(first_order, result)
    found["accuracy_lost"], found["accuracy_lost_se"] = result.accuracy_lost()
    found["loss_gained"], found["loss_gained_se"] = result.loss_gained()
    for name in ("accuracy_lost_se", "loss_gained_se", "contribution_se"):
        if found[name] is None:
            reasons[name] = "a single sample has no standard error"
    found["accuracy"], found["loss"] = float(result.correct.mean()), float(result.loss.mean())
    return {**found, "lesion_samples": len(result.loss)}


def _tell(progress: Callable[[str, float], None] | None, stage: str, share: float) -> None:
    if progress is not None:
        progress(stage, share)


@contextmanager
def _evaluating(model: NAC) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().cpu().numpy()
