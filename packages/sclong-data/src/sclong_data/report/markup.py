"""Elements of a page. Text is escaped where it is put in, so that no name can become markup."""

import unicodedata
from collections.abc import Iterable
from xml.etree.ElementTree import Element, tostring

Content = Element | str
"""What an element may hold."""

_UNSAFE = frozenset(("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"))
"""Unicode categories that a page shows as U+FFFD: controls, invisible and direction marks, ends of
lines, and what is not a character, which XML does not allow."""


def tag(name: str, /, *content: Content, **attributes: str | float) -> Element:
    """An element of HTML or SVG.

    Args:
        name: of the element.
        content: elements and texts in order.
        attributes: ``class_`` stands for ``class``, ``stroke_width`` for ``stroke-width``; numbers
            are rounded to two decimals.
    """
    element = Element(name)
    for key, value in attributes.items():
        written = value if isinstance(value, str) else plain_number(value)
        element.set(key.rstrip("_").replace("_", "-"), clean(written))
    return fill(element, content)


def fill(element: Element, content: Iterable[Content]) -> Element:
    """Append texts and elements to ``element``, and return it."""
    for item in content:
        if isinstance(item, Element):
            element.append(item)
        elif len(element):
            element[-1].tail = (element[-1].tail or "") + clean(item)
        else:
            element.text = (element.text or "") + clean(item)
    return element


def clean(text: str) -> str:
    """``text`` with what no reader should meet in it replaced by U+FFFD."""
    return "".join(
        "\N{REPLACEMENT CHARACTER}"
        if character not in "\n\t" and unicodedata.category(character) in _UNSAFE
        else character
        for character in text
    )


def plain_number(value: float) -> str:
    """A coordinate: at most two decimals, no trailing zeros, never ``-0``."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def render(element: Element) -> str:
    """The HTML of an element."""
    return tostring(element, encoding="unicode", method="html")
