"""ModFC and ModFFN."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from nacgraph import ModFC, ModFFN


def test_alpha_zero_is_a_linear_layer(generator: torch.Generator) -> None:
    layer = ModFC(6, 5, 3, generator=generator)
    torch.nn.init.zeros_(layer.alpha)
    x, code = torch.randn(2, 4, 6, generator=generator), torch.randn(4, 3, generator=generator)
    plain = torch.nn.functional.linear(x, layer.weight, layer.bias)
    torch.testing.assert_close(layer(x, code), plain)


def test_the_formula_written_out(generator: torch.Generator) -> None:
    layer = ModFC(4, 3, 2, generator=generator).double()
    x, code = torch.randn(4, dtype=torch.float64), torch.randn(2, dtype=torch.float64)
    w, b, w_c = (p.detach().numpy() for p in (layer.weight, layer.bias, layer.code_weight))
    scale = w_c @ code.numpy()
    scale = (scale - scale.mean()) / np.sqrt(scale.var() + 1e-5)
    wanted = w @ (x.numpy() * (1 + 0.1 * scale)) + b
    np.testing.assert_allclose(layer(x, code).detach().numpy(), wanted, rtol=0, atol=1e-7)


def test_each_module_computes_its_own_function(generator: torch.Generator) -> None:
    layer = ModFC(6, 5, 3, generator=generator)
    code = torch.randn(4, 3, generator=generator)
    x = torch.randn(6, generator=generator).expand(4, 6)
    out = layer(x, code)
    assert (out[0] - out[1]).abs().max() > 1e-3
    # ... and the same one wherever it stands.
    torch.testing.assert_close(layer(x, code.flip(0)), out.flip(0))


def test_conditional_codes_broadcast(generator: torch.Generator) -> None:
    layer = ModFC(6, 5, 3, generator=generator)
    x, code = torch.randn(2, 4, 6, generator=generator), torch.randn(2, 4, 3, generator=generator)
    each = torch.stack([layer(x[b], code[b]) for b in range(2)])
    torch.testing.assert_close(layer(x, code), each)


def test_gradcheck(generator: torch.Generator) -> None:
    layer = ModFFN(4, 3, factor=2, generator=generator).double()
    x = torch.randn(2, 3, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    code = torch.randn(3, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    assert gradcheck(layer, (x, code))


def test_same_generator_same_weights() -> None:
    one, two = (ModFFN(4, 3, generator=torch.Generator().manual_seed(5)) for _ in range(2))
    for (name, p), q in zip(one.named_parameters(), two.parameters(), strict=True):
        assert torch.equal(p, q), name


def test_errors_name_wanted_and_got(generator: torch.Generator) -> None:
    with pytest.raises(ValueError, match="in_features: expected a whole number >= 2, got 1"):
        ModFC(1, 5, 3, generator=generator)
    with pytest.raises(ValueError, match="out_features: expected a whole number >= 1, got 0"):
        ModFC(6, 0, 3)
    with pytest.raises(ValueError, match="code_dim: expected a whole number >= 1, got 0"):
        ModFC(6, 5, 0)
    layer = ModFC(6, 5, 3, generator=generator)
    with pytest.raises(ValueError, match=r"x: expected a last axis of 6, got \(2, 7\)"):
        layer(torch.zeros(2, 7), torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"code: expected a last axis of 3, got \(2, 4\)"):
        layer(torch.zeros(2, 6), torch.zeros(2, 4))
    with pytest.raises(ValueError, match="factor"):
        ModFFN(5, 3, factor=1, generator=generator)
