"""Sizes as people write them."""

import argparse
import re

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def read_size(text: str) -> int:
    """Bytes of a size such as ``500MB`` or ``2 GB``.

    Raises:
        ArgumentTypeError: it is none.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)b?", text.strip().lower())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size: write 500MB or 2GB")
    return int(float(match[1]) * _UNITS[match[2]])


def print_size(size: int | None) -> str:
    """A size for people; nothing where it is unknown."""
    if size is None:
        return ""
    for unit in ("TB", "GB", "MB", "kB"):
        worth = _UNITS[unit[0].lower()]
        if size >= worth:
            return f"{size / worth:,.1f} {unit}"
    return f"{size} B"
