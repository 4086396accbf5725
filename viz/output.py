"""Figures to files, and to SVG text that stands inside an HTML page of any colour."""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import quoteattr

from nacgraph.utils.files import write_atomically
from nacgraph.viz.style import INK

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".svg", ".png", ".pdf")


def to_svg(figure: Figure, prefix: str | None = None, label: str | None = None) -> str:
    """The figure as one ``<svg>`` element: transparent, its ink the text colour of the page.

    Letters are outlines, so the picture needs no font. The same figure gives the same text.

    Args:
        figure: A figure of this package.
        prefix: Begins every id, so that many pictures can stand in one page; by default it
            follows from the content.
        label: What a screen reader says (``aria-label``).

    Raises:
        ValueError: If the prefix is no XML name.
    """
    if prefix is not None and not re.fullmatch(r"[A-Za-z_][\w.-]*", prefix):
        raise ValueError(f"prefix: expected a letter, then letters, digits, - or _, got {prefix!r}")
    text = _svg(figure)
    text = text[text.index("<svg") :]  # no XML declaration, no DTD
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(rf"{INK}\b", "currentColor", text, flags=re.IGNORECASE)
    # The rule for * would reach the whole page; the root's own style reaches the picture.
    everywhere = r"\s*<defs>\s*<style[^>]*>.*?</style>\s*</defs>"
    text = re.sub(everywhere, "", text, count=1, flags=re.DOTALL)
    start = prefix or "v" + hashlib.sha256(text.encode()).hexdigest()[:8]
    text = re.sub(r'\bid="', f'id="{start}-', text)
    text = re.sub(r'((?:xlink:)?href=")#', rf"\1#{start}-", text)
    text = text.replace("url(#", f"url(#{start}-")
    spoken = "" if label is None else f" aria-label={quoteattr(label)}"
    shape = "max-width: 100%; height: auto; stroke-linejoin: round; stroke-linecap: butt"
    root = f'<svg role="img"{spoken} style="{shape}"'
    return text.replace("<svg", root, 1).rstrip() + "\n"


def save(figure: Figure, path: Path | str, dpi: float = 150) -> None:
    """Write a picture, atomically; the suffix says which kind.

    PNG gets a white ground, SVG and PDF none. SVG keeps its own ink here: outside a page
    there is no text colour to take.

    Raises:
        ValueError: If the suffix is none of .svg, .png, .pdf.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"path: expected one of {', '.join(SUFFIXES)}, got {path.name!r}")
    if path.suffix == ".svg":
        write_atomically(path, _svg(figure).encode())
        return
    data = io.BytesIO()
    # Without a date the same figure gives the same bytes.
    plain: dict[str, Any] = {"CreationDate": None} if path.suffix == ".pdf" else {}
    ground = "white" if path.suffix == ".png" else "none"
    figure.savefig(data, format=path.suffix[1:], dpi=dpi, metadata=plain, facecolor=ground)
    write_atomically(path, data.getvalue())


def _svg(figure: Figure) -> str:
    import matplotlib

    data = io.BytesIO()
    rules: Any = {"svg.hashsalt": "nacgraph", "svg.fonttype": "path"}
    # Every field that matplotlib would fill by itself, the date above all, is left out.
    fields = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with matplotlib.rc_context(rules):
        figure.savefig(data, format="svg", metadata=fields, transparent=True)
    return data.getvalue().decode()
