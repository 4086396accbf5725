"""The sequence tokenizer: padding, the window, its start."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nacgraph.nn.sequence import WindowMLP, _rounded
from nacgraph.tasks import Batch, SequenceTokenizer


def batch_of(lengths: list[int], seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    inputs = torch.randint(1, 16, mask.shape, generator=generator) * mask
    zeros = torch.zeros(len(lengths), dtype=torch.long)
    return Batch(inputs, mask, zeros, zeros)


def alone(batch: Batch, row: int) -> Batch:
    real = int(batch.mask[row].sum())
    one = slice(row, row + 1)
    return Batch(
        batch.inputs[one, :real], batch.mask[one, :real], batch.labels[one], batch.index[one]
    )


@settings(max_examples=25)
@given(
    st.lists(st.integers(1, 25), min_size=1, max_size=5),
    st.integers(0, 3),
    st.sampled_from([1, 3, 9]),
    st.sampled_from([0, 20]),
    st.booleans(),
)
def test_a_padded_sample_equals_the_sample_alone(
    lengths: list[int], layers: int, window: int, memory: float, selective: bool
) -> None:
    tokenizer = SequenceTokenizer(
        16,
        8,
        30,
        layers,
        window,
        dilations=(1, 4),
        memory=memory,
        selective=selective and memory > 0,
    ).double()
    for block in tokenizer.stem:
        nn.init.ones_(block.norm.bias)  # a layer norm that maps padding to something else than 0
    batch = batch_of(lengths)
    tokens, mask = tokenizer(batch)
    assert torch.equal(mask, batch.mask) and not tokens[~mask].any()
    for row, length in enumerate(lengths):
        single, _ = tokenizer(alone(batch, row))
        torch.testing.assert_close(tokens[row, :length], single[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("dilation", [1, 2, 5])
@pytest.mark.parametrize("window", [1, 3, 9])
def test_the_stem_is_a_layer_over_windows(window: int, dilation: int) -> None:
    generator = torch.Generator().manual_seed(0)
    block = WindowMLP(4, window, dilation, generator=generator).double()
    x = torch.randn(2, 7, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    mask = torch.ones(2, 7, dtype=torch.bool)
    reach = dilation * (window // 2)
    around = nn.functional.pad(block.norm(x), (0, 0, reach, reach))
    near = [around[:, t : t + 2 * reach + 1 : dilation].flatten(1) for t in range(7)]
    windows = torch.stack(near, 1)
    expected = x + block.out(nn.functional.gelu(block.mix(windows)))
    found = block(x, mask)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    wanted = [x, *block.parameters()]
    for a, b in zip(
        torch.autograd.grad(found.square().sum(), wanted),
        torch.autograd.grad(expected.square().sum(), wanted),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


def test_windows_come_in_few_sizes() -> None:
    sizes = [_rounded(length) for length in range(1, 200)]
    assert all(size >= length for length, size in enumerate(sizes, 1))
    assert sorted(set(sizes)) == [8, 16, 32, 64, 128, 192, 256]


def test_a_seed_fixes_the_start_and_leaves_global_randomness_alone() -> None:
    before = torch.random.get_rng_state()
    one, two, other = (SequenceTokenizer(16, 8, 20, 2, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, two.state_dict()[name])
    assert not torch.equal(one.positions, other.positions)
    assert all(p.is_contiguous() for p in one.parameters())


def test_positions_start_at_the_scale_of_the_symbols() -> None:
    tokenizer = SequenceTokenizer(400, 64, 400, scale=0.5)
    assert tokenizer.symbols.weight.std().item() == pytest.approx(0.5, rel=0.05)
    assert tokenizer.positions.std().item() == pytest.approx(0.5, rel=0.05)


def test_a_memory_reaches_the_whole_sequence_both_ways() -> None:
    tokenizer = SequenceTokenizer(16, 6, 60, stem_layers=1, window=1, memory=1000).double()
    batch = batch_of([60])
    batch.inputs[0, 0], batch.inputs[0, -1] = 1, 1
    before, _ = tokenizer(batch)
    for changed in (0, -1):
        batch.inputs[0, changed] = 2
        after, _ = tokenizer(batch)
        assert ((after - before).abs().amax(-1) > 1e-9).all()  # every token, the far end too
        before = after


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"max_length = 5.*got 6"):
        SequenceTokenizer(16, 4, 5)(batch_of([6, 2]))
    with pytest.raises(ValueError, match="window must be odd and positive, got 4"):
        SequenceTokenizer(16, 4, 5, stem_layers=1, window=4)
    with pytest.raises(ValueError, match="dilation must be at least 1, got 0"):
        SequenceTokenizer(16, 4, 5, stem_layers=1, dilations=(0,))
    with pytest.raises(ValueError, match="selective needs a memory of at least 1 token, got mem"):
        SequenceTokenizer(16, 4, 5, stem_layers=1, selective=True)
    with pytest.raises(ValueError, match="dilations must be one or more whole numbers, got none"):
        SequenceTokenizer(16, 4, 5, dilations=())
