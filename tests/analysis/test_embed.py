"""``embed`` from Python: the circuits of a conditional run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fewshot_tasks import flags
from matplotlib.figure import Figure

from nacgraph.analysis import embed
from nacgraph.analysis.populations import components, embed_circuits, gather, separation
from nacgraph.cli.train import main as train
from nacgraph.training.run import Run, load_run

QUICK = {"split": "val", "samples": 16, "perplexities": (4,), "permutations": 9, "drawn": 2}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("runs") / "inputs"
    assert train(flags(folder, "--condition", "inputs", steps=2)) == 0
    return load_run(folder)


def test_measures_and_places_are_those_of_the_circuits(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = embed(run, **QUICK, color="colour", seed=3)
    said = capsys.readouterr()
    assert said.out == said.err == ""
    circuits = gather(run.circuit, run.task, "val", 16)
    np.testing.assert_array_equal(found.population.links, circuits.links)
    np.testing.assert_array_equal(found.places[4], embed_circuits(circuits.links, 4, 3))
    words = found.tags["colour"]
    wanted = separation(components(circuits.links), words, 9, 3)
    assert found["trained"]["tags"]["colour"] == wanted
    assert found["trained"] != found["untrained"]
    assert [point["colour"] for point in found.points()] == words
    assert all(isinstance(found.figure(name), Figure) for name in found.figures)
    with pytest.raises(ValueError, match="figure: expected one of figure6, circuits, got 'x'"):
        found.figure("x")
    assert {p.name for p in found.save(tmp_path).iterdir()} == {
        *("embed.json", "circuits.svg", "circuits.png", "figure6.svg", "figure6.png")
    }


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"samples": 3}, "samples: expected at least 4, got 3"),
        ({"permutations": 0}, "permutations: expected at least 1, got 0"),
        ({"drawn": 0}, "drawn: expected at least 1, got 0"),
        ({"seed": -1}, "seed: expected at least 0, got -1"),
        ({"perplexities": ()}, r"perplexities: expected numbers > 0, got \[\]"),
        ({"perplexities": (0,)}, r"perplexities: expected numbers > 0, got \[0\]"),
        ({"perplexities": (16,)}, "perplexities: expected less than the 16 different circuits"),
        ({"color": "skill"}, "color: expected one of label, colour, got 'skill'"),
    ],
)
def test_wrong_arguments_are_refused(run: Run, changed: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        embed(run, **{**QUICK, **changed})
