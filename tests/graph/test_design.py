"""Circuit designs: descriptors that fit, selection, and the way out to PyG and networkx."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest
import torch

from nacgraph import CircuitDesign, UnconditionalGenerator
from nacgraph.graph.links import link_probabilities


@pytest.fixture
def design(generator: torch.Generator) -> CircuitDesign:
    return UnconditionalGenerator(5, 2, 3, 4, 6, generator=generator)()


def test_to_data_and_networkx_agree_with_p(design: CircuitDesign) -> None:
    data, graph = design.to_data(1.0, 0.3), design.to_networkx(1.0, 0.3)
    everyone = torch.cat([design.processor_signatures, design.readout_signatures])
    p = link_probabilities(everyone, design.processor_signatures, 1.0).detach()
    wanted = {(j, i) for i in range(7) for j in range(5) if i != j and p[i, j] > 0.3}
    assert set(map(tuple, data.edge_index.t().tolist())) == wanted == set(graph.edges)
    for (j, i), attribute in zip(data.edge_index.t().tolist(), data.edge_attr, strict=True):
        assert float(attribute) == pytest.approx(float(p[i, j]))
        assert graph.edges[j, i]["probability"] == pytest.approx(float(p[i, j]))
    assert data.role.tolist() == [0] * 5 + [1] * 2
    assert graph.nodes[6]["role"] == "readout"
    assert float(data.degree[0]) == pytest.approx(float(p[0].sum() - 1))
    data.validate(raise_on_error=True)


def test_select_keeps_read_outs(design: CircuitDesign) -> None:
    some = design.select(torch.tensor([3, 1]))
    assert some.num_processors == 2 and some.num_readouts == 2
    assert torch.equal(some.processor_codes, design.processor_codes[[3, 1]])


def test_conditional_designs(design: CircuitDesign) -> None:
    both = CircuitDesign(*(torch.stack([x, 2 * x]) for x in design.descriptors().values()))
    assert both.conditional and not design.conditional
    assert torch.equal(both.sample(1).readout_codes, 2 * design.readout_codes)
    with pytest.raises(ValueError, match="design: expected one shared by all samples"):
        both.to_data(1.0)


def test_the_design_of_a_model_knows_its_bandwidth(design: CircuitDesign) -> None:
    with pytest.raises(ValueError, match="bandwidth: expected a number > 0.*got None"):
        design.links()
    knowing = replace(design, bandwidth=0.7)
    for ours, theirs in zip(knowing.links(), design.links(0.7), strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(knowing.links(1.0)[0], design.links(1.0)[0])  # an argument goes first
    stacked = replace(knowing, **{k: torch.stack([t, t]) for k, t in knowing.descriptors().items()})
    assert stacked.sample(0).bandwidth == knowing.select(torch.tensor([0])).bandwidth == 0.7


def test_a_graph_without_edges_is_warned_of(design: CircuitDesign) -> None:
    p = torch.cat(design.links(0.3)).detach()
    highest = float(p[~torch.eye(7, 5, dtype=torch.bool)].max())
    with pytest.warns(UserWarning, match=f"no link has P > 1, the highest is {highest:.2f}"):
        assert design.to_data(0.3, 1.0).num_edges == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert design.to_data(0.3, 0.9 * highest).num_edges > 0


def test_errors_name_the_descriptor(design: CircuitDesign) -> None:
    with pytest.raises(ValueError, match=r"readout_states: expected width 6 .*, got 5"):
        replace(design, readout_states=torch.zeros(2, 5))
    with pytest.raises(ValueError, match=r"processor_signatures: expected leading axes \(5,\)"):
        replace(design, processor_signatures=torch.zeros(4, 3))


def test_generator_starts_and_freezes(generator: torch.Generator) -> None:
    start = torch.randn(5, 3, generator=generator)
    frozen = UnconditionalGenerator(5, 2, 3, 4, 6, start, frozen=True, generator=generator)
    assert torch.equal(frozen().processor_signatures, start)
    learned = {name for name, p in frozen.named_parameters() if p.requires_grad}
    assert "processor_codes" in learned and not any("signatures" in name for name in learned)
    with pytest.raises(ValueError, match=r"signatures: expected shape \(5, 3\), got \(4, 3\)"):
        UnconditionalGenerator(5, 2, 3, 4, 6, start[:4], generator=generator)
    with pytest.raises(ValueError, match="readouts: expected at least 1, got 0"):
        UnconditionalGenerator(5, 0, 3, 4, 6, generator=generator)
