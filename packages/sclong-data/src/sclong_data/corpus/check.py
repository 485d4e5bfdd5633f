"""Compare every byte of a corpus with the hashes in its index, and say what differs and where."""

import os
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from sclong_core.errors import InputError
from sclong_core.files import sha256_file
from sclong_core.vocabulary import GeneVocabulary
from sclong_data.corpus.index import CorpusIndex, read_index
from sclong_data.corpus.layout import INDEX, VOCABULARY, record_path, shard_path
from sclong_data.corpus.shards import ShardRecord, read_shard_record


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a corpus."""

    file: str
    """Which file, by its place in the folder."""
    what: str
    """What is wrong with it."""


@dataclass(frozen=True)
class Checked:
    """What was looked at and what was found."""

    problems: tuple[Problem, ...]
    """In the order of the files; empty where all is well."""
    files: int
    """Files that were compared."""
    bytes: int
    """Their size, as the index has it."""
    cells: int
    """Cells of the corpus."""


def check_corpus(
    folder: str | PathLike[str], *, seen: Callable[[int, int], None] | None = None
) -> Checked:
    """Read all files of a corpus and compare them with its index.

    Args:
        folder: of the corpus.
        seen: called after each file with the files that are done and all there are.

    Raises:
        InputError: there is no index, or it cannot be trusted: nothing can be compared with it.
    """
    root = Path(folder)
    index = read_index(root)
    tasks: list[Callable[[], list[Problem]]] = [
        *(lambda name=name: _check_file(root, name, index) for name in sorted(index.files)),
        *(lambda record=record: _check_shard(root, record) for record in index.shards),
    ]
    problems: list[Problem] = []
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as threads:
        for done, found in enumerate(threads.map(lambda task: task(), tasks), 1):
            problems += found
            if seen is not None:
                seen(done, len(tasks))
    problems += _strays(root, index)
    size = sum(record.bytes for record in index.shards)
    return Checked(tuple(problems), len(tasks) + 1, size, index.cells)


def _check_file(root: Path, name: str, index: CorpusIndex) -> list[Problem]:
    path = root / name
    if not path.is_file():
        return [Problem(name, "is missing")]
    found, expected = sha256_file(path), index.files[name]
    if found == expected:
        return []
    what = f"has SHA-256 {found} instead of {expected}"
    if name == VOCABULARY:
        what += f"; {_genes_of(path, index)}"
    return [Problem(name, what)]


def _genes_of(path: Path, index: CorpusIndex) -> str:
    try:
        digest = GeneVocabulary.read(path).digest
    except InputError as error:
        return str(error)
    if digest == index.vocabulary:
        return "its genes match, but its symbols differ"
    return f"its genes have digest {digest}, the corpus was made with {index.vocabulary}"


def _check_shard(root: Path, record: ShardRecord) -> list[Problem]:
    path = shard_path(root, record.name)
    name = path.relative_to(root).as_posix()
    if not path.is_file():
        return [Problem(name, "is missing")]
    problems = []
    size = path.stat().st_size
    if size != record.bytes:
        problems.append(Problem(name, f"has {size:,} bytes instead of {record.bytes:,}"))
    elif (found := sha256_file(path)) != record.sha256:
        what = f"has SHA-256 {found} instead of {record.sha256}; {_where(path)}"
        problems.append(Problem(name, what))
    if read_shard_record(root, record.name) != record and size == record.bytes:
        beside = record_path(root, record.name).relative_to(root).as_posix()
        problems.append(Problem(beside, "is missing, damaged, or belongs to another shard"))
    return problems


def _where(path: Path) -> str:
    """Which part of a shard is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except Exception:  # noqa: BLE001  # whatever a damaged archive makes zipfile raise
        return "its table of contents is damaged"
    if damaged is not None:
        return f"{damaged} in it is damaged"
    return (
        "what it holds agrees with its own checksums: it is another shard, or its table is damaged"
    )


def _strays(root: Path, index: CorpusIndex) -> list[Problem]:
    """Shards that the index does not speak of: they are not read, and take up room."""
    known = {record.name for record in index.shards}
    stray = sorted(path.name for path in root.glob("shards/*.zarr.zip"))
    return [
        Problem(f"shards/{name}", f"does not belong to the corpus: {INDEX} does not name it")
        for name in stray
        if name.removesuffix(".zarr.zip") not in known
    ]
