"""Figures made safe to stand in a page beside others."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

SVG = "http://www.w3.org/2000/svg"
LINK = "http://www.w3.org/1999/xlink"
# A style element would reach the whole page; metadata names other people's addresses.
DROPPED = {"script", "foreignObject", "metadata", "style", "iframe", "animate", "set"}
REFERENCE = re.compile(r"url\(\s*['\"]?#([^)'\"]+)['\"]?\s*\)")
ELSEWHERE = re.compile(r"url\(\s*(?!['\"]?#)[^)]*\)")


def embedded_svg(name: str, text: str, prefix: str) -> str:
    """An SVG document as an element of a page: its own names, nothing that runs or loads.

    Every id gets ``prefix``, since the figures of one library share theirs. Scripts, styles,
    metadata, event handlers and links to elsewhere are left out; pictures held in the file stay.
    The size is dropped in favour of the ``viewBox``.

    Raises:
        ValueError: If the text is no SVG document.
    """
    try:
        root = ET.fromstring(text)
    except ET.ParseError as error:
        raise ValueError(f"picture {name!r}: expected an SVG document, got {error}") from error
    if root.tag not in (f"{{{SVG}}}svg", "svg"):
        raise ValueError(f"picture {name!r}: expected an SVG document, got <{root.tag}>")
    _clean(root, prefix)
    width, height = (_points(root.attrib.pop(side, "")) for side in ("width", "height"))
    if "viewBox" not in root.attrib and width and height:
        root.set("viewBox", f"0 0 {width:g} {height:g}")
    # Matplotlib asks for these by a style of its own, which was dropped.
    root.set("stroke-linejoin", "round")
    root.set("stroke-linecap", "butt")
    root.set("class", "figure")
    root.set("role", "img")
    root.set("aria-label", root.get("aria-label", name))
    root.attrib.pop("style", None)
    box = re.findall(r"[-+.\deE]+", root.get("viewBox", ""))
    if len(box) == 4:  # in points; beyond their 4/3 pixels a figure would only be coarse
        root.set("style", f"max-width:{_points(box[2]) * 4 / 3:.0f}px")
    ET.register_namespace("", SVG)
    ET.register_namespace("xlink", LINK)
    return ET.tostring(root, encoding="unicode", short_empty_elements=False)


def _clean(element: ET.Element, prefix: str) -> None:
    for child in list(element):
        if not isinstance(child.tag, str) or child.tag.rsplit("}", 1)[-1] in DROPPED:
            element.remove(child)
        else:
            _clean(child, prefix)
    for key, value in list(element.attrib.items()):
        bare = key.rsplit("}", 1)[-1].lower()
        if bare.startswith("on"):
            del element.attrib[key]
        elif bare == "id":
            element.set(key, prefix + value)
        elif bare in ("href", "src"):
            if value.startswith("#"):
                element.set(key, f"#{prefix}{value[1:]}")
            elif not value.startswith("data:image/"):
                del element.attrib[key]
        elif "url(" in value:
            value = ELSEWHERE.sub("none", value)
            element.set(key, REFERENCE.sub(rf"url(#{prefix}\1)", value))


def _points(size: str) -> float:
    match = re.match(r"\s*([0-9.]+)", size)
    return float(match.group(1)) if match else 0.0
