"""The pieces of work: the survey of a data set, and a fixed run of its cells made a shard."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from sclong_core.errors import InputError
from sclong_core.expression import CellSource
from sclong_core.expression.identity import Identity
from sclong_core.expression.species import cells_of_organism
from sclong_core.files import sha256_file
from sclong_core.vocabulary import GeneVocabulary
from sclong_data.corpus.shards import read_shard_record, write_shard
from sclong_data.dataset_manifest import DatasetEntry
from sclong_data.genes.table import GeneTable
from sclong_data.harmoniser.annotation import describe_cells
from sclong_data.harmoniser.digests import cell_digests
from sclong_data.harmoniser.rules import HarmoniseRules
from sclong_data.harmoniser.survey import NOT_THE_ORGANISM, Survey, blocks, survey_dataset
from sclong_data.harmoniser.tallies import Tally
from sclong_data.harmoniser.transform import EMPTY, FEW_GENES, HarmonisedBlock, harmonise_block
from sclong_data.harmoniser.workplace import (
    Workplace,
    read_genes,
    read_note,
    write_genes,
    write_note,
)
from sclong_data.reading import open_dataset

NOT_PRIMARY = "not primary data"
_FALSE = frozenset({"False", "false", "0"})


@dataclass(frozen=True)
class Shared:
    """What all pieces of work need."""

    corpus: Path
    """Folder of the corpus."""
    vocabulary: GeneVocabulary
    """Its genes."""
    gene_table: GeneTable | None
    """Names of genes."""
    rules: HarmoniseRules
    """What is kept."""


@dataclass(frozen=True)
class SurveyTask:
    """A data set to look at."""

    entry: DatasetEntry
    """What the manifest says of it."""
    path: Path
    """Where it is."""
    files: tuple[Identity, ...]
    """Its files, which must stay what they are."""
    sha256: str
    """What its file holds."""
    key: str
    """What the survey depends on."""


@dataclass(frozen=True)
class ShardTask:
    """Some shards of a data set to make, in order, while its file is open."""

    entry: DatasetEntry
    """What the manifest says of it."""
    path: Path
    """Where it is."""
    files: tuple[Identity, ...]
    """Its files, which must stay what they are."""
    survey: Survey
    """What it is."""
    key: str
    """What its shards depend on."""
    numbers: tuple[int, ...]
    """Of the shards."""


@dataclass(frozen=True)
class Failed:
    """A data set that could not be read."""

    dataset: str
    reason: str


@dataclass(frozen=True)
class SurveyDone:
    """A data set that was looked at."""

    dataset: str
    survey: Survey


@dataclass(frozen=True)
class UnitDone:
    """A run of cells that was dealt with: its shard is there, if any of its cells is kept."""

    dataset: str
    number: int
    shard: str | None
    """SHA-256 of the shard, None where no cell is kept."""
    tally: Tally

    @property
    def name(self) -> str:
        """Of the shard."""
        return shard_name(self.dataset, self.number)


def without_folder(text: str, path: Path) -> str:
    """What was said about a file, by its name alone: the folder does not matter."""
    return text.replace(str(path), path.name)


def shard_name(dataset: str, number: int) -> str:
    """The name of a data set's shard."""
    return f"{dataset}.{number:05d}"


def do_survey(shared: Shared, task: SurveyTask) -> Iterator[SurveyDone | Failed]:
    """Look at a data set, and note what was found."""
    place, dataset = Workplace(shared.corpus), task.entry.dataset

    def reopen(matrix: str | None) -> CellSource:
        return _open(shared, replace(task.entry, matrix=matrix), task.path)

    try:
        with reopen(task.entry.matrix) as source:
            _require_same_files(task.files)
            found = survey_dataset(
                source,
                task.entry,
                shared.vocabulary,
                shared.gene_table,
                shared.rules,
                reopen=reopen,
            )
        _require_same_files(task.files)
    except InputError as error:
        yield Failed(dataset, without_folder(str(error), task.path))
        return
    survey = replace(found.survey, detail=without_folder(found.survey.detail, task.path))
    if found.match is not None:
        write_genes(place.genes(dataset), found.match)
    genes = None if found.match is None else sha256_file(place.genes(dataset))
    noted = {"survey": survey.to_dict(), "source": task.sha256, "genes": genes}
    write_note(place.survey(dataset), task.key, noted)
    yield SurveyDone(dataset, survey)


def do_shards(shared: Shared, task: ShardTask) -> Iterator[UnitDone | Failed]:
    """Make shards of a data set, and note each when it is there."""
    matrix = task.survey.matrix if task.survey.chosen else task.entry.matrix
    try:
        with _open(shared, replace(task.entry, matrix=matrix), task.path) as source:
            _require_same_files(task.files)
            _require_same(source, task)
            maker = _ShardMaker(shared, task, source)
            for number in task.numbers:
                yield maker.make(number)
    except InputError as error:
        yield Failed(task.entry.dataset, without_folder(str(error), task.path))


def finished_unit(corpus: Path, dataset: str, number: int, key: str) -> UnitDone | None:
    """A run of cells that was dealt with before, None where it must be done."""
    name = shard_name(dataset, number)
    note = read_note(Workplace(corpus).unit(name), key)
    if note is None:
        return None
    if note["shard"] is not None:
        record = read_shard_record(corpus, name)
        if record is None or record.sha256 != note["shard"]:
            return None
    return UnitDone(dataset, number, note["shard"], Tally.from_dict(note["tally"]))


def _open(shared: Shared, entry: DatasetEntry, path: Path) -> CellSource:
    names = frozenset((*shared.vocabulary.ids, *shared.vocabulary.symbols)) - {""}
    return open_dataset(entry, path, Workplace(shared.corpus).scratch, known_genes=names)


def _require_same_files(files: Iterable[Identity]) -> None:
    """Refuse files that hold something else than when they were identified."""
    for file in files:
        file.require_same()


def _require_same(source: CellSource, task: ShardTask) -> None:
    found = (source.n_cells, source.n_genes, source.matrix)
    if found != (task.survey.cells, task.survey.genes, task.survey.matrix):
        raise InputError(f"{source.name} changed while it was read: run the command again")


class _ShardMaker:
    """Makes shards of one open data set."""

    def __init__(self, shared: Shared, task: ShardTask, source: CellSource) -> None:
        self._shared, self._task, self._source = shared, task, source
        self._match = read_genes(Workplace(shared.corpus).genes(task.entry.dataset))
        self._out_by_obs = dict(_left_out(source.obs, shared.rules))

    def make(self, number: int) -> UnitDone:
        """Make one shard and note what became of its cells."""
        rules, dataset = self._shared.rules, self._task.entry.dataset
        start = number * rules.cells_per_shard
        stop = min(start + rules.cells_per_shard, self._source.n_cells)
        tally = Tally()
        parts: list[Any] = []
        kept_of: list[npt.NDArray[np.bool_]] = []
        for first, rows in blocks(self._source, start, stop):
            block = self._transform(rows)
            kept = self._judge(block, first, tally)
            tally.add(block, kept, self._normalisation)
            parts.append(block.expression[kept])
            kept_of.append(kept)
        _require_same_files(self._task.files)
        kept = np.concatenate(kept_of)
        obs = describe_cells(
            self._source.obs.iloc[start:stop], start, self._task.entry, rules.obs_columns
        )
        shard = self._write(number, parts, obs.loc[kept], tally) if kept.any() else None
        done = UnitDone(dataset, number, shard, tally)
        write_note(
            Workplace(self._shared.corpus).unit(done.name),
            self._task.key,
            {"shard": shard, "tally": tally.to_dict()},
        )
        return done

    @property
    def _normalisation(self) -> Any:
        return self._task.survey.normalisation

    def _transform(self, rows: Any) -> HarmonisedBlock:
        survey, rules = self._task.survey, self._shared.rules
        to_target = rules.other_sums == "rescale" and survey.common_sum
        return harmonise_block(rows, self._normalisation, self._match, rules, to_target=to_target)

    def _judge(self, block: HarmonisedBlock, first: int, tally: Tally) -> npt.NDArray[np.bool_]:
        """Which cells are kept; the others are counted under the first reason that holds."""
        kept = np.ones(block.genes.size, dtype=bool)
        reasons = [
            *((reason, out[first : first + kept.size]) for reason, out in self._out_by_obs.items()),
            (EMPTY, block.empty),
            (FEW_GENES, block.genes < self._shared.rules.min_genes_per_cell),
        ]
        for reason, out in reasons:
            count = int((kept & out).sum())
            if count:
                tally.out[reason] += count
            kept &= ~out
        return kept

    def _write(self, number: int, parts: list[Any], obs: pd.DataFrame, tally: Tally) -> str:
        expression = sparse.csr_array(sparse.vstack(parts, format="csr"))
        parts.clear()
        expression.sort_indices()
        tally.describe(obs)
        record = write_shard(
            self._shared.corpus,
            shard_name(self._task.entry.dataset, number),
            expression,
            obs,
            cell_digests(expression),
            vocabulary=self._shared.vocabulary,
        )
        return record.sha256


def _left_out(
    obs: pd.DataFrame, rules: HarmoniseRules
) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
    """Cells that their annotation leaves out, by reason."""
    right = cells_of_organism(obs, rules.organism)
    if right is not None:
        yield NOT_THE_ORGANISM, ~right
    if rules.primary_only and "is_primary_data" in obs:
        copies = obs["is_primary_data"].astype(str).isin(_FALSE)
        yield NOT_PRIMARY, np.asarray(copies, dtype=bool)
