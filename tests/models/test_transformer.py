"""Transformer and Linformer: the formulas, padding, seeds, what decays, clear errors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nacgraph.models.ladder import model_fields
from nacgraph.models.transformer import SelfAttention, Transformer, TransformerConfig
from nacgraph.tasks import Batch, get_task
from nacgraph.tasks.tokenizers import SequenceTokenizer
from nacgraph.training.build import build_model, build_task
from nacgraph.training.config import RunConfig, make_config
from nacgraph.training.optim import decays, make_optimizer

LENGTH, SYMBOLS, CLASSES = 9, 7, 5
FULL = TransformerConfig(width=12, heads=3, head_dim=4, rounds=3, unique_layers=2, ffn_factor=2)
LINEAR = replace(FULL, linformer_tokens=4)
BOTH = pytest.mark.parametrize("config", [FULL, LINEAR], ids=["transformer", "linformer"])


def make(config: TransformerConfig, seed: int = 0, most: int = LENGTH) -> Transformer:
    tokenizer = SequenceTokenizer(SYMBOLS, config.width, most, stem_layers=1, window=3, seed=seed)
    return Transformer(config, tokenizer, CLASSES, most, seed).double()


def batch(lengths: tuple[int, ...] = (9, 5, 1, 7), width: int = LENGTH) -> Batch:
    """Random symbols; those beyond a sample's length are symbols too, but masked."""
    mask = torch.arange(width) < torch.tensor(lengths)[:, None]
    count = torch.arange(len(lengths))
    return Batch(torch.randint(1, SYMBOLS, (len(lengths), width)), mask, count, count)


def by_hand(model: Transformer, given: Batch) -> Tensor:
    """The same logits sample by sample and head by head, from the formulas alone."""
    c = model.config
    tokens, mask = model.tokenizer(given)
    rows = []
    for k in range(len(tokens)):
        real = mask[k]
        x = tokens[k][real]  # the padding is not even there
        for step in range(c.rounds):
            block: Any = model.blocks[step % len(model.blocks)]
            h = norm(block.attention_norm, x)
            a: SelfAttention = block.attention
            query, key, value = h @ a.query.weight.T, h @ a.key.weight.T, h @ a.value.weight.T
            if a.key_rows is not None and a.value_rows is not None:
                place = real.nonzero()[:, 0]
                key, value = a.key_rows[place].T @ key, a.value_rows[place].T @ value
            heads = []
            for head in range(c.heads):
                part = slice(head * c.head_dim, (head + 1) * c.head_dim)
                weight = (query[:, part] @ key[:, part].T / c.head_dim**0.5).exp()
                heads.append(weight / weight.sum(-1, keepdim=True) @ value[:, part])
            x = x + torch.cat(heads, -1) @ a.out.weight.T + a.out.bias
            inner = norm(block.ffn_norm, x) @ block.widen.weight.T + block.widen.bias
            inner = inner * 0.5 * (1 + torch.erf(inner / 2**0.5))
            x = x + inner @ block.narrow.weight.T + block.narrow.bias
        rows.append(norm(model.norm, x).mean(0))
    return torch.stack(rows) @ model.head.weight.T + model.head.bias


def norm(layer: nn.LayerNorm, x: Tensor) -> Tensor:
    apart = x - x.mean(-1, keepdim=True)
    spread = (apart.square().mean(-1, keepdim=True) + layer.eps).sqrt()
    return apart / spread * layer.weight + layer.bias


@BOTH
def test_it_is_the_formula(config: TransformerConfig) -> None:
    model, given = make(config), batch()
    with torch.no_grad():
        for p in model.parameters():  # no gain of one, no bias of zero that would hide an error
            p.add_(0.1 * torch.randn_like(p))
    torch.testing.assert_close(model(given).logits, by_hand(model, given), rtol=0, atol=1e-12)


def test_linformer_projecting_to_itself_is_full_attention() -> None:
    generator = torch.Generator().manual_seed(0)
    attention = SelfAttention(12, 3, 4, LENGTH, LENGTH, generator=generator).double()
    x, all_real = torch.randn(2, LENGTH, 12).double(), torch.ones(2, LENGTH, dtype=torch.bool)
    assert attention.key_rows is not None and attention.value_rows is not None
    with torch.no_grad():
        attention.key_rows.copy_(torch.eye(LENGTH))
        attention.value_rows.copy_(torch.eye(LENGTH))
    linear = attention(x, all_real)
    attention.key_rows = attention.value_rows = None
    torch.testing.assert_close(linear, attention(x, all_real), rtol=0, atol=1e-12)


@BOTH
def test_padding_changes_nothing(config: TransformerConfig) -> None:
    model = make(config)
    short = batch((6, 5, 1, 4), 6)
    logits = model(short).logits
    for more in (1, 3):
        other = batch((6, 5, 1, 4), 6 + more)  # other symbols where it is masked
        other.inputs[:, :6][short.mask] = short.inputs[short.mask]
        torch.testing.assert_close(model(other).logits, logits, rtol=0, atol=1e-12)
    # Nor does what stands there in the tokens themselves, where the stem has no say.
    tokens, mask = model.tokenizer(short)
    spoilt = torch.where(mask.unsqueeze(-1), tokens, 1e3)
    torch.testing.assert_close(model.answer(spoilt, mask).logits, logits, rtol=0, atol=1e-12)


@BOTH
def test_no_sample_sees_another(config: TransformerConfig) -> None:
    model, given = make(config), batch()
    logits = model(given).logits
    for k in range(len(given)):
        alone = model(given.rows(slice(k, k + 1))).logits
        torch.testing.assert_close(alone[0], logits[k], rtol=0, atol=1e-12)
    turned = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(model(given.rows(turned)).logits, logits[turned], rtol=0, atol=1e-12)


@BOTH
def test_a_sample_without_tokens_leaves_numbers_finite(config: TransformerConfig) -> None:
    model = make(config)
    logits = model(batch((0, 5))).logits
    logits.sum().backward()
    assert torch.isfinite(logits).all()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@BOTH
def test_every_parameter_learns(config: TransformerConfig) -> None:
    model, given = make(config), batch()
    nn.functional.cross_entropy(model(given).logits, given.labels).backward()
    for name, p in model.named_parameters():
        assert p.grad is not None and torch.isfinite(p.grad).all(), name
        assert p.grad.abs().max() > 1e-12, name


@BOTH
def test_gradients_of_the_attention(config: TransformerConfig) -> None:
    generator = torch.Generator().manual_seed(0)
    attention = SelfAttention(4, 2, 2, 5, config.linformer_tokens, generator=generator).double()
    mask = torch.tensor([[True, True, True, False], [True, False, False, False]])
    x = torch.randn(2, 4, 4, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(lambda x: attention(x, mask), x)


@BOTH
def test_a_seed_is_a_model(config: TransformerConfig) -> None:
    before = torch.get_rng_state()
    one, same, other = (make(config, seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(one[name], same[name]) for name in one)
    drawn = [name for name in one if one[name].ndim == 2]
    assert drawn and not any(torch.equal(one[name], other[name]) for name in drawn)


def test_blocks_serve_rounds_in_turn() -> None:
    assert [len(make(replace(FULL, unique_layers=n)).blocks) for n in (0, 1, 2, 7)] == [3, 1, 2, 3]
    shared, own = make(FULL), make(replace(FULL, unique_layers=0))
    for k in range(3):
        own.blocks[k].load_state_dict(shared.blocks[k % 2].state_dict())
    for part in ("norm", "head"):
        getattr(own, part).load_state_dict(getattr(shared, part).state_dict())
    given = batch()
    assert torch.equal(own(given).logits, shared(given).logits)


def test_projections_are_no_larger_than_the_sequence() -> None:
    small = make(replace(LINEAR, linformer_tokens=128))
    shapes = {tuple(p.shape) for n, p in small.named_parameters() if n.endswith("_rows")}
    assert shapes == {(LENGTH, LENGTH)}
    long = SelfAttention(8, 1, 8, 4000, 16, generator=torch.Generator().manual_seed(0))
    assert long.key_rows is not None and long.key_rows.shape == (4000, 16)
    # Projected from a full sequence, keys keep their scale.
    assert long.key_rows.std().item() == pytest.approx(4000**-0.5, rel=0.02)
    assert long.key_rows.is_contiguous()


def test_what_decays() -> None:
    model = make(LINEAR)
    decayed = decays(model)
    assert not decayed["tokenizer.positions"] and not decayed["tokenizer.symbols.weight"]
    for name in (
        "attention.query.weight",
        "attention.out.weight",
        "attention.key_rows",
        "attention.value_rows",
        "widen.weight",
        "narrow.weight",
    ):
        assert decayed[f"blocks.0.{name}"]
    assert decayed["head.weight"]
    assert not any(d for name, d in decayed.items() if "norm" in name or name.endswith("bias"))
    groups = make_optimizer(model, 1e-3, 0.05, signature_rate=7.0).param_groups
    assert [group["scale"] for group in groups] == [1.0, 1.0]  # there are no signatures


@BOTH
def test_bf16_stays_near(config: TransformerConfig) -> None:
    model, given = make(config).float(), batch()
    with torch.autocast("cpu", torch.bfloat16):
        half = model(given).logits.float()
    torch.testing.assert_close(half, model(given).logits, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("task", ["listops", "text", "images", "points", "nlvr2"])
def test_every_task_bounds_its_tokens(task: str) -> None:
    sizes = {"width": 16, "heads": 2, "head_dim": 4}
    config = make_config(task=task, model="linformer", prior="none", **sizes)
    made = build_task(config)
    model = build_model(config, made, None)
    assert isinstance(model, Transformer) and model.classes is made.classes
    longest = made.max_tokens(model.tokenizer)
    given = made.dummy_batch(2, 40, torch.Generator().manual_seed(0))
    tokens, _ = model.tokenizer(given)
    assert longest is not None and tokens.shape[1] <= longest
    assert model(given).logits.shape == (2, made.num_classes)


def test_a_condition_of_the_task_is_tokens_here() -> None:
    config = RunConfig(task="nlvr2", model={"name": "transformer", "width": 16})
    assert get_task("nlvr2").conditional and config.conditioned_on() == "none"
    assert RunConfig(task="nlvr2").conditioned_on() == "task"
    tokenizer: Any = build_model(config, build_task(config), None).tokenizer
    assert tokenizer.sentence


def test_wanted_and_got() -> None:
    with pytest.raises(ValueError, match=r"heads: expected .* >= 1, got 0\nrounds: .* got 1\.5"):
        TransformerConfig(heads=0, rounds=1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"max_tokens: expected the most tokens .* got None"):
        Transformer(LINEAR, nn.Identity(), CLASSES)
    attention = SelfAttention(12, 3, 4, 4, 2, generator=torch.Generator())
    with pytest.raises(ValueError, match="tokens: expected at most 4 in a sample, got 5"):
        attention(torch.zeros(1, 5, 12), torch.ones(1, 5, dtype=torch.bool))
    for condition in ("task", "inputs"):
        with pytest.raises(
            ValueError, match=f"condition: expected auto or none .* got '{condition}"
        ):
            make_config(model="linformer", condition=condition)
    with pytest.raises(ValueError, match="expected one with a circuit, perceiver_io, .* got 'linf"):
        model_fields("linformer")
    with pytest.raises(ValueError, match="did you mean 'transformer'"):
        model_fields("transfomer")
