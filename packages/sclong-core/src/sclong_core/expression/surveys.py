"""One pass over all cells before any is embedded: a bad one at the end must not fail later."""

import logging
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse

from sclong_core.config import InputConfig
from sclong_core.errors import InputError
from sclong_core.expression.cell_source import CellSource
from sclong_core.expression.genes import Duplicates, GeneMatch, likely_reason, match_genes
from sclong_core.expression.normalisation import (
    exact_counts,
    matched_rows,
    refuse_empty,
    refuse_impossible,
    row_maxima,
)
from sclong_core.expression.recognition import Evidence, Normalisation, recognise
from sclong_core.expression.rows import Csr, canonical, cells_at_once, row_index
from sclong_core.expression.species import GeneSpecies, SpeciesTally, refuse_species
from sclong_core.expression.units import LOG1P
from sclong_core.vocabulary import GeneVocabulary

_TASTE = 64


def advice(source: CellSource) -> str:
    """What to do about a matrix that is neither raw counts nor log1p.

    Names another matrix of the same cells that is, raw counts first, if a few cells from its
    beginning, middle and end are recognised.
    """
    found: dict[Normalisation, str] = {}
    for name, reopen in source.others.items():
        try:
            other = reopen()
            kind = recognise(taste(other), logged=other.logged).normalisation
        except InputError:
            continue
        if kind is not None:
            found.setdefault(kind, name.removeprefix("layers/"))
    if "raw" in found:
        return f"{found['raw']!r} of the same file holds raw counts: {_how(found['raw'])}"
    if "log1p" in found:
        return f"{found['log1p']!r} of the same file holds log1p values: {_how(found['log1p'])}"
    return "give raw counts or their log1p"


def _how(name: str) -> str:
    """How to ask for a matrix, in Python and at the command line."""
    return f'pass matrix="{name}" (--matrix {shlex.quote(name)})'


def taste(source: CellSource) -> Csr:
    """A few cells from the beginning, the middle and the end."""
    last = max(0, source.n_cells - _TASTE)
    runs = [
        canonical(source.read_rows(at, min(at + _TASTE, source.n_cells)))
        for at in sorted({0, last // 2, last})
    ]
    return sparse.vstack(runs, format="csr")


POOR = 0.5
"""Cells with a smaller share of their counts on genes of the model are matched poorly."""


@dataclass(frozen=True)
class Survey:
    """What a pass over all cells found."""

    cells: int
    """Number of cells."""
    genes: int
    """Number of genes of the data."""
    matched: int
    """Genes of the vocabulary among them."""
    unknown: int
    """Genes of the data that the vocabulary does not hold."""
    share_of_counts_matched: float
    """Share of all counts (``expm1`` of logged values) that is on matched genes, 0 to 1."""
    normalisation: Normalisation
    """What the values are."""
    forced: bool
    """The normalisation was asked for instead of recognised."""
    target_sum: float | None
    """Median over cells of the sum of ``expm1`` of logged values, which is what they had been
    scaled to if the data holds all genes; None for raw counts."""
    unmatched_cells: int
    """Cells whose every matched gene is 0."""
    poor_cells: int
    """Cells less than half of whose counts are on matched genes, those included."""
    rescaled_cells: int
    """Cells scaled up to the maximum, if the model has one."""
    clipped_cells: int
    """Cells with values clipped to the maximum, if the model has one."""
    matrix: str
    """The matrix that was read."""


@dataclass
class Tally:
    """Numbers gathered over blocks, for either normalisation: which it is shows at the end."""

    input_config: InputConfig
    empty: int = 0
    first_empty: str = ""
    unmatched: int = 0
    first_unmatched: str = ""
    total: dict[Normalisation, float] = field(default_factory=lambda: {"raw": 0.0, "log1p": 0.0})
    matched: dict[Normalisation, float] = field(default_factory=lambda: {"raw": 0.0, "log1p": 0.0})
    poor: dict[Normalisation, int] = field(default_factory=lambda: {"raw": 0, "log1p": 0})
    below: dict[Normalisation, int] = field(default_factory=lambda: {"raw": 0, "log1p": 0})
    above: dict[Normalisation, int] = field(default_factory=lambda: {"raw": 0, "log1p": 0})

    def add(self, rows: Csr, match: GeneMatch, names: Sequence[str]) -> None:
        """Count a block of canonical rows."""
        counts, totals = exact_counts(rows)
        known = matched_rows(counts, match)
        largest = row_maxima(known)
        empty, unmatched = np.diff(rows.indptr) == 0, largest == 0
        unmatched &= ~empty
        if empty.any() and not self.empty:
            self.first_empty = names[int(np.argmax(empty))]
        if unmatched.any() and not self.unmatched:
            self.first_unmatched = names[int(np.argmax(unmatched))]
        self.empty += int(empty.sum())
        self.unmatched += int(unmatched.sum())
        self.total["raw"] += float(totals.sum())
        self.matched["raw"] += float(known.data.sum())
        logged, logged_known = _unlogged(rows), _unlogged(known)
        self.total["log1p"] += float(logged.sum())
        self.matched["log1p"] += float(logged_known.sum())
        self.poor["raw"] += int((row_sums(known) < POOR * totals).sum())
        self.poor["log1p"] += int((logged_known < POOR * logged).sum())
        if self.input_config.maximum is not None:
            raw = np.log1p(largest / np.maximum(totals, 1e-300) * self.input_config.target_sum)
            values: dict[Normalisation, npt.NDArray[np.float64]] = {"raw": raw, "log1p": largest}
            for kind, highest in values.items():
                self.below[kind] += int(
                    ((highest > 0) & (highest < self.input_config.maximum)).sum()
                )
                self.above[kind] += int((highest > self.input_config.maximum).sum())


def row_sums(rows: Csr) -> npt.NDArray[np.float64]:
    """Sum of each row."""
    return np.asarray(
        np.bincount(row_index(rows), weights=rows.data, minlength=rows.shape[0]), dtype=np.float64
    )


def _unlogged(rows: Csr) -> npt.NDArray[np.float64]:
    """Sum of ``expm1`` over each row, of values that can be log1p."""
    data = np.expm1(np.minimum(rows.data, LOG1P.largest))
    sums = np.bincount(row_index(rows), weights=data, minlength=rows.shape[0])
    return np.asarray(sums, dtype=np.float64)


_LOG = logging.getLogger("sclong")
Progress: TypeAlias = Callable[[int, int], None]
"""Called with the cells done and the cells in all."""
Asked: TypeAlias = Normalisation | Literal["auto"]
_LITTLE = 0.5
_APART = 1.01
_PARTIAL = 0.25


def survey(
    source: CellSource,
    vocabulary: GeneVocabulary,
    input_config: InputConfig,
    *,
    gene_column: str | None = None,
    normalisation: Asked = "auto",
    duplicates: Duplicates = "error",
    progress: Progress | None = None,
) -> Survey:
    """Read all cells once, check every value, and recognise what they are.

    Args:
        source: the cells.
        vocabulary: genes of the model.
        input_config: what the model was trained on.
        gene_column: column of ``var`` that names the genes; by default the best one.
        normalisation: "raw" or "log1p" to take the values as such whatever they look like.
        duplicates: "sum" adds the counts of several columns of one gene.
        progress: told how far the pass is.

    Raises:
        InputError: a value, cell or gene that cannot be used, or an unknown normalisation.
    """
    match = match_genes(source.var, vocabulary, gene_column=gene_column, duplicates=duplicates)
    return survey_matched(
        source, match, input_config, normalisation=normalisation, progress=progress
    )


def survey_matched(
    source: CellSource,
    match: GeneMatch,
    input_config: InputConfig,
    *,
    normalisation: Asked = "auto",
    species: GeneSpecies | None = None,
    progress: Progress | None = None,
) -> Survey:
    """:func:`survey` with genes that are already matched.

    Args:
        source: the cells.
        match: which of their genes are in the vocabulary.
        input_config: what the model was trained on.
        normalisation: "raw" or "log1p" to take the values as such whatever they look like.
        species: of the genes; cells of another one are refused.
        progress: told how far the pass is.

    Raises:
        InputError: a value or cell that cannot be used, or an unknown normalisation.
    """
    where = f"{source.name}: {source.matrix}"
    names = [str(name) for name in source.obs.index]
    evidence, tally = Evidence(), Tally(input_config)
    counted = None if species is None else SpeciesTally(species)
    step = cells_at_once(source.n_genes)
    for start in range(0, source.n_cells, step):
        stop = min(start + step, source.n_cells)
        rows = canonical(source.read_rows(start, stop))
        refuse_impossible(
            rows, names[start:stop], match.names, where=where, advice=lambda: advice(source)
        )
        evidence.add(rows, names[start:stop])
        tally.add(rows, match, names[start:stop])
        if counted is not None:
            counted.add(rows, names[start:stop])
        if progress is not None:
            progress(stop, source.n_cells)
        if evidence.hopeless and normalisation == "auto":
            break
    else:
        if tally.empty:
            refuse_empty(tally.empty, tally.first_empty, where)
    kind = _decide(source, evidence, normalisation, where)
    if counted is not None and (reason := counted.reason(kind)) is not None:
        refuse_species(source.name, reason, counted.species.wanted)
    found = _result(source, match, evidence, tally, kind, forced=normalisation != "auto")
    _announce(found, match, input_config, evidence, tally)
    return found


def refuse_poor_match(
    found: Survey, match: GeneMatch, vocabulary: GeneVocabulary, name: str
) -> None:
    """Refuse cells of whose counts the model knows less than half.

    Raises:
        InputError: that is so over all cells together, or for more than half of the cells.
    """
    share = found.share_of_counts_matched
    if share >= POOR and found.poor_cells <= POOR * found.cells:
        return
    reason = likely_reason(match.unknown, vocabulary)
    known = f"{share:.1%} of their counts are on genes that the model knows"
    if share >= POOR:
        known = f"in {found.poor_cells:,} of {found.cells:,} cells, less than half of the counts do"
    raise InputError(
        f"{name}: the model knows too little of these cells: {known} ({found.matched:,} of the "
        f"data's {found.genes:,} genes); {reason or 'check --gene-column'}; or pass "
        "allow_poor_match=True (--allow-poor-match)"
    )


def _decide(source: CellSource, evidence: Evidence, asked: Asked, where: str) -> Normalisation:
    """The normalisation of all cells."""
    found = evidence.decide(logged=source.logged)
    if asked != "auto":
        if found.normalisation != asked:
            _LOG.warning(
                "%s %s; treated as %s, as requested by normalisation", where, found.seen, asked
            )
        return asked
    if found.normalisation is None:
        raise InputError(
            f"{where} {found.seen}: {advice(source)}, or force it with "
            'normalisation="raw" or "log1p" (--normalisation)'
        )
    _LOG.info("%s %s: taken as %s", where, found.seen, found.normalisation)
    return found.normalisation


def _result(
    source: CellSource,
    match: GeneMatch,
    evidence: Evidence,
    tally: Tally,
    kind: Normalisation,
    *,
    forced: bool,
) -> Survey:
    sums = evidence.target_sum()
    return Survey(
        cells=source.n_cells,
        genes=source.n_genes,
        matched=match.matched,
        unknown=len(match.unknown),
        share_of_counts_matched=tally.matched[kind] / tally.total[kind],
        normalisation=kind,
        forced=forced,
        target_sum=sums[0] if sums is not None and kind == "log1p" else None,
        unmatched_cells=tally.unmatched,
        poor_cells=tally.poor[kind],
        rescaled_cells=tally.below[kind],
        clipped_cells=tally.above[kind],
        matrix=source.matrix,
    )


def _announce(
    found: Survey, match: GeneMatch, input_config: InputConfig, evidence: Evidence, tally: Tally
) -> None:
    """Say what was found, and warn of what is likely not meant."""
    _LOG.info(
        "values: %.1f %% of all counts are on genes of the model",
        100 * found.share_of_counts_matched,
    )
    if found.share_of_counts_matched < _LITTLE:
        _LOG.warning(
            (
                "%.0f %% of the counts are on genes that the model does not know: check "
                "the gene names (gene_column, --gene-column)"
            ),
            100 * (1 - found.share_of_counts_matched),
        )
    if found.unmatched_cells:
        _LOG.warning(
            "%s cells (the first is %r) have no counts on genes of the model",
            f"{found.unmatched_cells:,}",
            tally.first_unmatched,
        )
    if input_config.maximum is not None:
        _LOG.info(
            "values: %s cells scaled up to a maximum of %g, %s clipped to it",
            f"{found.rescaled_cells:,}",
            input_config.maximum,
            f"{found.clipped_cells:,}",
        )
    if found.normalisation == "raw":
        _LOG.info("values: counts scaled to %g per cell, then log1p", input_config.target_sum)
        if found.genes < _PARTIAL * match.vocabulary_genes:
            _LOG.warning(
                (
                    "values: cells are scaled by their counts on the %s genes of the data: "
                    "if genes were removed from it, use the data with all genes"
                ),
                f"{found.genes:,}",
            )
    else:
        _announce_sum(evidence, input_config)


def _announce_sum(evidence: Evidence, input_config: InputConfig) -> None:
    """Compare what logged cells had been scaled to with what the model was trained on."""
    sums = evidence.target_sum()
    if sums is None:
        return
    middle, same = sums
    if middle > _APART * input_config.target_sum or (
        same and middle < input_config.target_sum / _APART
    ):
        _LOG.warning(
            (
                "cells were scaled to about %.4g counts before log1p, but the model was "
                "trained with %g: give raw counts if you have them"
            ),
            middle,
            input_config.target_sum,
        )
    else:
        _LOG.info("values: cells sum to about %.4g counts without the logarithm", middle)
