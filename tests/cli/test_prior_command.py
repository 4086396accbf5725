"""``nacgraph prior``: listing, checking, a user's plugin, and the page that explains it."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from nacgraph.cli.prior import main
from nacgraph.priors import PRIORS, RingOfCliques
from nacgraph.viz import prior_figure

PAGE = Path(__file__).parents[2] / "docs" / "custom-priors.md"


def test_list_names_every_prior(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    for name in PRIORS.names():
        assert f"{name} " in shown
    assert "clique_size: int = 8" in shown


def test_check_measures_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "ring.png"
    command = ["check", "ring_of_cliques", "-n", "40", "--set", "clique_size=5"]
    assert main([*command, "--signature-dim", "16", "--out", str(picture)]) == 0
    shown = capsys.readouterr().out
    # Eight cliques of five with eight links between them: (8·10 + 8)·2 / 40.
    assert "clique_size=5" in shown and "mean degree  4.40 of 39" in shown
    assert "symmetric" in shown and "0.0025" in shown
    reached = re.search(r"reachable +mse ([0-9.e-]+)", shown)
    assert reached and 0 < float(reached[1]) < 0.01
    head = picture.read_bytes()[:24]
    width, height = struct.unpack(">II", head[16:])
    assert head[1:4] == b"PNG" and width > height > 300


@pytest.mark.parametrize("n", ["1", "2", "9"])
@pytest.mark.parametrize("name", ["ring_of_cliques", "none"])
def test_check_of_few_modules(tmp_path: Path, name: str, n: str) -> None:
    assert main(["check", name, "-n", n, "--out", str(tmp_path / "small.png")]) == 0


def test_the_page_on_custom_priors_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin, test = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert len(plugin.strip().splitlines()) <= 25
    file = tmp_path / "my_prior.py"
    file.write_text(plugin + "\n\n" + test)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(PRIORS, "_classes", dict(PRIORS._classes))  # forgotten afterwards
    command = ["check", "core_periphery", "--plugin", "my_prior.py", "--set", "core=0.5"]
    assert main([*command, "-n", "24"]) == 0
    caught = capsys.readouterr()
    assert "running plugin my_prior.py" in caught.err
    assert "core=0.5" in caught.out and "mean degree" in caught.out
    assert (tmp_path / "prior-core_periphery.png").is_file()


def test_a_faulty_plugin_is_found_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "faulty.py"
    file.write_text(
        "import torch\n"
        "from nacgraph.priors import GraphPrior, register_prior\n"
        "@register_prior('lopsided')\n"
        "class Lopsided(GraphPrior):\n"
        "    def edge_probabilities(self, n):\n"
        "        return torch.ones(n, n, dtype=torch.float64).tril()\n"
        "@register_prior('crashing')\n"
        "class Crashing(GraphPrior):\n"
        "    def edge_probabilities(self, n):\n"
        "        return torch.ones(n, n) @ torch.ones(n + 1)\n"
    )
    monkeypatch.setattr(PRIORS, "_classes", dict(PRIORS._classes))
    assert main(["check", "lopsided", "--plugin", str(file)]) == 1
    assert "WRONG        expected a symmetric matrix" in capsys.readouterr().out
    assert main(["check", "crashing", "-n", "8", "--plugin", str(file)]) == 2
    assert "error: edge_probabilities(8) raised RuntimeError" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "ring_of_clique"], "did you mean 'ring_of_cliques'"),
        (["check", "scale_free", "--set", "degree=3"], "got degree"),
        (["check", "scale_free", "--set", "degree"], "--set: expected KEY=VALUE, got 'degree'"),
        (["check", "scale_free", "--set", "mean_degree=[1"], "expected a plain value"),
        (["check", "scale_free", "-n", "0"], "modules: expected a whole number >= 1, got 0"),
        (["check", "scale_free", "--bandwidth", "-1"], "bandwidth: expected a number > 0"),
        (["check", "scale_free", "--bandwidth", "nan"], "bandwidth: expected a number > 0"),
        (["check", "mine", "--plugin", "absent.py"], "expected an existing file, got 'absent.py'"),
    ],
)
def test_mistakes_are_one_clear_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    caught = capsys.readouterr()
    assert message in caught.err and caught.err.strip().count("\n") == 0


def test_a_figure_leaves_no_global_state() -> None:
    import sys

    prior = RingOfCliques(4)
    target = prior.edge_probabilities(12)
    before = "matplotlib.pyplot" in sys.modules
    figure = prior_figure("ring", target, target, prior.sample(12, 0))
    assert len(figure.axes) == 5  # three panels, two scales
    assert ("matplotlib.pyplot" in sys.modules) == before
