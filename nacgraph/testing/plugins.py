"""Checks of priors and tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import networkx as nx
import torch
from torch import Tensor

from nacgraph.priors.check import target_problems

if TYPE_CHECKING:
    from nacgraph.priors import GraphPrior
    from nacgraph.tasks import Batch, Task

SAMPLES = 16
STEPS = 3  # training steps that are looked at
ALIKE = 1e-4  # of float32 results that may differ by rounding


def assert_prior(prior: GraphPrior, sizes: Sequence[int] = (1, 2, 7, 16, 33)) -> None:
    """Check that a prior keeps its promises at these numbers of modules.

    The target is symmetric, within [0, 1], 1 on the diagonal and the same at every call; a
    sample is a simple graph on 0..n-1, fixed by its seed, with no link where the target is 0,
    every link where it is 1, and about as many links as the target expects.

    Raises:
        AssertionError: Saying what was expected and what was got.
    """
    for n in sizes:
        where = f"{type(prior).__name__}, n = {n}"
        target = prior.edge_probabilities(n)
        for problem in target_problems(target, n):
            raise AssertionError(f"{where}: edge_probabilities: {problem}")
        _want(
            torch.equal(target, prior.edge_probabilities(n)),
            f"{where}: edge_probabilities: expected the same matrix at every call, got another",
        )
        _check_samples(prior, target, where)
        label = prior.communities(n)
        if label is not None:
            _want(
                label.shape == (n,) and not label.is_floating_point(),
                f"{where}: communities: expected {n} whole numbers or None, "
                f"got {label.dtype} of shape {tuple(label.shape)}",
            )
    _want(
        isinstance(prior.parameters(), dict),
        f"{type(prior).__name__}: parameters: expected a dict, got {prior.parameters()!r}",
    )


def _check_samples(prior: GraphPrior, target: Tensor, where: str) -> None:
    n = len(target)
    links = 0
    for seed in range(SAMPLES):
        graph = prior.sample(n, seed)
        _want(
            type(graph) is nx.Graph,
            f"{where}: sample: expected a networkx.Graph, got {type(graph).__name__}",
        )
        _want(
            set(graph) == set(range(n)),
            f"{where}: sample: expected the nodes 0..{n - 1}, got {sorted(graph, key=str)[:8]}…",
        )
        _want(
            nx.number_of_selfloops(graph) == 0, f"{where}: sample: expected no self-loops, got one"
        )
        if seed == 0:
            again = prior.sample(n, seed)
            _want(
                nx.utils.graphs_equal(graph, again),
                f"{where}: sample: expected one graph per seed, got two for seed 0",
            )
        drawn = torch.from_numpy(nx.to_numpy_array(graph, range(n), weight=None)).fill_diagonal_(1)
        wrong = ((target == 0) & (drawn > 0)) | ((target == 1) & (drawn == 0))
        if bool(wrong.any()):
            i, j = torch.nonzero(wrong)[0].tolist()
            raise AssertionError(
                f"{where}: sample: a link ({i}, {j}) has probability {target[i, j]:g}, "
                f"but was {'' if drawn[i, j] else 'not '}drawn"
            )
        links += graph.number_of_edges()
    upper = target.triu(1)
    expected, mean = upper.sum().item(), links / SAMPLES
    spread = ((upper * (1 - upper)).sum().item() / SAMPLES) ** 0.5
    # Links may depend on each other, so this only catches another density altogether.
    _want(
        abs(mean - expected) <= 2 + 0.15 * expected + 6 * spread,
        f"{where}: sample: expected about {expected:.1f} links on average, got {mean:.1f}",
    )


def assert_task(task: Task, dim: int = 16) -> None:
    """Check that a task keeps its promises.

    Batches are well formed and a function of seed and step alone, ranks share them out, each
    sample is evaluated exactly once, tokenizer and conditioner take their weights from their seed
    and let no sample see another, and gradients arrive.

    Args:
        task: The task; it needs splits "val" and "test".
        dim: Width of the tokens that are asked for.

    Raises:
        AssertionError: Saying what was expected and what was got.
    """
    where = type(task).__name__
    count = task.num_classes
    _want(
        isinstance(count, int) and count > 0, f"{where}: num_classes: expected >= 1, got {count!r}"
    )
    names = task.classes
    _want(
        names is None or len(names) == count,
        f"{where}: classes: expected {count} names or None, got {len(names or ())}",
    )
    for step in range(STEPS):
        batch = task.train_batch(step)
        _check_batch(batch, count, f"{where}: train_batch({step})")
        _want(
            _same(batch, task.train_batch(step)),
            f"{where}: train_batch({step}): expected the same batch at every call, got another",
        )
        if len(batch) % 2 == 0:
            halves = [task.train_batch(step, rank, 2).index for rank in (0, 1)]
            _want(
                torch.equal(torch.cat(halves).sort().values, batch.index.sort().values),
                f"{where}: train_batch({step}): expected ranks to share its samples out, got "
                "others",
            )
    for split in ("val", "test"):
        _check_split(task, split, count, where)
        share = task.baselines(split).get("majority_accuracy", -1.0)
        _want(0 <= share <= 1, f"{where}: baselines: expected majority_accuracy, got {share}")
    _want(
        "\n" not in task.describe().strip() and bool(task.describe().strip()),
        f"{where}: describe: expected one line, got {task.describe()!r}",
    )
    batch = task.train_batch(0)
    made = task.dummy_batch(2, 8, torch.Generator().manual_seed(0))
    _check_tokens(task.tokenizer, batch, dim, f"{where}: tokenizer")
    tokenizer = task.tokenizer(dim, 0)
    most = task.max_tokens(tokenizer)
    for given in (batch, made):
        found = tokenizer(given)[1].shape[1]
        _want(
            most is None or found <= most,
            f"{where}: max_tokens: expected at least the {found} tokens of a sample, got {most}",
        )
    if task.conditioner(dim, 0) is not None:
        _check_tokens(task.conditioner, batch, dim, f"{where}: conditioner")
    logits = torch.zeros(len(batch), count, requires_grad=True)
    loss = task.loss(logits, batch)
    _want(
        loss.dim() == 0 and bool(torch.isfinite(loss)) and loss.requires_grad,
        f"{where}: loss: expected one finite number with a gradient, got {loss}",
    )


def _check_batch(batch: Batch, classes: int, where: str) -> None:
    n = len(batch)
    shapes = {name: getattr(batch, name) for name in ("inputs", "mask", "labels", "index")}
    for name, tensor in shapes.items():
        _want(len(tensor) == n, f"{where}: {name}: expected {n} rows, got {len(tensor)}")
    _want(batch.mask.dtype == torch.bool, f"{where}: mask: expected bool, got {batch.mask.dtype}")
    _want(
        batch.labels.dtype == torch.int64
        and bool(((batch.labels >= 0) & (batch.labels < classes)).all()),
        f"{where}: labels: expected int64 from 0 to {classes - 1}, got {batch.labels}",
    )
    if batch.inputs.is_floating_point():
        _want(bool(torch.isfinite(batch.inputs).all()), f"{where}: inputs: expected finite numbers")
    if batch.targets is not None:
        total = batch.targets.sum(-1)
        _want(
            torch.allclose(total, torch.ones_like(total), atol=ALIKE),
            f"{where}: targets: expected shares that sum to 1, got {total}",
        )


def _check_split(task: Task, split: str, classes: int, where: str) -> None:
    seen = []
    for rank in (0, 1):
        for batch in task.eval_batches(split, rank, 2):
            _check_batch(batch, classes, f"{where}: eval_batches({split!r})")
            seen.extend(batch.index.tolist())
    whole = sorted(i for batch in task.eval_batches(split) for i in batch.index.tolist())
    _want(bool(whole), f"{where}: eval_batches({split!r}): expected samples, got none")
    _want(
        sorted(seen) == whole and len(set(whole)) == len(whole),
        f"{where}: eval_batches({split!r}): expected every sample exactly once over two ranks",
    )
    few = [i for batch in task.eval_batches(split, limit=1) for i in batch.index.tolist()]
    _want(len(few) == 1, f"{where}: eval_batches({split!r}, limit=1): expected one, got {len(few)}")


def _check_tokens(make: Callable[..., Any], batch: Batch, dim: int, where: str) -> None:
    before = torch.random.get_rng_state()
    module, again = make(dim, 1), make(dim, 1)
    _want(
        torch.equal(before, torch.random.get_rng_state()),
        f"{where}: expected weights from the seed alone, but the global generator was used",
    )
    mine, other = module.state_dict(), again.state_dict()
    _want(
        all(torch.equal(mine[name], other[name]) for name in mine),
        f"{where}: expected the same weights for the same seed, got others",
    )
    tokens, mask = module(batch)
    n = len(batch)
    _want(
        tokens.dim() == 3 and len(tokens) == n and tokens.shape[-1] == dim,
        f"{where}: expected tokens ({n}, T, {dim}), got {tuple(tokens.shape)}",
    )
    _want(
        mask.dtype == torch.bool and mask.shape == tokens.shape[:2],
        f"{where}: expected a bool mask {tuple(tokens.shape[:2])}, got {mask.dtype} of shape "
        f"{tuple(mask.shape)}",
    )
    _want(bool(mask.any(-1).all()), f"{where}: expected a real token in every sample, got none")
    _want(bool(torch.isfinite(tokens[mask]).all()), f"{where}: expected finite tokens")
    for row in range(min(n, 3)):
        alone, real = module(batch.rows(slice(row, row + 1)))
        _want(
            torch.allclose(alone[real], tokens[row][mask[row]], rtol=ALIKE, atol=ALIKE),
            f"{where}: expected sample {row} to be the same alone as in a batch, got other tokens",
        )
    if tokens.requires_grad:
        tokens[mask].square().sum().backward()
        still = [
            name for name, p in module.named_parameters() if p.requires_grad and p.grad is None
        ]
        _want(not still, f"{where}: expected a gradient for every parameter, got none for {still}")


def _same(one: Batch, other: Batch) -> bool:
    return torch.equal(one.inputs, other.inputs) and torch.equal(one.index, other.index)


def _want(held: bool, message: str) -> None:
    if not held:
        raise AssertionError(message)
