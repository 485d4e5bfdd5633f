"""One self-contained page: style, figures and tables in a single file that loads nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from os import PathLike
from xml.etree.ElementTree import Element

from sclong_core.files import atomic_file
from sclong_data.report.figure import Figure, figure
from sclong_data.report.markup import render, tag
from sclong_data.report.table import Table, table

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'"
"""Whatever gets into the page, a browser loads nothing from elsewhere and runs no script."""

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


def write_page(path: str | PathLike[str], page: Page) -> None:
    """Write the page, whole or not at all."""
    with atomic_file(path) as temporary:
        temporary.write_text(page_html(page), encoding="utf-8")


def page_html(page: Page) -> str:
    """The page as HTML."""
    return f"<!DOCTYPE html>\n{render(_document(page))}\n"


def _document(page: Page) -> Element:
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", page.title),
        tag("link", rel="icon", href="data:,"),
        tag("style", files("sclong_data.report").joinpath("report.css").read_text("utf-8")),
    )
    header = tag("header", tag("h1", page.title), tag("p", page.lede, class_="lede"))
    if page.summary is not None:
        header.append(page.summary)
    body = tag("body", header, tag("main", *_sections(page.sections)))
    return tag("html", head, body, lang="en")


def _sections(sections: Sequence[Section]) -> list[Element]:
    elements: list[Element] = []
    figures = 0
    for section in sections:
        element = tag("section", tag("h2", section.heading))
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
