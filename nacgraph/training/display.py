"""How a run looks in a notebook."""

from __future__ import annotations

import base64
import html
import io
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nacgraph.training.run import Run


def as_html(run: Run) -> str:
    """Name, model and accuracy of a run, and its link probabilities as a small picture."""
    summary = run.summary
    rows = [repr(run).partition(": ")[2].removesuffix(")")]
    if "ci95" in summary:
        low, high = (100 * bound for bound in summary["ci95"])
        rows.append(f"95 %: {low:.1f} to {high:.1f} %, {summary['test_n']:,} samples")
    rows = [f"<b>{html.escape(str(run.path))}</b>", *map(html.escape, rows)]
    try:
        picture = matrix(run.link)
    except ValueError:  # no circuit, or one for every sample
        picture = ""
    return f"<div>{'<br>'.join(rows)}</div>{picture}"


def matrix(link: np.ndarray, side: int = 160) -> str:
    """Link probabilities (U, U) as an ``<img>`` with a pixel for each, dark where P is high."""
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray((255 * (1 - link)).round().astype(np.uint8)).save(data, "PNG")
    source = base64.b64encode(data.getvalue()).decode()
    style = f"width:{side}px;height:{side}px;image-rendering:pixelated;border:1px solid #888"
    return f'<img alt="link probabilities" style="{style}" src="data:image/png;base64,{source}">'
