"""Every public layer behaves as a PyTorch user expects of an ``nn.Module``."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import nacgraph.nn as layers
from nacgraph.nn import (
    SKMDPA,
    ConditionalGenerator,
    GatedPropagator,
    InitialState,
    LinearMemory,
    ModAttention,
    ModFC,
    ModFFN,
    Propagator,
    ReadIn,
    ReadOut,
    SelectiveMemory,
    SignatureGraph,
    SignatureKernel,
    SKMDPAConv,
    UnconditionalGenerator,
    WindowMLP,
)

RING = torch.tensor([[0, 1, 2, 3, 4], [1, 2, 3, 4, 0]])


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


GRAPH = SignatureKernel(mode="expected")(normal(5, 3))

# name: (layer of a generator, its inputs, a size that its repr must show)
LAYERS: dict[str, tuple[Callable[[Any], nn.Module], tuple[Any, ...], str]] = {
    "ModFC": (lambda g: ModFC(8, 6, 4, generator=g), (normal(2, 5, 8), normal(5, 4)), "code_dim=4"),
    "ModFFN": (lambda g: ModFFN(8, 4, generator=g), (normal(2, 5, 8), normal(5, 4)), "factor=4"),
    "InitialState": (lambda g: InitialState(4, 8, generator=g), (normal(5, 4),), "in_features=4"),
    "UnconditionalGenerator": (
        lambda g: UnconditionalGenerator(5, 2, 3, 4, 8, generator=g),
        (),
        "processors=5, readouts=2, signature_dim=3, code_dim=4",
    ),
    "ConditionalGenerator": (
        lambda g: ConditionalGenerator(5, 2, 3, 4, 8, 7, width=12, generator=g),
        (normal(2, 6, 7),),
        "processors=5, readouts=2, width=12",
    ),
    "WindowMLP": (
        lambda g: WindowMLP(8, 3, 2, memory=50, selective=True, generator=g),
        (normal(2, 6, 8), torch.ones(2, 6, dtype=torch.bool)),
        "window=3, dilation=2",
    ),
    "LinearMemory": (
        lambda g: LinearMemory(8, 50, generator=g),
        (normal(2, 6, 8),),
        "longest=50",
    ),
    "SelectiveMemory": (
        lambda g: SelectiveMemory(8, 50, generator=g),
        (normal(2, 6, 8),),
        "longest=50",
    ),
    "ModAttention": (
        lambda g: ModAttention(8, 4, 2, 4, generator=g),
        (*[normal(2, 5, 8)] * 3, GRAPH, normal(5, 8)),
        "ModFC",
    ),
    "ReadIn": (
        lambda g: ReadIn(8, 8, 4, 2, 4, generator=g),
        (normal(5, 8), normal(5, 4), normal(2, 6, 8)),
        "code_dim=4",
    ),
    "Propagator": (
        lambda g: Propagator(8, 4, 2, 4, generator=g),
        (normal(2, 5, 8), normal(5, 4), GRAPH),
        "code_dim=4",
    ),
    "GatedPropagator": (
        lambda g: GatedPropagator(8, 4, 2, 4, generator=g),
        (normal(2, 5, 8), normal(5, 4), GRAPH),
        "code_dim=4",
    ),
    "ReadOut": (
        lambda g: ReadOut(8, 4, 2, 4, 3, generator=g),
        (
            normal(2, 5, 8),
            normal(2, 8),
            SignatureKernel(mode="expected")(normal(2, 3), normal(5, 3)),
            ((normal(5, 8),) * 2, (normal(2, 8),) * 2, (normal(2, 8), normal(2, 16))),
        ),
        "out_features=3",
    ),
    "SKMDPA": (lambda g: SKMDPA(), (*[normal(5, 2, 4)] * 3, RING), "SKMDPA"),
    "SKMDPAConv": (
        lambda g: SKMDPAConv(8, 6, heads=2, code_channels=4, generator=g),
        (normal(2, 5, 8), RING, normal(5, 4)),
        "8, 6, heads=2, code_channels=4",
    ),
    "SignatureGraph": (
        lambda g: SignatureGraph(5, 3, mode="expected", generator=g),
        (),
        "5, 3, bandwidth=0.3338, mode='expected'",
    ),
    "SignatureKernel": (
        lambda g: SignatureKernel(mode="expected"),
        (normal(5, 3),),
        "mode='expected'",
    ),
}
# Run by tests of their own, in test_attention.py and test_circuit.py.
BLOCKS = {"Attention", "BaseGenerator", "BasePropagator", "BaseReadIn", "Circuit"}
DRAWING = sorted(set(LAYERS) - {"SKMDPA", "SignatureKernel"})


def make(name: str, seed: int | None = 0) -> nn.Module:
    return LAYERS[name][0](None if seed is None else torch.Generator().manual_seed(seed))


def cast(x: Any, dtype: torch.dtype | None) -> Any:
    """The same nesting with every floating-point tensor of this type."""
    if isinstance(x, tuple):
        return tuple(cast(part, dtype) for part in x)
    return x.to(dtype) if dtype and isinstance(x, Tensor) and x.is_floating_point() else x


def answers(name: str, layer: nn.Module, dtype: torch.dtype | None = None) -> list[Tensor]:
    """Every tensor that the layer gives for its inputs."""
    inputs = [cast(x, dtype) for x in LAYERS[name][1]]
    found = layer(*inputs)
    if isinstance(found, Tensor):
        return [found]
    if name == "SignatureKernel":
        return [found.probability, found.log_weight]
    if dataclasses.is_dataclass(found):
        return [getattr(found, field.name) for field in dataclasses.fields(found)]
    return list(found)


def assert_same(name: str, one: nn.Module, other: nn.Module) -> None:
    for a, b in zip(answers(name, one), answers(name, other), strict=True):
        assert torch.equal(a, b)


def test_every_public_layer_is_here() -> None:
    public = {
        name
        for name in layers.__all__
        if inspect.isclass(getattr(layers, name)) and issubclass(getattr(layers, name), nn.Module)
    }
    assert public == {*LAYERS, *BLOCKS}


@pytest.mark.parametrize("name", LAYERS)
def test_copies_answer_alike(name: str) -> None:
    layer, other = make(name), make(name, seed=1)
    assert_same(name, copy.deepcopy(layer), layer)
    assert_same(name, pickle.loads(pickle.dumps(layer)), layer)
    other.load_state_dict(layer.state_dict())
    assert_same(name, other, layer)


@pytest.mark.parametrize("name", DRAWING)
def test_reset_parameters_draws_as_the_constructor_did(name: str) -> None:
    layer = make(name)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(1.0)
    before = {key: value.clone() for key, value in layer.state_dict().items()}
    layer.reset_parameters(generator=torch.Generator().manual_seed(3))
    for key, value in make(name, seed=3).state_dict().items():
        assert torch.equal(layer.state_dict()[key], value), key
        if value.is_floating_point():
            assert not torch.equal(before[key], value), key


@pytest.mark.parametrize("name", DRAWING)
def test_without_a_generator_pytorchs_own_is_drawn_from(name: str) -> None:
    def state() -> list[Tensor]:
        return [p.detach().clone() for p in make(name, seed=None).parameters()]

    torch.manual_seed(5)
    one = state()
    other = state()
    torch.manual_seed(5)
    again = state()
    assert all(map(torch.equal, one, again))
    assert not all(map(torch.equal, one, other))
    held = torch.get_rng_state()
    make(name)  # with a generator, PyTorch's own is left alone
    assert torch.equal(torch.get_rng_state(), held)


@pytest.mark.parametrize("name", LAYERS)
def test_it_moves_to_another_type(name: str) -> None:
    layer = make(name)
    wanted = answers(name, layer)
    found = answers(name, layer.to(torch.float64), torch.float64)
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype in (torch.float64, torch.int64)
        torch.testing.assert_close(one, other.to(one.dtype), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", LAYERS)
def test_it_runs_under_autocast(name: str) -> None:
    layer = make(name)
    wanted = answers(name, layer)
    with torch.autocast("cpu", torch.bfloat16):
        found = answers(name, layer)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one.to(other.dtype), other, rtol=0.05, atol=0.1)
    floating = [x for x in found if x.requires_grad]
    if floating:
        sum(x.float().square().sum() for x in floating).backward()
        assert all(torch.isfinite(p.grad).all() for p in layer.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", LAYERS)
def test_its_repr_names_its_sizes(name: str) -> None:
    assert LAYERS[name][2] in repr(make(name))


def test_the_issue_s_example_just_works() -> None:
    layer = ModFC(64, 64, 16)
    assert layer(torch.randn(3, 64), torch.randn(3, 16)).shape == (3, 64)
    with pytest.raises(TypeError):
        ModFC(64, 64, 16, True, torch.Generator())  # a generator goes by name
