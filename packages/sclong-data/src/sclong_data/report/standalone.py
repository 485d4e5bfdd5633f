"""Drawings as files of their own, for documents: light colours, no variables, no page around."""

import os
import re
from importlib.resources import files
from os import PathLike
from pathlib import Path
from xml.etree.ElementTree import Element, fromstring, tostring

from sclong_core.errors import InputError
from sclong_core.files import atomic_file
from sclong_data.report.markup import tag

_DRAWING = re.compile(
    r'(<\?xml version="1.0" encoding="UTF-8"\?>\n)?'
    r'<svg viewBox="[\d. ]+" role="img" aria-labelledby="\S+-title \S+-desc" '
)


def write_svg(path: str | PathLike[str], drawing: Element) -> None:
    """Write a drawing as an SVG file that editors and converters to PDF read too."""
    with atomic_file(path) as temporary:
        temporary.write_text(svg_text(drawing), encoding="utf-8")


def is_drawing(path: Path) -> bool:
    """Whether a file is a drawing as :func:`write_svg` writes it."""
    try:
        with path.open("rb") as handle:
            head = handle.read(1000).decode("utf-8", "replace")
    except OSError:
        return False
    return path.is_file() and _DRAWING.match(head) is not None


def require_drawings(folder: Path) -> None:
    """Refuse to replace a folder that holds anything but drawings.

    Raises:
        InputError: names the first thing in it that is something else.
    """
    if not os.path.lexists(folder):
        return
    if folder.is_symlink() or not folder.is_dir():
        raise InputError(f"{folder} is not a folder of figures: choose another name")
    for item in sorted(folder.iterdir()):
        if item.is_symlink() or not is_drawing(item):
            raise InputError(
                f"{folder} holds {item.name}, which is not a figure of sclong: choose "
                "another name or move it away"
            )


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
