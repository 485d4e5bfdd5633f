"""The index of a corpus: what it consists of, with a hash of every part, written last."""

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sclong_core.errors import InputError
from sclong_core.files import atomic_file, sha256_file, write_json
from sclong_core.vocabulary import GeneVocabulary
from sclong_data.corpus.layout import FORMAT_VERSION, INDEX, KEPT, KEYS, REPORTS, VOCABULARY
from sclong_data.corpus.shards import ShardRecord, read_digests, record_from


@dataclass(frozen=True)
class CorpusIndex:
    """Contents of ``corpus.json``."""

    digest: str
    """SHA-256 over all the rest: two corpora with one digest hold the same cells in one order."""
    vocabulary: str
    """Digest of the genes."""
    rules: Mapping[str, Any]
    """How the cells were harmonised."""
    shards: tuple[ShardRecord, ...]
    """In the order of their cells."""
    kept: tuple[int, ...]
    """Number of cells of each shard that belong to the corpus; the others are duplicates."""
    datasets: tuple[Mapping[str, Any], ...]
    """What is known of each data set."""
    files: Mapping[str, str]
    """SHA-256 of the files beside the shards, by their place in the folder."""

    @property
    def cells(self) -> int:
        """Number of cells of the corpus."""
        return sum(self.kept)


def write_corpus(
    folder: Path,
    *,
    vocabulary: GeneVocabulary,
    rules: Mapping[str, Any],
    shards: Sequence[ShardRecord],
    kept: Mapping[str, npt.NDArray[np.bool_]],
    datasets: Sequence[Mapping[str, Any]],
) -> CorpusIndex:
    """Make a corpus of shards that are there; ``corpus.json`` is written last.

    Args:
        folder: of the corpus.
        vocabulary: genes of the shards.
        rules: how the cells were harmonised: plain JSON values.
        shards: those that belong to it, in any order.
        kept: for each shard by its name, which of its cells belong to the corpus, ``(cells,)``.
        datasets: what is known of each data set: plain JSON values. Files ``datasets/*.json``,
            ``report.tsv`` and ``duplicates.json`` that are there belong to the corpus too.

    Raises:
        InputError: a shard has no such array, or a name occurs twice.
    """
    ordered = sorted(shards, key=_place)
    for before, record in itertools.pairwise(ordered):
        if before.name == record.name:
            raise InputError(f"shard {record.name} occurs twice in the corpus")
    chosen = [_kept_of(record, kept) for record in ordered]
    (folder / "cells").mkdir(parents=True, exist_ok=True)
    vocabulary.write(folder / VOCABULARY)
    _save(folder / KEPT, np.packbits(_joined(chosen, np.bool_)))
    keys = [
        read_digests(folder, record.name)[rows, 0]
        for record, rows in zip(ordered, chosen, strict=True)
    ]
    _save(folder / KEYS, _joined(keys, np.uint64))
    content = {
        "format": FORMAT_VERSION,
        "vocabulary": vocabulary.digest,
        "rules": dict(rules),
        "shards": [
            {**asdict(record), "kept": int(rows.sum())}
            for record, rows in zip(ordered, chosen, strict=True)
        ],
        "datasets": [dict(row) for row in datasets],
        "files": {name: sha256_file(folder / name) for name in _files_beside(folder)},
    }
    write_json(folder / INDEX, {**content, "digest": _digest(content)})
    return read_index(folder)


def read_index(folder: Path) -> CorpusIndex:
    """Read ``corpus.json`` and compare it with the digest in it.

    Raises:
        InputError: the folder holds no corpus, or one of another version, or the index is damaged.
    """
    path = folder / INDEX
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            f"{folder} holds no {INDEX}: it is not a corpus, or `sclong data harmonise` "
            "did not finish (run it again)"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged: it is not JSON") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is damaged: it is not the index of a corpus")
    if content.get("format") != FORMAT_VERSION:
        raise InputError(
            f"{path} has format version {content.get('format')!r}, but this version of "
            f"sclong-data reads {FORMAT_VERSION}: harmonise again, or install the "
            "version that wrote it"
        )
    stored = content.pop("digest", None)
    found = _digest(content)
    if stored != found:
        raise InputError(f"{path} is damaged: its digest is {stored}, its content has {found}")
    try:
        return CorpusIndex(
            digest=found,
            vocabulary=content["vocabulary"],
            rules=content["rules"],
            shards=tuple(record_from(row) for row in content["shards"]),
            kept=tuple(int(row["kept"]) for row in content["shards"]),
            datasets=tuple(content["datasets"]),
            files=dict(content["files"]),
        )
    except (KeyError, TypeError) as error:
        raise InputError(f"{path} is not the index of a corpus: {error}") from error


def _files_beside(folder: Path) -> list[str]:
    """Files of the corpus other than shards and the index."""
    reports = [*folder.glob("datasets/*.json"), *(folder / name for name in REPORTS)]
    there = sorted(path.relative_to(folder).as_posix() for path in reports if path.is_file())
    return [KEPT, KEYS, VOCABULARY, *there]


def _place(record: ShardRecord) -> tuple[str, int]:
    """Shards stand by the name of their data set and then by their number."""
    return record.dataset, int(record.name.rpartition(".")[2])


def _kept_of(
    record: ShardRecord, kept: Mapping[str, npt.NDArray[np.bool_]]
) -> npt.NDArray[np.bool_]:
    rows = kept.get(record.name)
    if rows is None or rows.shape != (record.cells,) or rows.dtype != np.bool_:
        raise InputError(
            f"shard {record.name} has {record.cells} cells, but which of them are kept is not "
            "said by as many booleans"
        )
    return rows


def _joined(parts: Sequence[npt.NDArray[Any]], dtype: Any) -> npt.NDArray[Any]:
    return np.concatenate([np.empty(0, dtype), *parts])


def _save(path: Path, array: npt.NDArray[Any]) -> None:
    with atomic_file(path) as temporary, temporary.open("wb") as handle:
        np.save(handle, array, allow_pickle=False)


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
