"""The examples on layers, made small: not only do they run, they find what they say they find."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_gcnconv_recovers_hidden_groups(capsys: pytest.CaptureFixture[str]) -> None:
    learn_the_graph = example("learn_the_graph")
    (found,) = learn_the_graph.main(["--quick"])
    assert found.precision >= 0.95 and found.recall >= 0.95
    assert "precision  recall" in capsys.readouterr().out
    untrained = learn_the_graph.learn(0, 60, 3, steps=1)
    assert untrained.recall < 0.3  # so it was learned


@pytest.mark.slow
def test_gcnconv_recovers_ten_groups_on_five_seeds() -> None:
    results = example("learn_the_graph").main([])
    assert len(results) == 5
    assert all(r.precision >= 0.95 and r.recall >= 0.95 for r in results)


def test_the_wiring_of_sensors_is_that_of_their_grid(tmp_path: Path) -> None:
    found = example("sensors").main(["--quick", "--out", str(tmp_path / "sensors.png")])
    assert found.links.shape[1] > 30 and found.touching > 0.8 > 5 * found.chance
    assert found.error < 0.7  # predicting the mean: 1
    with Image.open(tmp_path / "sensors.png") as image:
        assert image.format == "PNG" and len(image.convert("RGB").getcolors(10**6)) > 10


def test_both_layers_learn_the_karate_club() -> None:
    accuracy = example("layers_in_pyg").main(["--quick"])
    assert set(accuracy) == {"GATv2Conv", "SKMDPAConv"}
    assert min(accuracy.values()) > 0.55  # the largest group alone: 12 of 30


def test_the_blocks_of_from_pyg_run() -> None:
    page = (ROOT / "docs" / "from-pyg.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert len(blocks) == 7
    names: dict[str, object] = {"__name__": "from_pyg"}
    for block in blocks:
        exec(compile(block, "from-pyg.md", "exec"), names)
    assert names["logits"].shape == (34, 4)  # type: ignore[attr-defined]
    assert names["picture"].number_of_nodes() == 34  # type: ignore[attr-defined]
