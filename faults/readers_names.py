"""Names that are no files: of a checkpoint on the hub."""

import os
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from faults.trials import Reader
from sclong_core import checkpoint_names
from sclong_core.errors import CheckpointError

_PARTS: tuple[str, ...] = (
    "..",
    ".",
    "",
    "/",
    "//",
    "a",
    "b-c",
    "\\",
    "\n",
    "\0",
    "~",
    "%2e%2e",
    ":",
    "?x=1",
    "#",
)
_PARTS += (
    "%2e%2e",
    ":",
    "?x=1",
    "#",
    "@main",
    "http:",
    "file:",
    "é",
    "x" * 200,
    "-",
    " ",
    "$(id)",
    ";id",
    "../..",
)
_NAME = "name.txt"


def _write(folder: Path) -> None:
    (folder / _NAME).write_text("owner/name")


def _hostile(folder: Path, generator: np.random.Generator) -> None:
    """Parts of names and of attacks, with at least one that no name may have."""
    count = int(generator.integers(1, 5))
    parts = [str(generator.choice(_PARTS[2:])) for _ in range(count)]
    parts.insert(int(generator.integers(count + 1)), "..")
    (folder / _NAME).write_text("/".join(parts), newline="")


def _resolve(folder: Path) -> Any:
    """Whether the hub would be asked, which it is not."""
    asked: list[str] = []

    def note(name: str, revision: str | None) -> Path:
        asked.append(name)
        raise CheckpointError("it would be asked")

    name = (folder / _NAME).read_bytes().decode("utf-8", "replace")
    if os.path.isdir(name):  # noqa: PTH112  # Path.is_dir raises where a name is too long
        raise CheckpointError("a folder of this machine, which is what a folder's name gives")
    with mock.patch.object(checkpoint_names, "_download", note):  # in the place of the network
        try:
            checkpoint_names.resolve_checkpoint(name)
        except CheckpointError:
            if not asked:
                raise
    return asked


READERS = (Reader("name on the hub", _write, _resolve, planted={"..": _hostile}),)
