"""A whole run: from a manifest to a corpus, resumed wherever the last one ended."""

import errno
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from sclong_core.errors import InputError, ScLongError
from sclong_core.expression.store import is_zarr_store
from sclong_core.lock import locked
from sclong_core.vocabulary import GeneVocabulary
from sclong_data.dataset_manifest import DatasetEntry, Manifest
from sclong_data.genes.table import GeneTable
from sclong_data.harmoniser.executors import Executor, executor_for
from sclong_data.harmoniser.finishing import Collected, finish, finished_rows, withdraw
from sclong_data.harmoniser.planning import Source, found_survey, identify, plan_shards
from sclong_data.harmoniser.progress import Progress, Silent
from sclong_data.harmoniser.rows import Row, failed_row, kept_row, rejected_row
from sclong_data.harmoniser.rules import HarmoniseRules
from sclong_data.harmoniser.survey import Survey
from sclong_data.harmoniser.tallies import Tally
from sclong_data.harmoniser.units import (
    Failed,
    ShardTask,
    Shared,
    SurveyTask,
    UnitDone,
    do_shards,
    do_survey,
    shard_name,
)
from sclong_data.harmoniser.workplace import Workplace

_LOG = logging.getLogger("sclong")
_FULL = {errno.ENOSPC, errno.EDQUOT}
PathName = str | PathLike[str]


@dataclass(frozen=True)
class HarmoniseResult:
    """What a run did."""

    corpus: Path
    """The folder of the corpus."""
    rows: tuple[Row, ...]
    """One a data set, as in ``datasets/<id>.json``."""
    shards_made: int
    """Shards that this run made."""
    unchanged: bool
    """All was there already: nothing was written."""

    @property
    def cells(self) -> int:
        """Cells of the corpus."""
        return sum(int(row["cells"]["kept"]) for row in self.rows if row["status"] == "kept")

    @property
    def failed(self) -> tuple[str, ...]:
        """Data sets that could not be read."""
        return tuple(row["dataset"] for row in self.rows if row["status"] == "failed")


def harmonise(  # settings of a user, each by its name
    manifest: Manifest | PathName,
    output: PathName,
    *,
    vocabulary: GeneVocabulary | PathName,
    rules: HarmoniseRules | Mapping[str, Any] | PathName | None = None,
    gene_table: GeneTable | Sequence[PathName] | None = None,
    cluster: str | None = None,
    progress: Progress | None = None,
) -> HarmoniseResult:
    """Make a corpus of the data sets of a manifest, or bring one up to date.

    What is there already is not made again: a run that was killed is taken up, a data set that was
    added to the manifest is added to the corpus, and one that was removed leaves it. The corpus
    depends on data sets, vocabulary, names of genes and rules alone; not on the order of the
    manifest, on how often a run was interrupted, or on where the work was done.

    Args:
        manifest: the data sets, or the file that names them.
        output: folder of the corpus; made if need be.
        vocabulary: genes of the corpus, or their file.
        rules: what is kept and how it is normalised, or a YAML file that says so; the paper's by
            default.
        gene_table: names of genes, or files of HGNC and GENCODE; without them genes are known by
            Ensembl ids and the vocabulary's symbols.
        cluster: where the work is done; see
            :func:`~sclong_data.harmoniser.executors.executor_for`. Workers must see the same
            files under the same names.
        progress: told how far the run is.

    Raises:
        InputError: manifest, vocabulary or gene table cannot be used, another run writes the same
            folder, or the disk is full. An unreadable data set is not an error: its row says
            so, and the others are done.
        ConfigError: a rule or the cluster is impossible.
        ScLongError: there is not enough memory, workers end again and again, or the cluster refuses
            to start any. Finished shards are kept.
    """
    found = manifest if isinstance(manifest, Manifest) else Manifest.read(manifest)
    shared = Shared(
        Path(output).resolve(),
        _vocabulary(vocabulary),
        _gene_table(gene_table),
        _rules(rules),
    )
    _refuse_inside(shared.corpus, found)
    place = Workplace(shared.corpus)
    with _disk_full(shared.corpus):
        place.prepare()
        with locked(place.lock, f"the corpus in {output}"), executor_for(cluster) as executor:
            place.sweep()
            return _Run(found, shared, executor, progress or Silent()).run()


def _refuse_inside(corpus: Path, manifest: Manifest) -> None:
    """Refuse a corpus that would be written into one of its data sets, or another store."""
    folders = set()
    for entry in manifest:
        with suppress(InputError):  # of a place that is refused later, for this data set alone
            folders.add(manifest.expected_path(entry).resolve())
    for folder in (corpus, *corpus.parents):
        if (folder in folders and folder.is_dir()) or is_zarr_store(folder):
            raise InputError(f"{corpus} lies in the data set {folder}: choose another folder")


class _Run:
    """One run, in its three stages."""

    def __init__(  # settings of a user, each by its name
        self, manifest: Manifest, shared: Shared, executor: Executor, progress: Progress
    ) -> None:
        self._manifest, self._shared = manifest, shared
        self._executor, self._progress = executor, progress
        self._failed: dict[str, str] = {}
        self._made = 0

    def run(self) -> HarmoniseResult:
        """Survey, make shards, finish."""
        sources = self._identify()
        surveys = self._survey(sources)
        units = self._make_shards(sources, surveys)
        collected = self._collect(sources, surveys, units)
        rows = finished_rows(self._shared, collected)
        unchanged = rows is not None
        if rows is not None:
            _LOG.info("%s is up to date: nothing was written", self._shared.corpus)
        else:
            self._progress.stage("duplicates", 1)
            rows = finish(self._shared, collected, [entry.dataset for entry in self._manifest])
        return HarmoniseResult(self._shared.corpus, rows, self._made, unchanged)

    def _identify(self) -> dict[str, Source]:
        self._progress.stage("checksums", len(self._manifest))
        sources: dict[str, Source] = {}
        for found in identify(self._manifest, self._shared):
            self._progress.advance(1)
            if isinstance(found, Failed):
                self._fail(found)
            else:
                sources[found.entry.dataset] = found
        return sources

    def _survey(self, sources: Mapping[str, Source]) -> dict[str, Survey]:
        """What each data set is: noted before, or looked at now."""
        found = {name: found_survey(source, self._shared) for name, source in sources.items()}
        tasks = [
            SurveyTask(source.entry, source.path, source.files, source.sha256, source.survey_key)
            for name, source in sources.items()
            if found[name] is None
        ]
        surveys = {name: survey for name, survey in found.items() if survey is not None}
        self._progress.stage("data sets looked at", len(tasks))
        for done in self._executor.run(partial(do_survey, self._shared), tasks):
            self._progress.advance(1)
            if isinstance(done, Failed):
                self._fail(done)
            else:
                surveys[done.dataset] = done.survey
                _announce(done.dataset, done.survey)
        return surveys

    def _make_shards(
        self, sources: Mapping[str, Source], surveys: Mapping[str, Survey]
    ) -> list[UnitDone]:
        """All shards: there already, or made now."""
        units: list[UnitDone] = []
        tasks: list[ShardTask] = []
        for name, survey in surveys.items():
            if survey.rejected is None:
                done, missing = plan_shards(sources[name], survey, self._shared)
                units += done
                tasks += missing
        names = [
            shard_name(task.entry.dataset, number) for task in tasks for number in task.numbers
        ]
        withdraw(self._shared.corpus, names)
        size = self._shared.rules.cells_per_shard
        total = sum(
            min(size, task.survey.cells - number * size)
            for task in tasks
            for number in task.numbers
        )
        self._progress.stage("cells", total)
        for made in self._executor.run(partial(do_shards, self._shared), tasks):
            if isinstance(made, Failed):
                self._fail(made)
            else:
                self._made += 1
                units.append(made)
                self._progress.advance(made.tally.cells)
        return units

    def _collect(
        self,
        sources: Mapping[str, Source],
        surveys: Mapping[str, Survey],
        units: Sequence[UnitDone],
    ) -> Collected:
        """Rows and shards by data set, without those that failed."""
        usable = sorted(
            (unit for unit in units if unit.dataset not in self._failed),
            key=lambda unit: (unit.dataset, unit.number),
        )
        by_dataset: dict[str, list[UnitDone]] = {}
        for unit in usable:
            by_dataset.setdefault(unit.dataset, []).append(unit)
        rows = [
            self._row(entry, sources, surveys, by_dataset.get(entry.dataset, []))
            for entry in sorted(self._manifest, key=lambda entry: entry.dataset)
        ]
        return Collected(tuple(rows), tuple(usable))

    def _row(
        self,
        entry: DatasetEntry,
        sources: Mapping[str, Source],
        surveys: Mapping[str, Survey],
        units: Sequence[UnitDone],
    ) -> Row:
        name = entry.dataset
        if name in self._failed:
            return failed_row(entry, self._failed[name])
        sha256, survey = sources[name].sha256, surveys[name]
        if survey.rejected is not None:
            return rejected_row(entry, sha256, survey)
        shards = sum(unit.shard is not None for unit in units)
        return kept_row(entry, sha256, survey, Tally.total(unit.tally for unit in units), shards)

    def _fail(self, failed: Failed) -> None:
        _LOG.error("%s cannot be used: %s", failed.dataset, failed.reason)
        self._failed[failed.dataset] = failed.reason


def _announce(dataset: str, survey: Survey) -> None:
    if survey.rejected is not None:
        _LOG.warning("%s is excluded (%s): %s", dataset, survey.rejected, survey.detail)
        return
    _LOG.info(
        "%s: %s cells; %s of %s genes in the vocabulary; %s %s: taken as %s",
        dataset,
        f"{survey.cells:,}",
        f"{survey.genes_matched:,}",
        f"{survey.genes:,}",
        survey.matrix,
        survey.recognised,
        survey.normalisation,
    )


@contextmanager
def _disk_full(corpus: Path) -> Iterator[None]:
    """Say in one line that there is no room, and that nothing is lost."""
    try:
        yield
    except MemoryError as error:
        raise ScLongError(
            "not enough memory: make shards smaller with the rule cells_per_shard, or "
            "request more; repeat the command to resume from the last finished shard"
        ) from error
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise InputError(
            f"the disk of {corpus} is full: free some space, and repeat the command to "
            "resume from the last finished shard"
        ) from error


def _vocabulary(given: GeneVocabulary | PathName) -> GeneVocabulary:
    return given if isinstance(given, GeneVocabulary) else GeneVocabulary.read(given)


def _gene_table(given: GeneTable | Sequence[PathName] | None) -> GeneTable | None:
    return given if given is None or isinstance(given, GeneTable) else GeneTable.read(*given)


def _rules(given: HarmoniseRules | Mapping[str, Any] | PathName | None) -> HarmoniseRules:
    if given is None:
        return HarmoniseRules()
    if isinstance(given, HarmoniseRules):
        return given
    return (
        HarmoniseRules.from_dict(given)
        if isinstance(given, Mapping)
        else HarmoniseRules.read(given)
    )
