"""Names of files and ids, made of names that may hold anything."""

import hashlib
import re
from collections import Counter
from collections.abc import Sequence

_LONGEST = 120
"""Characters; with an ending and the marks of a temporary file it still is a name of a file."""


def plain_names(wanted: Sequence[str], keys: Sequence[Sequence[str]]) -> list[str]:
    """Names of ASCII letters, digits, hyphens and underscores, no two the same.

    A name that is shared, empty or long gets a hash of its key.

    Args:
        wanted: what each should be called; signs and letters of other scripts become ``_``.
        keys: what each stands for, no two the same.
    """
    names = [re.sub(r"[^A-Za-z0-9_-]", "_", name) for name in wanted]
    counts = Counter(name.casefold() for name in names)  # as some file systems compare them
    return [
        name
        if name.strip("_-") and counts[name.casefold()] == 1 and len(name) <= _LONGEST
        else _hashed(name, key)
        for name, key in zip(names, keys, strict=True)
    ]


def _hashed(name: str, key: Sequence[str]) -> str:
    written = "".join(f"{len(part)}:{part}" for part in key)
    digest = hashlib.sha256(written.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return "-".join(filter(None, (name[:_LONGEST].strip("-_"), digest)))
