"""What the harmoniser notes for itself beside a corpus: under ``.work``, and safe to remove."""

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sclong_core.errors import InputError
from sclong_core.expression import GeneMatch
from sclong_core.files import atomic_file, read_json, read_sealed, write_sealed
from sclong_data.corpus.layout import INDEX, REPORTS, VOCABULARY

_LOG = logging.getLogger("sclong")
FOLDER = ".work"
_FILES = (INDEX, VOCABULARY, *REPORTS)
_FOLDERS = ("shards", "datasets", "cells")


@dataclass(frozen=True)
class Workplace:
    """Places under ``.work`` of a corpus.

    Args:
        corpus: the folder of the corpus.
    """

    corpus: Path

    @property
    def folder(self) -> Path:
        """The folder of notes."""
        return self.corpus / FOLDER

    @property
    def lock(self) -> Path:
        """Held by the process that writes the corpus."""
        return self.folder / "lock"

    @property
    def sources(self) -> Path:
        """Digests of source files."""
        return self.folder / "sources.json"

    @property
    def finished(self) -> Path:
        """What the corpus was last finished with."""
        return self.folder / "finished.json"

    @property
    def scratch(self) -> Path:
        """For files that are converted on the way."""
        return self.folder / "scratch"

    def survey(self, dataset: str) -> Path:
        """The survey of a data set."""
        return self.folder / "surveys" / f"{dataset}.json"

    def genes(self, dataset: str) -> Path:
        """Where the genes of a data set are in the vocabulary."""
        return self.folder / "surveys" / f"{dataset}.npz"

    def unit(self, shard: str) -> Path:
        """What became of the cells that a shard was made of."""
        return self.folder / "units" / f"{shard}.json"

    def prepare(self) -> None:
        """Make the folders.

        Raises:
            InputError: the folder is not one of a corpus, and something in it would be replaced.
        """
        _require_corpus(self.corpus)
        for name in ("surveys", "units"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    def sweep(self) -> None:
        """Remove what interrupted runs left half-written. Only while the lock is held."""
        for path in _leftovers(self.corpus):
            _LOG.info("removed %s, left by a run that was interrupted", path)
            path.unlink()


def _leftovers(corpus: Path) -> Iterator[Path]:
    stems = (Path(name).stem for name in _FILES)
    patterns = [f".{stem}.tmp-*" for stem in stems]
    patterns += [f"{folder}/.*.tmp-*" for folder in (*_FOLDERS, FOLDER, f"{FOLDER}/*")]
    for pattern in patterns:
        yield from (path for path in corpus.glob(pattern) if path.is_file())


def _require_corpus(folder: Path) -> None:
    """Refuse a folder in which a corpus would replace what others wrote."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is not a folder: choose another name for the corpus")
    if not folder.exists() or _is_corpus(folder):
        return
    taken = [name for name in (*_FILES, *_FOLDERS, FOLDER) if os.path.lexists(folder / name)]
    if taken and not (taken == [FOLDER] and _is_begun(folder / FOLDER)):
        raise InputError(
            f"{folder} is not the folder of a corpus, and holds {', '.join(taken)}, which a corpus "
            "would replace: choose a new or an empty folder"
        )


def _is_begun(work: Path) -> bool:
    """Whether a run was killed before it held the lock: it had made empty folders, and no file."""
    if work.is_symlink() or not work.is_dir():
        return False
    made = list(work.rglob("*"))
    return all(path in (work / "surveys", work / "units") and path.is_dir() for path in made)


def _is_corpus(folder: Path) -> bool:
    """Whether the harmoniser made a folder: it holds its notes, or its index."""
    work = folder / FOLDER
    if (work / "lock").is_file() and (work / "surveys").is_dir() and (work / "units").is_dir():
        return True
    try:
        index = read_json(folder / INDEX)
    except (OSError, ValueError):
        return False
    return isinstance(index, dict) and index.keys() >= {"format", "digest", "shards", "datasets"}


def read_note(path: Path, key: str | None) -> dict[str, Any] | None:
    """A note made under the same key, or any; None where there is none, or it is damaged."""
    found = read_sealed(path)
    return None if found is None or key not in (None, found["key"]) else found


def write_note(path: Path, key: str, content: Mapping[str, Any]) -> None:
    """Note something under a key, whole or not at all."""
    write_sealed(path, {**content, "key": key})


def digest_of(content: Any) -> str:
    """SHA-256 of plain JSON values."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write_genes(path: Path, match: GeneMatch) -> None:
    """Note where the genes of a data set are."""
    with atomic_file(path) as temporary, temporary.open("wb") as handle:
        np.savez(
            handle,
            columns=match.columns,
            positions=match.positions,
            vocabulary_genes=np.array(match.vocabulary_genes),
        )


def read_genes(path: Path) -> GeneMatch:
    """The inverse of :func:`write_genes`, without the names."""
    with np.load(path, allow_pickle=False) as held:
        return GeneMatch(
            columns=held["columns"],
            positions=held["positions"],
            names=(),
            unknown=(),
            found_in="",
            kind="id",
            vocabulary_genes=int(held["vocabulary_genes"]),
        )
