"""A figure: its panels, what they show, and the numbers behind them."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from sclong_data.report.markup import Content, tag
from sclong_data.report.table import Table, table


@dataclass(frozen=True)
class Figure:
    """Panels side by side, or under each other on a narrow screen, with a caption."""

    panels: Sequence[Element]
    """Drawings."""
    caption: str
    """What they show."""
    numbers: Sequence[Table]
    """All that is drawn, for those who read numbers rather than pictures."""
    legend: Element | None = None
    """Shared by the panels, if there is more than one."""


def figure(content: Figure, number: int) -> Element:
    """The element of a figure, numbered; its tables open at a click and scroll inside the page."""
    parts: list[Content] = [tag("div", *content.panels, class_="panels")]
    if content.legend is not None:
        parts.append(content.legend)
    label = tag("strong", f"Figure {number}.")
    parts.append(tag("figcaption", label, " ", content.caption))
    parts.append(
        tag(
            "details",
            tag("summary", f"Numbers of figure {number}"),
            *(table(numbers) for numbers in content.numbers),
        )
    )
    kind = "single" if len(content.panels) == 1 else "several"
    return tag("figure", *parts, id=f"figure-{number}", class_=kind)
