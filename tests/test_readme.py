"""What the README shows in Python runs, and what it names exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")


PAGES = README + (ROOT / "docs" / "python.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGES, flags=re.DOTALL)


@pytest.mark.parametrize("block", range(len(BLOCKS)))
def test_the_python_examples_run(
    block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    code = BLOCKS[block].replace("steps=200", "steps=4, train_size=200, val_size=40, test_size=40")
    code = code.replace("nulls=20", "nulls=2, samples=8, draws=1, seeds=1")
    names: dict[str, Any] = {}
    exec(compile(code, "README.md or docs/python.md", "exec"), names)
    if "answer" in names:
        assert names["answer"].classes[0] in set("0123456789")
        assert names["small"].config.modules == names["run"].config.modules // 2
        assert "report" not in names["found"].figures and "circuit" in names["found"].figures
    elif "conv" in names:
        assert names["graph"].signatures.grad.any() and names["out"].shape == (32, 16)
    elif "loss" in names:
        assert names["model"].generator.processor_signatures.grad.any()


def test_links_lead_somewhere() -> None:
    documents = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *ROOT.glob("docs/*.md")]
    for document in documents:
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text("utf-8")):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name}: {target}"
