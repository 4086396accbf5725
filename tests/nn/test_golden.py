"""Numbers computed by an independent implementation, in float64 (see conftest for where)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from golden_place import GOLDEN

from nacgraph.graph.kernel import SignatureKernel
from nacgraph.nn.modfc import ModFC
from nacgraph.nn.propagators import Propagator
from nacgraph.nn.read_in import ReadIn

TOLERANCE = {"rtol": 0, "atol": 1e-10}


def load(name: str) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as file:
        tensors = {key: torch.from_numpy(file[key]) for key in file}
    parameters = {k.removeprefix("param:"): v for k, v in tensors.items() if k.startswith("param:")}
    return {k: v for k, v in tensors.items() if not k.startswith("param:")}, parameters


def modfc_state(parameters: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    state = {
        "weight": parameters[prefix + "native_weight"],
        "alpha": parameters[prefix + "scale_gain"],
        "code_weight": parameters[prefix + "scale.weight"],
    }
    if prefix + "native_bias" in parameters:
        state["bias"] = parameters[prefix + "native_bias"]
    return state


def block_state(parameters: dict[str, torch.Tensor], renames: dict[str, str]) -> dict:
    state = {}
    for ours, theirs in renames.items():
        if ours.endswith("norm"):
            for kind in ("weight", "bias"):
                state[f"{ours}.{kind}"] = parameters[f"{theirs}.{kind}"]
        else:
            for key, value in modfc_state(parameters, theirs + ".").items():
                state[f"{ours}.{key}"] = value
    return state


FFN = {"ffn.norm": "ffn.layernorm", "ffn.expand": "ffn.ffn.0", "ffn.contract": "ffn.ffn.2"}


def test_modfc(generator: torch.Generator) -> None:
    data, parameters = load("modfc")
    layer = ModFC(16, 12, 8, generator=generator).double()
    layer.load_state_dict(modfc_state(parameters, ""))
    torch.testing.assert_close(layer(data["x"], data["c"]), data["y"], **TOLERANCE)


def test_read_in(generator: torch.Generator) -> None:
    data, parameters = load("readin")
    layer = ReadIn(16, 20, 8, heads=2, head_dim=6, generator=generator).double()
    names = {
        f"{ours}": f"read_in_attention.{theirs}"
        for ours, theirs in {
            "token_norm": "sender_layernorm",
            "state_norm": "receiver_layernorm",
            "query": "query_compiler",
            "key": "key_compiler",
            "value": "value_compiler",
            "out_proj": "exit_layer",
        }.items()
    }
    layer.load_state_dict(block_state(parameters, names | FFN))
    states, codes, tokens = data["states"], data["codes"], layer.norm_tokens(data["tokens"])
    torch.testing.assert_close(layer.attend(states, codes, tokens, None), data["attn"], **TOLERANCE)
    torch.testing.assert_close(layer(states, codes, tokens), data["y"], **TOLERANCE)


@pytest.mark.parametrize("backend", ["fused", "scatter", "dense"])
def test_propagator(generator: torch.Generator, backend: str) -> None:
    data, parameters = load("propagator")
    layer = Propagator(16, 8, 2, 6, backend=backend, generator=generator).double()
    names = {"norm": "latent_attention.receiver_layernorm"} | {
        f"attention.{ours}": f"latent_attention.{theirs}"
        for ours, theirs in {
            "query": "query_compiler",
            "key": "key_compiler",
            "value": "value_compiler",
            "out_proj": "exit_layer",
        }.items()
    }
    layer.load_state_dict(block_state(parameters, names | FFN))
    kernel = SignatureKernel(float(data["epsilon"]), mode="expected", min_weight=0.0)
    graph = kernel(data["signatures"])
    torch.testing.assert_close(graph.probability, data["P"], **TOLERANCE)
    states, codes = data["states"], data["codes"]
    torch.testing.assert_close(layer.attend(states, codes, graph), data["attn"], **TOLERANCE)
    torch.testing.assert_close(layer(states, codes, graph), data["y"], **TOLERANCE)
