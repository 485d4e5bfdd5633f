"""What a file of cells is, and how well it fits a model: for a look before the work."""

import logging
import re
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from sclong_core.embedding.inference import embed_cells
from sclong_core.embedding.pooling import chosen_pool
from sclong_core.expression import CellSource, PreparedCells, open_cells, recognise
from sclong_core.expression.genes import likely_reason
from sclong_core.expression.rows import Csr, canonical
from sclong_core.model import ScLong
from sclong_core.vocabulary import GeneVocabulary

_LOG = logging.getLogger("sclong")
_SAMPLE = 256
"""Cells of each of the three runs that are looked at."""
_ENSEMBL = re.compile(r"ENS[A-Z]*G\d{5,}(\.\d+)?")
_WELL = 0.9

Facts = list[tuple[str, str]]


@dataclass(frozen=True)
class Speed:
    """Measured time of a forward pass."""

    batch: int
    """Cells of the batch."""
    seconds_per_cell: float
    """Of one cell in such a batch."""

    def total(self, cells: int) -> str:
        """Time for so many cells, in words."""
        seconds = self.seconds_per_cell * cells
        for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
            if seconds >= 2 * size:
                return f"{seconds / size:.1f} {unit}"
        return f"{seconds:.1f} seconds"


def describe_data(
    path: Path, *, matrix: str | None = None, feature_types: Collection[str] | None = None
) -> Facts:
    """What a file of cells holds, from its annotation and a sample of its cells.

    Raises:
        InputError: it cannot be read.
    """
    with open_cells(path, matrix=matrix, feature_types=feature_types) as source:
        rows, looked_at = _sample(source)
        return [
            ("cells", f"{source.n_cells:,}"),
            ("genes", f"{source.n_genes:,}"),
            ("matrix", source.matrix),
            ("other matrices", ", ".join(source.others) or "none"),
            ("gene ids", gene_ids_place(source.var)),
            ("values", _values(rows, source, looked_at)),
            ("sums", _sums(rows, looked_at)),
        ]


def gene_ids_place(var: pd.DataFrame) -> str:
    """Where the Ensembl ids of genes are, or that there are none."""
    places = [("var_names", var.index), *((str(name), var[name]) for name in var)]
    for name, values in places:
        found = [_ENSEMBL.fullmatch(str(value)) is not None for value in values[:2_000]]
        if np.mean(found) > 0.5:
            return f"Ensembl ids in {name}"
    some = ", ".join(str(name) for name in var.index[:3])
    return f"no Ensembl ids; var_names are {some}, ..."


def describe_fit(cells: PreparedCells, vocabulary: GeneVocabulary) -> Facts:
    """How well checked cells fit a model, and what embedding does with their values."""
    match, found = cells.match, cells.survey
    share = found.share_of_counts_matched
    facts = [
        ("genes known", f"{found.matched:,} of the data's {found.genes:,}, by {match.kind}"),
        ("genes of the model", f"{match.coverage:.1%} of {len(vocabulary):,} are in the data"),
        ("counts known", f"{share:.1%} of all counts are on genes of the model"),
        ("gene column", match.found_in),
        ("embed would take", _step(cells)),
    ]
    if min(share, match.coverage) < _WELL:
        facts.append(("likely reasons", "; ".join(_reasons(cells, vocabulary))))
    return facts


def measure_speed(model: ScLong, cells: PreparedCells, *, batch_size: int) -> Speed:
    """Time one batch of real cells, after a first cell that reads the weights from the disk."""
    batch = min(batch_size, len(cells))
    _LOG.info("measuring the speed on %d cells, on %s", batch, model.device)
    pool = chosen_pool(model, None)
    embed_cells(model, cells, pool=pool, batch_size=1, stop=1)
    begun = time.perf_counter()
    embed_cells(model, cells, pool=pool, batch_size=batch, stop=batch)
    return Speed(batch, (time.perf_counter() - begun) / batch)


def _sample(source: CellSource) -> tuple[Csr, int]:
    """Some cells from the beginning, the middle and the end, each once."""
    last = max(0, source.n_cells - _SAMPLE)
    chosen: set[int] = set()
    runs = []
    for start in sorted({0, last // 2, last}):
        first = max(start, max(chosen, default=-1) + 1)
        stop = min(start + _SAMPLE, source.n_cells)
        if first < stop:
            runs.append(canonical(source.read_rows(first, stop)))
            chosen.update(range(first, stop))
    return sparse.vstack(runs, format="csr"), len(chosen)


def _values(rows: Csr, source: CellSource, looked_at: int) -> str:
    found = recognise(rows, logged=source.logged)
    kind = {
        "raw": "raw counts",
        "log1p": "log1p of scaled counts",
        None: "not usable without conversion",
    }
    return f"{kind[found.normalisation]} (in {looked_at:,} cells: {found.seen})"


def _sums(rows: Csr, looked_at: int) -> str:
    totals = np.asarray(rows.sum(axis=1)).ravel()
    if not np.isfinite(totals).all():
        return "not finite"
    low, middle, high = np.quantile(totals, [0, 0.5, 1])
    words = f"{middle:,.6g} per cell ({low:,.6g} to {high:,.6g})"
    empty = int((np.diff(rows.indptr) == 0).sum())
    return words + (f"; {empty:,} of {looked_at:,} cells have no counts" if empty else "")


def _step(cells: PreparedCells) -> str:
    """What embedding does with the values."""
    config = cells.input_config
    if cells.survey.normalisation == "raw":
        step = f"raw counts: scaled to {config.target_sum:,.6g} per cell, then log1p"
    else:
        had = cells.survey.target_sum
        scaled = "" if had is None else f" (cells sum to about {had:,.4g} without it)"
        step = f"log1p values: kept unchanged{scaled}"
    return step if config.maximum is None else f"{step}; then rescaled to at most {config.maximum}"


def _reasons(cells: PreparedCells, vocabulary: GeneVocabulary) -> Iterable[str]:
    """Why the fit may be poor."""
    match = cells.match
    known, genes = match.columns.size, len(match.names)
    if known < _WELL * genes:
        listed = ", ".join(match.unknown[:5])
        reason = likely_reason(match.unknown, vocabulary) or "they may be non-coding or renamed"
        yield f"{genes - known:,} genes are unknown to the model ({listed}, ...): {reason}"
    if genes < _WELL * len(vocabulary):
        yield (
            f"the data has only {genes:,} genes (a selection of variable ones?): use "
            "all genes if you have them"
        )
    elif match.coverage < _WELL:
        yield "the data lacks genes of the model, which count as not expressed"
    if cells.survey.unmatched_cells:
        yield f"{cells.survey.unmatched_cells:,} cells have no counts on genes of the model"
