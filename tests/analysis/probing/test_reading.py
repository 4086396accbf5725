"""Reading: weights are those that the read-in uses, per kind of token."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from probed_circuit import Toy, make, measured


@settings(max_examples=15)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    shared=st.booleans(), masked=st.booleans(),
)  # fmt: skip
def test_weights_are_those_of_the_read_in(lengths: list[int], shared: bool, masked: bool) -> None:
    read_in = make().circuit.read_ins[0]
    states = torch.randn(6, 8).double() if shared else torch.randn(len(lengths), 6, 8).double()
    codes, tokens = torch.randn(6, 5).double(), torch.randn(len(lengths), max(lengths), 8).double()
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None] if masked else None
    with torch.no_grad():
        wanted = read_in(states, codes, tokens, mask)
        weights = read_in.attention_weights(states, codes, tokens, mask)
        sums = weights.sum(-1)
        torch.testing.assert_close(sums, torch.ones_like(sums), rtol=0, atol=1e-12)
        if mask is not None:
            assert weights.masked_select(~mask[:, None, None, :]).eq(0).all()
        # Through the value projection, the exit and the ModFFN they give the read-in's output.
        gates, ffn = read_in.modulations(codes)
        read = (weights @ tokens.unsqueeze(1)) * gates[2]
        value = read_in.value.weight.view(2, 4, 8)
        read = torch.einsum("bhud,hcd->buhc", read, value).flatten(2)
        out = states + read_in.out_proj.project(read * gates[3])
        out = read_in.ffn(out, codes, ffn)
        torch.testing.assert_close(out, wanted, rtol=0, atol=1e-10)
        some = read_in.attention_weights(states, codes, tokens, mask, modules=slice(2, 5))
        torch.testing.assert_close(some, weights[:, :, 2:5])


def test_a_sample_without_tokens_is_read_by_nobody() -> None:
    read_in = make().circuit.read_ins[0]
    mask = torch.tensor([[True, True, False], [False, False, False]])
    with torch.no_grad():
        weights = read_in.attention_weights(
            torch.randn(6, 8).double(),
            torch.randn(6, 5).double(),
            torch.randn(2, 3, 8).double(),
            mask,
        )
    assert weights[1].eq(0).all() and weights[0].sum() == pytest.approx(12)


def test_without_keys_attention_is_chance() -> None:
    model = make()
    with torch.no_grad():
        for read_in in model.circuit.read_ins:
            read_in.key.weight.zero_()
    task = Toy()
    found = measured(model, task)
    rows = task.sequences()
    share = np.mean([[(row == kind).mean() for kind in range(1, 6)] for row in rows], axis=0)
    assert found.token_names == ("a", "b", "c", "(", ")")  # those that occur
    np.testing.assert_allclose(found.token_share, share)
    np.testing.assert_allclose(found.lift, np.ones((6, 5)))
    np.testing.assert_allclose(found.entropy, np.mean([np.log(len(row)) for row in rows]))
    np.testing.assert_allclose(found.relative_entropy, 1)
    np.testing.assert_allclose(found.position, 0.5)
    assert set(found.role) == {"mixed"}
