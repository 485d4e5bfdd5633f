"""One self-contained page: style, figures and tables in a single file that loads nothing."""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from os import PathLike
from pathlib import Path
from xml.etree.ElementTree import Element

from sclong_core.files import atomic_file
from sclong_data.report.figure import Figure, figure
from sclong_data.report.markup import fill, render, tag
from sclong_data.report.table import Table, table

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'"
"""Whatever gets into the page, a browser loads nothing from elsewhere and runs no script, but for
those that sort tables and answer in maps, which it knows by their hashes."""

Block = str | Figure | Table | Element
"""A paragraph, a figure, a table, or any element."""


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    heading: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Page:
    """A report."""

    title: str
    """Also shown by the browser."""
    lede: str
    """What this is, in a few sentences."""
    sections: Sequence[Section]
    """In order; their figures are numbered through."""
    summary: Element | None = None
    """The main numbers, between the two."""
    contents: bool = False
    """List the sections above them, for a long page."""


def key_figures(figures: Iterable[tuple[str, str, str]]) -> Element:
    """The main numbers of a page: of each its label, the number, and what stands beside it."""
    entries = (
        tag(
            "div",
            tag("dt", label),
            tag("dd", value, class_="figure"),
            tag("dd", beside, class_="beside"),
        )
        for label, value, beside in figures
    )
    return tag("dl", *entries, class_="facts")


def write_page(path: str | PathLike[str], page: Page) -> None:
    """Write the page, whole or not at all."""
    with atomic_file(path) as temporary:
        temporary.write_text(page_html(page), encoding="utf-8")


def is_page(path: Path) -> bool:
    """Whether a file is a page as :func:`write_page` writes it."""
    policy = tag("meta", http_equiv="Content-Security-Policy", content=_POLICY)
    beginning = render(policy).rpartition('"')[0]
    try:
        with path.open("rb") as handle:
            head = handle.read(4096).decode("utf-8", "replace")
    except OSError:
        return False
    return head.startswith("<!DOCTYPE html>\n") and beginning in head


def page_html(page: Page) -> str:
    """The page as HTML."""
    return f"<!DOCTYPE html>\n{render(_document(page))}\n"


def _document(page: Page) -> Element:
    wanted = (("sort.js", _sortable(page)), ("map.js", _has_maps(page)))
    scripts = [_resource(name) for name, is_wanted in wanted if is_wanted]
    policy = _POLICY
    if scripts:
        digests = (hashlib.sha256(script.encode()).digest() for script in scripts)
        words = (f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
        policy += f"; script-src {' '.join(words)}"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", page.title),
        tag("link", rel="icon", href="data:,"),
        tag("style", _resource("report.css")),
    )
    header = tag("header", tag("h1", page.title), tag("p", page.lede, class_="lede"))
    if page.summary is not None:
        header.append(page.summary)
    if page.contents:
        header.append(_contents(page))
    body = tag("body", header, tag("main", *_sections(page.sections)))
    fill(body, (tag("script", script) for script in scripts))
    return tag("html", head, body, lang="en")


def _resource(name: str) -> str:
    return files("sclong_data.report").joinpath(name).read_text("utf-8")


def _sortable(page: Page) -> bool:
    blocks = [block for section in page.sections for block in section.blocks]
    return any(isinstance(block, Table) and block.sortable for block in blocks) or any(
        element.get("class") == "sortable"
        for block in blocks
        if isinstance(block, Element)
        for element in block.iter("table")
    )


def _has_maps(page: Page) -> bool:
    elements = (b for s in page.sections for b in s.blocks if isinstance(b, Element))
    return any(part.get("class") == "cell-map" for e in elements for part in e.iter("div"))


def _contents(page: Page) -> Element:
    links = (
        tag("li", tag("a", section.heading, href=f"#section-{number}"))
        for number, section in enumerate(page.sections, 1)
    )
    return tag("nav", tag("ol", *links), **{"aria-label": "Sections"})


def _sections(sections: Sequence[Section]) -> list[Element]:
    elements: list[Element] = []
    figures = 0
    for number, section in enumerate(sections, 1):
        element = tag("section", tag("h2", section.heading), id=f"section-{number}")
        for block in section.blocks:
            figures += isinstance(block, Figure)
            element.append(_block(block, figures))
        elements.append(element)
    return elements


def _block(block: Block, figures: int) -> Element:
    if isinstance(block, Figure):
        return figure(block, figures)
    if isinstance(block, Table):
        return table(block)
    if isinstance(block, Element):
        return block
    return tag("p", block)
