"""From finished shards to a corpus: duplicates, the report, the index, and what must go."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sclong_core.files import read_json, sha256_file
from sclong_data.corpus.index import write_corpus
from sclong_data.corpus.layout import INDEX, record_path, shard_path
from sclong_data.corpus.shards import ShardRecord, read_digests, read_shard_record
from sclong_data.harmoniser.duplicates import CellRun, Duplicates, find_duplicates
from sclong_data.harmoniser.rows import (
    FOLDER,
    Row,
    brief,
    read_row,
    row_path,
    with_duplicates,
    write_rows,
)
from sclong_data.harmoniser.units import Shared, UnitDone
from sclong_data.harmoniser.workplace import Workplace, digest_of, read_note, write_note

_LOG = logging.getLogger("sclong")
_SHARD = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,127}\.[0-9]{5,})(\.zarr\.zip|\.json)")


@dataclass(frozen=True)
class Collected:
    """All that a corpus will consist of."""

    rows: tuple[Row, ...]
    """One a data set, by their ids, before duplicates are known."""
    units: tuple[UnitDone, ...]
    """All runs of cells, by data set and number."""

    def state(self, shared: Shared) -> str:
        """Identifies the corpus: it depends on nothing else."""
        shards = [(unit.name, unit.shard) for unit in self.units]
        return digest_of(
            [shared.vocabulary.digest, shared.rules.to_dict(), list(self.rows), shards]
        )


def finished_rows(shared: Shared, collected: Collected) -> tuple[Row, ...] | None:
    """The rows of a folder that already holds just this corpus, None where it must be finished."""
    corpus = shared.corpus
    note = read_note(Workplace(corpus).finished, collected.state(shared))
    try:
        rows = [read_json(row_path(corpus, row["dataset"])) for row in collected.rows]
        there = {"index": sha256_file(corpus / INDEX), "rows": digest_of(rows)}
    except (OSError, ValueError):
        return None
    if note is None or any(note[name] != found for name, found in there.items()):
        return None
    return tuple(rows)


def finish(shared: Shared, collected: Collected, datasets: Sequence[str]) -> tuple[Row, ...]:
    """Take duplicates out, and write report and index; the index is written last.

    Args:
        shared: folder, vocabulary and rules.
        collected: what the corpus consists of.
        datasets: all data sets of the manifest; shards of others are removed.

    Returns:
        The rows, with duplicates.
    """
    corpus = shared.corpus
    records = {unit.name: _record(corpus, unit) for unit in collected.units if unit.shard}
    runs = [
        CellRun(unit.dataset, unit.number, read_digests(corpus, unit.name))
        for unit in collected.units
        if unit.shard
    ]
    found = find_duplicates(runs)
    kept = dict(zip(records, found.kept, strict=True))
    rows = _rows(collected.rows, found)
    _remove_rows(corpus, set(datasets))
    write_rows(corpus, rows, found.pairs)
    write_corpus(
        corpus,
        vocabulary=shared.vocabulary,
        rules=shared.rules.to_dict(),
        shards=list(records.values()),
        kept=kept,
        datasets=[brief(row) for row in rows],
    )
    _remove_others(shared, collected, set(datasets))
    there = {"index": sha256_file(corpus / INDEX), "rows": digest_of(list(rows))}
    write_note(Workplace(corpus).finished, collected.state(shared), there)
    return rows


def withdraw(corpus: Path, shards: Sequence[str]) -> None:
    """Take back the index where one of its shards is about to be rebuilt."""
    if (corpus / INDEX).exists() and any(shard_path(corpus, name).exists() for name in shards):
        _LOG.info("%s: removing the index while its shards are rewritten", corpus)
        (corpus / INDEX).unlink()


def _record(corpus: Path, unit: UnitDone) -> ShardRecord:
    record = read_shard_record(corpus, unit.name)
    assert record is not None  # it was just written, or looked at
    return record


def _rows(rows: Sequence[Row], found: Duplicates) -> tuple[Row, ...]:
    gone: dict[str, int] = {}
    for (_, other), count in found.pairs.items():
        gone[other] = gone.get(other, 0) + count
    return tuple(
        with_duplicates(row, gone.get(row["dataset"], 0)) if row["status"] == "kept" else row
        for row in rows
    )


def _shards(shared: Shared) -> set[str]:
    """Names of the shards that were ever made here: those with a record, or a note of the work."""
    folder, notes = shared.corpus / "shards", Workplace(shared.corpus).folder / "units"
    names = {match[1] for path in folder.glob("*") if (match := _SHARD.fullmatch(path.name))}
    return {
        name
        for name in names
        if (notes / f"{name}.json").is_file() or read_shard_record(shared.corpus, name) is not None
    }


def _remove_rows(corpus: Path, datasets: set[str]) -> None:
    for path in sorted((corpus / FOLDER).glob("*.json")):
        if path.stem not in datasets and read_row(path) is not None:
            _LOG.info("%s is no longer in the manifest: removing its cells", path.stem)
            path.unlink()


def _remove_others(shared: Shared, collected: Collected, datasets: set[str]) -> None:
    """Remove what belongs to data sets of former manifests, and shards that are no longer made.

    Shards of a data set that cannot be read just now stay: they are taken up again when it can.
    Files that somebody else put there stay too.
    """
    corpus, place = shared.corpus, Workplace(shared.corpus)
    unread = {row["dataset"] for row in collected.rows if row["status"] == "failed"}
    wanted = {unit.name for unit in collected.units if unit.shard}
    for name in sorted(_shards(shared) - wanted):
        if name.rpartition(".")[0] not in unread:
            shard_path(corpus, name).unlink(missing_ok=True)
            record_path(corpus, name).unlink(missing_ok=True)
    for path in sorted((place.folder / "surveys").glob("*")):
        if path.stem not in datasets:
            path.unlink()
    noted = {unit.name for unit in collected.units}
    for path in sorted((place.folder / "units").glob("*.json")):
        if path.stem.rpartition(".")[0] not in unread and path.stem not in noted:
            path.unlink()
