"""Data of genetic perturbation: one row is a condition, its target mean expression of its cells.

Shapes: r conditions, c cells, g genes.
"""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from sclong_core.errors import InputError
from sclong_tasks.chemistry.molecules import shown
from sclong_tasks.genetic_perturbation.conditions import (
    CONTROL,
    as_condition,
    genes_of,
    perturbation_of,
)
from sclong_tasks.genetic_perturbation.config import GeneticPerturbationSettings
from sclong_tasks.genetic_perturbation.graphs import Terms, read_terms
from sclong_tasks.genetic_perturbation.reading import read_screen
from sclong_tasks.genetic_perturbation.spelling import Spelling
from sclong_tasks.task import Rows

_LOG = logging.getLogger("sclong")
Floats = npt.NDArray[np.float64]
_CELLS, _OBS, _GENES, _RANKING = "cells.npz", "obs.parquet", "genes.parquet", "ranking.parquet"
_TERMS = "terms.parquet"


@dataclass(frozen=True, eq=False)
class PerturbationData:
    """Validated conditions with the cells that are not hidden."""

    table: pd.DataFrame
    """``r`` lines: ``condition``, ``perturbation`` (one name for both spellings), ``cells``."""
    genes: tuple[str, ...]
    """``g`` symbols."""
    cells: sparse.csr_matrix
    """``(c, g)`` log1p expression of perturbed cells; without those of hidden conditions."""
    row: npt.NDArray[np.int64]
    """``(c,)`` the condition of each of them."""
    control: sparse.csr_matrix
    """Expression of control cells, which are never hidden."""
    means: Floats
    """``(r, g)`` mean of the cells of each condition; NaN where hidden."""
    ranking: npt.NDArray[np.int32] | None = None
    """``(r, g)`` ranked genes as the original file has them; None where it has none, or hidden."""
    terms: Terms = field(default_factory=dict)
    """Annotations of measured and perturbed genes, by name; none where no file had any."""

    @cached_property
    def digest(self) -> str:
        """SHA-256 over conditions, genes and cells."""
        digest = hashlib.sha256(self.table.to_csv(index=False).encode())
        digest.update("\n".join(self.genes).encode())
        for matrix in (self.cells, self.control):
            for array in (matrix.data, matrix.indices, matrix.indptr):
                digest.update(np.ascontiguousarray(array).data)
        digest.update(np.ascontiguousarray(self.row).data)
        for gene in sorted(self.terms):
            digest.update("\t".join([gene, *sorted(self.terms[gene])]).encode())
        return digest.hexdigest()

    @property
    def labels(self) -> pd.DataFrame:
        """Names and numbers of cells."""
        return self.table

    @property
    def truth(self) -> pd.DataFrame:
        """Mean expression of each condition, one column a gene."""
        return pd.DataFrame(self.means, index=self.table.index, columns=list(self.genes))

    def hide(self, rows: Rows) -> Self:
        """The same data without the cells of these conditions."""
        means = self.means.copy()
        means[rows] = np.nan
        kept = np.flatnonzero(~np.isin(self.row, rows))
        return replace(self, cells=self.cells[kept], row=self.row[kept], means=means, ranking=None)

    @cached_property
    def control_mean(self) -> Floats:
        """``(g,)`` mean of all control cells."""
        return mean_of(self.control)

    @cached_property
    def targets(self) -> tuple[tuple[str, ...], ...]:
        """Perturbed genes of each condition."""
        return tuple(genes_of(name) for name in self.table["condition"])

    def cells_of(self, row: int) -> sparse.csr_matrix:
        """Cells of a condition."""
        return self.cells[np.flatnonzero(self.row == row)]


def mean_of(cells: sparse.csr_matrix) -> Floats:
    """``(g,)`` mean over cells, in double precision."""
    found: Floats = np.asarray(cells.sum(axis=0, dtype=np.float64)).ravel() / cells.shape[0]
    return found


def prepare(source: Path, folder: Path, annotations: Path | None = None) -> None:
    """Convert a screen; see :mod:`sclong_tasks.genetic_perturbation.reading`.

    Args:
        source: the screen.
        folder: where to write.
        annotations: of genes, in any format that gene graphs are built from.
    """
    screen = read_screen(source)
    sparse.save_npz(folder / _CELLS, screen.cells)
    screen.obs.to_parquet(folder / _OBS, index=False)
    pd.DataFrame({"gene": list(screen.genes)}).to_parquet(folder / _GENES, index=False)
    if screen.ranking is not None:
        screen.ranking.to_parquet(folder / _RANKING, index=False)
    if annotations is not None:
        perturbed = {gene for name in set(screen.obs["condition"]) for gene in genes_of(name)}
        terms = read_terms(annotations, {*screen.genes, *perturbed})
        pairs = [(gene, term) for gene in sorted(terms) for term in sorted(terms[gene])]
        pd.DataFrame(pairs, columns=["gene", "term"]).to_parquet(folder / _TERMS, index=False)


def load(folder: Path, settings: GeneticPerturbationSettings) -> PerturbationData:
    """Read what :func:`prepare` wrote; what is left out is named and counted.

    Raises:
        InputError: no control or no perturbed cells are left.
    """
    obs = pd.read_parquet(folder / _OBS)
    genes = tuple(pd.read_parquet(folder / _GENES)["gene"])
    kept = _kept(obs, settings)
    cells = sparse.csr_matrix(sparse.load_npz(folder / _CELLS))[kept]
    condition = obs["condition"].to_numpy()[kept]
    if settings.merge_spellings:
        names = {name: as_condition(perturbation_of(name)) for name in set(condition)}
        condition = np.array([names[name] for name in condition], dtype=object)
    perturbed = condition != CONTROL
    if perturbed.all() or not perturbed.any():
        raise InputError(f"{folder} has no {'control' if perturbed.all() else 'perturbed'} cells")
    names_r, row = np.unique(condition[perturbed].astype(str), return_inverse=True)
    table = pd.DataFrame(
        {
            "condition": names_r,
            "perturbation": [perturbation_of(name) for name in names_r],
            "cells": np.bincount(row),
        }
    )
    found = cells[np.flatnonzero(perturbed)]
    data = PerturbationData(
        table=table,
        genes=genes,
        cells=found,
        row=row.astype(np.int64),
        control=cells[np.flatnonzero(~perturbed)],
        means=_means(found, row, len(table)),
        ranking=_ranking(folder, table, merged=settings.merge_spellings),
        terms=_terms(folder),
    )
    report(data)
    return data


def report(data: PerturbationData) -> dict[str, int]:
    """Say what there is: perturbed genes that are not measured, genes that no cell expresses."""
    perturbed = sorted({gene for genes in data.targets for gene in genes})
    absent = [gene for gene in perturbed if gene not in set(data.genes)]
    silent = int(((data.control_mean == 0) & (np.nansum(data.means, axis=0) == 0)).sum())
    facts = {
        "conditions": len(data.table),
        "perturbed_genes": len(perturbed),
        "not_measured": len(absent),
        "silent_genes": silent,
    }
    _LOG.info(
        "%d conditions of %d genes in %d cells, %d control cells, %d genes; %d perturbed genes are "
        "not measured%s; %d genes are zero in all cells",
        len(data.table), len(perturbed), data.cells.shape[0], data.control.shape[0],
        len(data.genes), len(absent), f" ({shown(absent)})" if absent else "", silent,
    )  # fmt: skip
    return facts


def read_perturbations(inputs: Mapping[str, Path], known: PerturbationData) -> PerturbationData:
    """Conditions to predict: a table with a column ``perturbation``, "A", "A+ctrl" or "A+B".

    Raises:
        InputError: there is no such column, or a line is not a perturbation.
    """
    path = inputs["perturbations"]
    try:
        # Told by the header: a guess from all lines finds a separator within names of genes.
        with path.open(encoding="utf-8") as handle:
            header = handle.readline()
        separator = next((mark for mark in "\t;" if mark in header), ",")
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, sep=separator)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    if "perturbation" not in frame or frame.empty:
        raise InputError(f"{path} needs lines and a column perturbation")
    names = []
    spelling = Spelling([*known.genes, *(gene for genes in known.targets for gene in genes)])
    for line, text in enumerate(frame["perturbation"], start=2):
        try:
            names.append(as_condition(spelling.condition(text)))
        except InputError as error:
            raise InputError(f"{path}, line {line}: {error}") from None
        if names[-1] == CONTROL:
            raise InputError(f"{path}, line {line}: the control is not a perturbation")
    spelling.report(path.name)
    table = pd.DataFrame(
        {"condition": names, "perturbation": [perturbation_of(name) for name in names], "cells": 0}
    )
    data = replace(
        known,
        table=table,
        cells=known.cells[:0],
        row=np.zeros(0, dtype=np.int64),
        means=np.full((len(table), len(known.genes)), np.nan),
        ranking=None,
    )
    tried = {gene for genes in known.targets for gene in genes}
    new = sorted({gene for genes in data.targets for gene in genes} - tried)
    if new:
        _LOG.info("%d genes were never perturbed in the data: %s", len(new), shown(new))
    return data


def _kept(obs: pd.DataFrame, settings: GeneticPerturbationSettings) -> npt.NDArray[np.int64]:
    kept = np.ones(len(obs), dtype=bool)
    if "guide_share" in obs:
        share = obs["guide_share"].to_numpy()
        kept = share >= settings.guide_share
        if not kept.all():
            _LOG.info(
                "%d of %d cells have less than %g of their guides in one and are left out",
                int((~kept).sum()), len(kept), settings.guide_share,
            )  # fmt: skip
    gone = set(settings.leave_out)
    if gone:
        names = sorted(set(obs["condition"]))
        left = [name for name in names if gone & set(genes_of(name))]
        _LOG.info("%d conditions are left out by their genes: %s", len(left), shown(left))
        kept &= ~obs["condition"].isin(left).to_numpy()
    return np.flatnonzero(kept)


def _means(cells: sparse.csr_matrix, row: npt.NDArray[np.int64], count: int) -> Floats:
    ones = np.ones(len(row))
    groups = sparse.csr_matrix((ones, (row, np.arange(len(row)))), shape=(count, len(row)))
    sums = (groups @ cells.astype(np.float64)).toarray()
    found: Floats = sums / np.bincount(row, minlength=count)[:, None]
    return found


def _terms(folder: Path) -> dict[str, frozenset[str]]:
    if not (folder / _TERMS).is_file():
        return {}
    pairs = pd.read_parquet(folder / _TERMS)
    return {str(gene): frozenset(terms) for gene, terms in pairs.groupby("gene")["term"]}


def _ranking(folder: Path, table: pd.DataFrame, *, merged: bool) -> npt.NDArray[np.int32] | None:
    """The original's ranking, which is of single spellings."""
    path = folder / _RANKING
    if merged or not path.is_file():
        return None
    found: npt.NDArray[np.int32] = pd.read_parquet(path)[list(table["condition"])].to_numpy().T
    return found
