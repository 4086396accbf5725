"""Checks of the parts of a circuit: propagators, read-ins, circuit generators."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from nacgraph.graph.design import CircuitDesign
from nacgraph.graph.forms import BiasGraph, Graph, SampledGraph
from nacgraph.nn.gates import Gates, select_modules
from nacgraph.nn.generator_base import BaseGenerator
from nacgraph.nn.propagators import BasePropagator
from nacgraph.nn.read_in import BaseReadIn

MODULES, BATCH, TOKENS = 6, 3, 5
ORDER = torch.tensor([4, 0, 5, 2, 1, 3])
CLOSE = 1e-9  # of float64 results that may differ by rounding


def assert_propagator(propagator: BasePropagator, dim: int, code_dim: int) -> None:
    """Check that a propagator keeps the promises that a circuit relies on.

    Shapes and finite numbers, also for a module without senders; renumbering modules renumbers the
    result; samples do not see one another, under one graph and under one each; a module without a
    path to another does not change it; prepared gates are those of the codes, module by module;
    dense and sparse forms of a graph give the same; gradients reach states, codes, edge weights
    and every parameter, and are those of finite differences.

    Args:
        propagator: It is brought to float64 and evaluation mode, and left so.
        dim: Width D of its states.
        code_dim: Width K of its codes.

    Raises:
        AssertionError: Saying what was expected and what was got.
    """
    propagator.double().eval()
    name, draw = type(propagator).__name__, torch.Generator().manual_seed(0)
    states = _normal(draw, BATCH, MODULES, dim)
    codes = _normal(draw, MODULES, code_dim)
    graph = _ring(draw)

    def run(x: Tensor, c: Tensor, g: Graph | BiasGraph) -> Tensor:
        return propagator(x, c, g, propagator.modulations(c))

    out = run(states, codes, graph)
    _same_shape(f"{name}: new states", out, states)
    _finite(f"{name}: new states", out)
    _equal(f"{name}: without prepared gates", propagator(states, codes, graph), out)

    moved = run(states[:, ORDER], codes[ORDER], _select(graph, ORDER))
    _equal(f"{name}: modules in another order", moved, out[:, ORDER])

    each = _stack([_ring(draw) for _ in range(BATCH)])
    own_codes = _normal(draw, BATCH, MODULES, code_dim)
    together = run(states, own_codes, each)
    for row in range(BATCH):
        one, of = slice(row, row + 1), _stack([_part(each, row)])
        _equal(f"{name}: sample {row} alone", run(states[one], codes, graph), out[one])
        alone = run(states[one], own_codes[one], of)
        _equal(f"{name}: sample {row} alone, its own graph", alone, together[one])

    empty = SampledGraph(
        graph.probability, graph.log_weight, torch.zeros_like(graph.mask, dtype=torch.bool)
    )
    lonely = run(states, codes, empty)
    _finite(f"{name}: states of modules without senders", lonely)
    other = states.clone()
    other[:, 0] += 1.0
    changed = run(other, codes, empty)
    _equal(f"{name}: modules without links to module 0", changed[:, 1:], lonely[:, 1:])

    gates, some = propagator.modulations(codes), torch.tensor([3, 1])
    _same_gates(name, select_modules(gates, some), propagator.modulations(codes[some]))
    bias = BiasGraph.of(graph, torch.float64)
    _equal(f"{name}: the graph as a bias", run(states, codes, bias), out)
    _equal(f"{name}: the graph as edges", run(states, codes, _sparse(graph)), out)

    def scored(x: Tensor, c: Tensor, w: Tensor) -> Tensor:
        return run(x, c, SampledGraph(graph.probability, w, graph.mask, nonempty=True))

    _gradients(name, propagator, scored, (states[:1], codes, graph.log_weight))


def assert_read_in(read_in: BaseReadIn, dim: int, token_dim: int, code_dim: int) -> None:
    """Check that a read-in keeps the promises that a circuit relies on.

    Shapes and finite numbers, also for a sample without tokens; renumbering modules renumbers the
    result; samples and padding are not seen; states shared by the batch read as copies of them;
    prepared gates are those of the codes, module by module; gradients reach every parameter.

    Raises:
        AssertionError: Saying what was expected and what was got.
    """
    read_in.double().eval()
    name, draw = type(read_in).__name__, torch.Generator().manual_seed(0)
    states, codes = _normal(draw, MODULES, dim), _normal(draw, MODULES, code_dim)
    raw = _normal(draw, BATCH, TOKENS, token_dim)
    mask = torch.arange(TOKENS) < torch.tensor([[TOKENS], [2], [0]])

    def run(x: Tensor, c: Tensor, t: Tensor, m: Tensor | None) -> Tensor:
        return read_in(x, c, read_in.norm_tokens(t), m, read_in.modulations(c))

    out = run(states, codes, raw, mask)
    _same_shape(f"{name}: new states", out, states.expand(BATCH, -1, -1))
    _finite(f"{name}: new states, one sample without tokens", out)
    copies = run(states.expand(BATCH, -1, -1).contiguous(), codes, raw, mask)
    _equal(f"{name}: states of each sample's own", copies, out)
    moved = run(states[ORDER], codes[ORDER], raw, mask)
    _equal(f"{name}: modules in another order", moved, out[:, ORDER])
    padded = raw.masked_fill(~mask.unsqueeze(-1), 7.0)
    _equal(f"{name}: other numbers in the padding", run(states, codes, padded, mask), out)
    for row in range(BATCH):
        one = slice(row, row + 1)
        _equal(f"{name}: sample {row} alone", run(states, codes, raw[one], mask[one]), out[one])
    some = torch.tensor([3, 1])
    gates = select_modules(read_in.modulations(codes), some)
    _same_gates(name, gates, read_in.modulations(codes[some]))
    tokens = read_in.norm_tokens(raw)
    given = states, codes, tokens, mask, read_in.modulations(codes)
    weights = read_in.attention_weights(*given)
    if weights is not None:
        real = mask.any(-1).double()[:, None, None]
        _equal(f"{name}: sums of attention", weights.sum(-1), real.expand(weights.shape[:-1]))
    _gradients(name, read_in, lambda x, c, t: run(x, c, t, None), (states, codes, raw[:1]))


def assert_generator(generator: BaseGenerator, token_dim: int) -> None:
    """Check that a circuit generator keeps the promises that a circuit relies on.

    It gives designs of finite numbers, the same at every call; a sample's design depends on no
    other sample; :meth:`~nacgraph.nn.generator_base.BaseGenerator.select` gives what selecting from
    the whole design gives, and leaves the generator as it was; gradients reach every parameter.

    Args:
        generator: It is brought to float64 and evaluation mode, and left so.
        token_dim: Width of the tokens that it is given.

    Raises:
        AssertionError: Saying what was expected and what was got.
    """
    generator.double().eval()
    name, draw = type(generator).__name__, torch.Generator().manual_seed(0)
    tokens = _normal(draw, BATCH, TOKENS, token_dim)
    mask = torch.arange(TOKENS) < torch.tensor([[TOKENS], [2], [4]])
    design = generator(tokens, mask)
    _want(isinstance(design, CircuitDesign), f"{name}: expected a CircuitDesign, got {design!r}")
    _same_design(f"{name}: a second call", generator(tokens, mask), design)
    for field, value in design.descriptors().items():
        _finite(f"{name}: {field}", value)
    if design.conditional:
        for row in range(BATCH):
            one = slice(row, row + 1)
            alone = generator(tokens[one], mask[one]).sample(0)
            _same_design(f"{name}: sample {row} alone", alone, design.sample(row))
    kept = torch.tensor([0, design.num_processors - 1]).unique()
    smaller = generator.select(kept)(tokens, mask)
    _same_design(f"{name}: select({kept.tolist()})", smaller, design.select(kept))
    _same_design(f"{name}: after select", generator(tokens, mask), design)
    total = torch.stack([value.square().sum() for value in design.descriptors().values()]).sum()
    learning = {n: p for n, p in generator.named_parameters() if p.requires_grad}
    found = torch.autograd.grad(total, list(learning.values()), allow_unused=True)
    idle = [n for n, gradient in zip(learning, found, strict=True) if gradient is None]
    _want(not idle, f"{name}: expected a gradient for every parameter, got none for {idle}")


def _normal(draw: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=draw, dtype=torch.float64)


def _ring(draw: torch.Generator) -> SampledGraph:
    """Every module hears itself and two others, at random weights."""
    place = torch.arange(MODULES)
    away = (place[:, None] - place[None, :]) % MODULES
    mask = (away == 0) | (away == 1) | (away == 2)
    log_weight = -torch.rand(MODULES, MODULES, generator=draw, dtype=torch.float64)
    return SampledGraph(log_weight.exp(), log_weight, mask, nonempty=True)


def _changed(change: Callable[..., Tensor], *graphs: SampledGraph) -> SampledGraph:
    probability, log_weight, mask = (
        change(*(getattr(graph, name) for graph in graphs))
        for name in ("probability", "log_weight", "mask")
    )
    return SampledGraph(probability, log_weight, mask, nonempty=True)


def _select(graph: SampledGraph, order: Tensor) -> SampledGraph:
    return _changed(lambda part: part[order][:, order], graph)


def _stack(graphs: list[SampledGraph]) -> SampledGraph:
    return _changed(lambda *parts: torch.stack(parts), *graphs)


def _part(graph: SampledGraph, row: int) -> SampledGraph:
    return _changed(lambda part: part[row], graph)


def _sparse(graph: SampledGraph) -> Graph:
    from nacgraph.graph.forms import EdgeGraph

    unit = torch.eye(MODULES, dtype=torch.float64)
    return EdgeGraph(graph.rows, MODULES, MODULES, None, unit, unit, 1.0, True)


def _gradients(
    name: str, block: nn.Module, run: Callable[..., Tensor], inputs: tuple[Tensor, ...]
) -> None:
    inputs = tuple(x.clone().requires_grad_() for x in inputs)
    learning = {n: p for n, p in block.named_parameters() if p.requires_grad}
    total = run(*inputs).square().sum()
    found = torch.autograd.grad(total, list(learning.values()), allow_unused=True)
    idle = [n for n, gradient in zip(learning, found, strict=True) if gradient is None]
    _want(not idle, f"{name}: expected a gradient for every parameter, got none for {idle}")
    right = torch.autograd.gradcheck(run, inputs, fast_mode=True, raise_exception=False)
    _want(right, f"{name}: expected gradients of finite differences, got others")


def _same_design(what: str, got: CircuitDesign, wanted: CircuitDesign) -> None:
    for name, value in wanted.descriptors().items():
        _equal(f"{what}: {name}", got.descriptors()[name], value)


def _same_gates(name: str, got: Tensor | Gates, wanted: Tensor | Gates) -> None:
    if isinstance(wanted, Tensor):
        _want(isinstance(got, Tensor), f"{name}: modulations: expected a tensor, got {got!r}")
        _equal(f"{name}: modulations of some modules", got, wanted)  # type: ignore[arg-type]
        return
    for one, other in zip(got, wanted, strict=True):
        _same_gates(name, one, other)


def _same_shape(what: str, got: Tensor, wanted: Tensor) -> None:
    _want(
        got.shape == wanted.shape,
        f"{what}: expected shape {tuple(wanted.shape)}, got {tuple(got.shape)}",
    )


def _finite(what: str, got: Tensor) -> None:
    _want(bool(torch.isfinite(got).all()), f"{what}: expected finite numbers, got NaN or infinity")


def _equal(what: str, got: Tensor, wanted: Tensor) -> None:
    _same_shape(what, got, wanted)
    worst = float((got - wanted).detach().abs().max()) if got.numel() else 0.0
    _want(worst <= CLOSE, f"{what}: expected the same result, got a difference of {worst:.3g}")


def _want(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)
