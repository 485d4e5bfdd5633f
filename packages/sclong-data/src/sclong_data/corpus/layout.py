"""Where things are in the folder of a corpus, and how data sets and shards may be called."""

import re
from pathlib import Path

from sclong_core.errors import InputError

FORMAT_VERSION = 1
"""Of the folder; a reader refuses any other."""
INDEX = "corpus.json"
VOCABULARY = "vocabulary.tsv"
KEYS = "cells/keys.npy"
KEPT = "cells/kept.npy"
REPORTS = ("duplicates.json", "report.tsv")
"""What the harmoniser says of all data sets together."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\.[0-9]+")


def corpus_folder(path: str | Path) -> Path:
    """The folder of a corpus that is named by itself or by its index."""
    return Path(path).parent if Path(path).name == INDEX else Path(path)


def shard_path(folder: Path, name: str) -> Path:
    """The file of a shard: a zip archive with an AnnData zarr store inside."""
    return folder / "shards" / f"{name}.zarr.zip"


def record_path(folder: Path, name: str) -> Path:
    """The record of a shard, which is written after the shard itself."""
    return folder / "shards" / f"{name}.json"


def check_name(name: str) -> str:
    """The data set that a shard belongs to, from the shard's name ``<data set>.<number>``.

    Raises:
        InputError: the name is of another form.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} cannot be the name of a shard: it must be a data set's name, a dot and a "
            "number, of letters, digits, '.', '_' and '-'"
        )
    return name.rpartition(".")[0]
