"""All models on all sets: rows of numbers, in an order that never changes."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from sclong_bench.judging.measure import DRAWS, centred, measure
from sclong_bench.judging.models import GENE_VECTORS, OWN_COMPONENTS, UNTRAINED, Checkpoint
from sclong_bench.judging.references import (
    COMPONENTS,
    DENOISING,
    PCA_50,
    PERMUTED,
    VARIABLE_PCA_20,
    CorpusReferences,
    Embed,
    Floats,
    pca_50,
    permuted,
    variable_pca_20,
)
from sclong_bench.judging.sets import JudgingSet, LabelledCells, read_labelled
from sclong_tasks.denoising import DenoisingOptions

_LOG = logging.getLogger("sclong")
ALL = ""
"""Key of what was trained on the whole corpus; other keys name the study that was left out."""


@dataclass(frozen=True)
class JudgedRow:
    """One number."""

    data: str
    """Name of the set."""
    model: str
    seed: int
    centred: bool
    """Whether vectors were centred on the target."""
    measure: str
    value: float
    low: float | None
    high: float | None
    cells: int


@dataclass(frozen=True)
class Contestants:
    """What is judged, each by the study that it was trained without (``ALL``: none)."""

    checkpoints: Mapping[str, Mapping[tuple[str, int], Checkpoint]]
    """By study: by name and seed of training."""
    references: Mapping[str, CorpusReferences]
    denoising_seeds: Sequence[int] = (0,)
    denoising: DenoisingOptions = field(default_factory=DenoisingOptions)

    def of(self, chosen: JudgingSet) -> Iterator[tuple[str, int, Embed]]:
        """Name, seed and way to embed of everything that may judge a set."""
        yield PCA_50, 0, pca_50
        yield VARIABLE_PCA_20, 0, variable_pca_20
        study = chosen.trained_without
        if (found := self.references.get(study)) is not None:
            for name, count in zip(COMPONENTS, (50, 150), strict=True):
                yield name, 0, found.embed_components(count)
            for seed in self.denoising_seeds:
                yield DENOISING, seed, found.embed_denoising(seed, self.denoising)
        elif self.references:
            _LOG.warning("%s: no corpus without %s: references are left out", chosen.name, study)
        checkpoints = self.checkpoints.get(study, {})
        if not checkpoints and self.checkpoints:
            _LOG.warning("%s: no model trained without %s: not judged", chosen.name, study)
        for (name, seed), checkpoint in checkpoints.items():
            yield name, seed, checkpoint.embed
        for (name, _), checkpoint in list(checkpoints.items())[:1]:
            if checkpoint.has_components:
                yield f"{name}, {OWN_COMPONENTS}", 0, checkpoint.embed_components
            yield f"{name}, {UNTRAINED}", 0, checkpoint.embed_untrained
            yield f"{name}, {GENE_VECTORS}", 0, checkpoint.embed_gene_vectors
            yield f"{name}, {PERMUTED}", 0, partial(_permuted, checkpoint)


def judge(
    sets: Sequence[JudgingSet], data: Path, contestants: Contestants, *, draws: int = DRAWS
) -> Iterator[JudgedRow]:
    """Embed and measure all sets by all models.

    Args:
        sets: that judge.
        data: the folder of their files.
        contestants: what is judged.
        draws: of cells for the intervals.

    Raises:
        InputError: a set cannot be read, or a model cannot embed its cells.
    """
    for chosen in sets:
        cells = read_labelled(chosen, data)
        _LOG.info("%s: %d cells of %d types", chosen.name, len(cells.types), len(set(cells.types)))
        for name, seed, embed in contestants.of(chosen):
            yield from _measured(name, seed, embed, cells, draws)


def _measured(
    name: str, seed: int, embed: Embed, cells: LabelledCells, draws: int
) -> Iterator[JudgedRow]:
    embedding = embed(cells)
    for around, values in ((False, embedding), (True, centred(embedding))):
        for found in measure(values, cells, draws=draws, types_alone=around):
            yield JudgedRow(
                cells.described.name,
                name,
                seed,
                around,
                cells=len(cells.types),
                **asdict(found),
            )


def _permuted(checkpoint: Checkpoint, cells: LabelledCells) -> Floats:
    return permuted(checkpoint.embed(cells))
