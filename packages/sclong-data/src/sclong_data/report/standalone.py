"""Drawings as files of their own, for documents: light colours, no variables, no page around."""

import re
from importlib.resources import files
from os import PathLike
from xml.etree.ElementTree import Element, fromstring, tostring

from sclong_core.files import atomic_file
from sclong_data.report.markup import tag


def write_svg(path: str | PathLike[str], drawing: Element) -> None:
    """Write a drawing as an SVG file that editors and converters to PDF read too."""
    with atomic_file(path) as temporary:
        temporary.write_text(svg_text(drawing), encoding="utf-8")


def svg_text(drawing: Element) -> str:
    """The content of a file of :func:`standalone`."""
    text = tostring(standalone(drawing), encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def standalone(drawing: Element) -> Element:
    """A copy of a drawing with its style, in which the colours are put in, and a size."""
    copy = fromstring(tostring(drawing))  # noqa: S314  # what was built here, copied
    copy.set("xmlns", "http://www.w3.org/2000/svg")
    _, _, width, height = (copy.get("viewBox") or "0 0 400 300").split()
    copy.set("width", width)
    copy.set("height", height)
    copy.insert(0, tag("style", _style()))
    return copy


def _style() -> str:
    sheet = files("sclong_data.report").joinpath("report.css").read_text("utf-8")
    colours = dict(re.findall(r"--([\w]+): (#\w+);", sheet[: sheet.index("}")]))
    rules = re.findall(r"svg [^{}]*\{[^}]*\}", sheet)
    return re.sub(r"var\(--(\w+)\)", lambda found: colours[found[1]], "\n".join(rules))
