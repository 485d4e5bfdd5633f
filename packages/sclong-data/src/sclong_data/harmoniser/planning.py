"""What is to be done: data sets identified, their surveys and shards found or planned."""

import dataclasses
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sclong_core.errors import InputError
from sclong_core.expression.identity import Identity
from sclong_core.files import sha256_file
from sclong_data.corpus.layout import FORMAT_VERSION
from sclong_data.dataset_manifest import DatasetEntry, Manifest
from sclong_data.harmoniser.identity import SourceDigests
from sclong_data.harmoniser.rules import HarmoniseRules
from sclong_data.harmoniser.survey import Survey
from sclong_data.harmoniser.units import (
    Failed,
    ShardTask,
    Shared,
    UnitDone,
    finished_unit,
    without_folder,
)
from sclong_data.harmoniser.workplace import Workplace, digest_of, read_note

_LOG = logging.getLogger("sclong")
_VERSION = 1
"""Of the harmoniser: raised when the same input gives other bytes, so that all is rebuilt."""
_SHARDS_AT_ONCE = 8
_LOOKED_AT = ("organism", "matrix", "gene_column", "genes", "normalisation")
_DESCRIBING = ("assay", "tissue", "disease", "organism")


@dataclass(frozen=True)
class Source:
    """A data set whose file is known."""

    entry: DatasetEntry
    """What the manifest says of it."""
    path: Path
    """Where it is."""
    sha256: str
    """What its file holds."""
    survey_key: str
    """What its survey depends on."""
    shard_key: str
    """What its shards depend on."""
    files: tuple[Identity, ...]
    """Its file or folder, and those beside it; empty where it is gone by now."""


def identify(manifest: Manifest, shared: Shared) -> Iterator[Source | Failed]:
    """Find the file of each data set, and what identifies it; by the ids of the data sets."""
    digests = SourceDigests(Workplace(shared.corpus).sources)
    names = None if shared.gene_table is None else shared.gene_table.digest
    for entry in sorted(manifest, key=lambda entry: entry.dataset):
        try:
            path = manifest.expected_path(entry)
        except InputError as error:
            yield Failed(entry.dataset, str(error))
            continue
        try:
            sha256, files = _content(manifest, entry, digests, shared)
        except InputError as error:
            yield Failed(entry.dataset, without_folder(str(error), path))
            continue
        described = dataclasses.asdict(entry)
        survey_key = digest_of(
            {
                "version": _VERSION,
                "source": sha256,
                "vocabulary": shared.vocabulary.digest,
                "symbols": digest_of(list(shared.vocabulary.symbols)),
                "names": names,
                "min_genes": shared.rules.min_genes_per_dataset,
                "organism": shared.rules.organism,
                "entry": {name: described[name] for name in _LOOKED_AT},
            }
        )
        shard_key = digest_of(
            {
                "format": FORMAT_VERSION,
                "survey": survey_key,
                "rules": shared.rules.to_dict(),
                "entry": {name: described[name] for name in _DESCRIBING},
            }
        )
        yield Source(entry, path, sha256, survey_key, shard_key, files)


def _content(
    manifest: Manifest, entry: DatasetEntry, digests: SourceDigests, shared: Shared
) -> tuple[str, tuple[Identity, ...]]:
    """What the file of a data set holds; from the last survey where the file is gone by now."""
    if not manifest.expected_path(entry).exists():
        remembered = Workplace(shared.corpus).survey(entry.dataset)
        note = read_note(remembered, None)
        if note is not None and entry.sha256 in (None, note["source"]):
            return str(note["source"]), ()
    path = manifest.local_path(entry)
    found = digests.identity(path)
    checked = path.is_file() and not entry.archived
    if checked and entry.sha256 not in (None, found.sha256):
        raise InputError(
            f"{path} has SHA-256 {found.sha256[:12]}..., but the manifest says "
            f"{str(entry.sha256)[:12]}...: fetch it again, or correct the manifest"
        )
    if entry.genes is not None:
        folder = path if path.is_dir() else path.parent
        genes = folder / entry.genes
        if not genes.is_file():
            raise InputError(f"{genes} does not exist: correct the column genes of the manifest")
        beside = Identity.of(genes)
        return digest_of([found.sha256, beside.sha256]), (found, beside)
    return found.sha256, (found,)


def found_survey(source: Source, shared: Shared) -> Survey | None:
    """The survey of a data set, if it was looked at before."""
    place = Workplace(shared.corpus)
    note = read_note(place.survey(source.entry.dataset), source.survey_key)
    if note is None:
        return None
    genes = place.genes(source.entry.dataset)
    if note["genes"] is not None and not (genes.is_file() and sha256_file(genes) == note["genes"]):
        return None
    return Survey.from_dict(note["survey"])


def shards_of(survey: Survey, rules: HarmoniseRules) -> range:
    """Numbers of the shards of a data set."""
    return range(-(-survey.cells // rules.cells_per_shard))


def plan_shards(
    source: Source, survey: Survey, shared: Shared
) -> tuple[list[UnitDone], list[ShardTask]]:
    """The shards of a data set that are there, and tasks to make the others."""
    done: list[UnitDone] = []
    missing: list[int] = []
    for number in shards_of(survey, shared.rules):
        unit = finished_unit(shared.corpus, source.entry.dataset, number, source.shard_key)
        if unit is None:
            missing.append(number)
        else:
            done.append(unit)
    groups = [missing[at : at + _SHARDS_AT_ONCE] for at in range(0, len(missing), _SHARDS_AT_ONCE)]
    tasks = [
        ShardTask(source.entry, source.path, source.files, survey, source.shard_key, tuple(group))
        for group in groups
    ]
    return done, tasks
