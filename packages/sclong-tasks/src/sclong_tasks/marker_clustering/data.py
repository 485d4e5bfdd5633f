"""Data of marker-gene clustering: one row is a gene in cells of a type.

Its target is whether it marks that type.

Shapes: c cells, g genes, r rows.
"""

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.errors import InputError
from sclong_core.files import write_json
from sclong_tasks.cache import digest_arrays, digest_of
from sclong_tasks.cells import (
    CELL_TYPE_KEYS,
    dense_matrix,
    genes_only,
    noted_log,
    obs_column,
    other_matrices,
    read_h5ad,
    say_left_out,
    scale_of,
)
from sclong_tasks.chemistry.molecules import shown
from sclong_tasks.encoders.genes import gene_table
from sclong_tasks.encoders.protocol import ExpressionTable
from sclong_tasks.marker_clustering.config import MarkerSettings
from sclong_tasks.marker_clustering.markers import (
    PEGASUS,
    SCTYPE,
    Lists,
    choose_lists,
    list_name,
    read_pegasus,
    read_sctype,
)
from sclong_tasks.task import Rows

_LOG = logging.getLogger("sclong")
CELLS = "cells.h5ad"
_LISTS = "lists.json"


@dataclass(frozen=True, eq=False)
class MarkerData:
    """Cells with types, and the genes that mark these."""

    expression: ExpressionTable
    cell_type: npt.NDArray[np.str_]
    """``(c,)``"""
    kinds: tuple[str, ...]
    """Types that are measured."""
    kind: npt.NDArray[np.int64]
    """``(r,)`` place of the row's type."""
    gene: npt.NDArray[np.int64]
    """``(r,)`` place of the row's gene."""
    mean: npt.NDArray[np.float64]
    """``(r,)`` mean log1p expression in all cells of the type."""
    marker: npt.NDArray[np.float64]
    """``(r,)`` 1 for markers of the type, 0 for others; NaN where hidden."""
    settings: MarkerSettings

    @cached_property
    def digest(self) -> str:
        """SHA-256 over cells, types, rows and markers."""
        names = [self.cell_type.tolist(), list(self.kinds), self.expression.digest]
        return digest_of([names, digest_arrays(self.kind, self.gene, self.marker)])

    @property
    def labels(self) -> pd.DataFrame:
        """Names of types and genes."""
        return pd.DataFrame(
            {
                "cell_type": np.array(self.kinds, dtype=object)[self.kind],
                "gene": np.array(self.expression.genes, dtype=object)[self.gene],
                "mean_expression": self.mean,
            }
        )

    @property
    def truth(self) -> pd.DataFrame:
        """Whether the gene marks the type."""
        return pd.DataFrame({"marker": self.marker})

    def hide(self, rows: Rows) -> Self:
        """The same without the markers of these rows."""
        marker = self.marker.copy()
        marker[rows] = np.nan
        return replace(self, marker=marker)

    def drawn(self, kind: int, seed: int) -> ExpressionTable:
        """Cells of a type, ``settings.cells`` of them drawn without replacement, or all."""
        here = np.flatnonzero(self.cell_type == self.kinds[kind])
        if len(here) > self.settings.cells:
            generator = np.random.default_rng([seed, kind])
            here = np.sort(generator.choice(here, self.settings.cells, replace=False))
        return self.expression.take([self.expression.cells[place] for place in here])


def prepare(sources: Mapping[str, Path], folder: Path) -> None:
    """Copy the cells after they were read, and convert lists of markers."""
    read_h5ad(sources[CELLS])
    shutil.copyfile(sources[CELLS], folder / CELLS)
    lists: dict[str, Any] = {}
    if SCTYPE in sources:
        lists["sctype"] = read_sctype(sources[SCTYPE])
    if PEGASUS in sources:
        lists["pegasus"] = read_pegasus(sources[PEGASUS])
    write_json(folder / _LISTS, lists)


def load(folder: Path, settings: MarkerSettings) -> MarkerData:
    """Read what :func:`prepare` wrote."""
    prepared = json.loads((folder / _LISTS).read_text(encoding="utf-8"))
    return read_cells(folder / CELLS, choose_lists(prepared, settings), settings)


def read_cells(path: Path, lists: Lists, settings: MarkerSettings) -> MarkerData:
    """Cells of a file with the markers of their types; what is left out is named and counted.

    Args:
        path: of the h5ad file.
        lists: markers by cell type.
        settings: columns, matrix, scale and what is too few.

    Raises:
        InputError: names the file and what is wrong in it, or no type is left.
    """
    adata = genes_only(read_h5ad(path), path)
    keys = (settings.cell_type_key,) if settings.cell_type_key else CELL_TYPE_KEYS
    types = obs_column(adata.obs, keys, "task.cell_type_key", path)
    values = dense_matrix(adata, settings.layer, path)
    cells = [str(name) for name in adata.obs_names]
    unnamed = np.flatnonzero(types == "")
    say_left_out("cells without cell type", [cells[row] for row in unnamed])
    chosen = np.flatnonzero(types != "")
    if not len(chosen):
        raise InputError(f"{path}: no cell has a type")
    table = ExpressionTable(
        np.ascontiguousarray(values[chosen]),
        tuple(cells[row] for row in chosen),
        tuple(str(name) for name in adata.var_names),
        scale_of(
            values,
            settings.scale,
            as_stored=settings.as_stored,
            logged=noted_log(adata, settings.layer),
            what=f"{path}: {settings.layer or 'X'}",
            layers=other_matrices(adata, settings.layer),
        ),
    )
    return _measured(table, types[chosen], lists, settings, path)


def _measured(
    table: ExpressionTable,
    types: npt.NDArray[np.str_],
    lists: Lists,
    settings: MarkerSettings,
    path: Path,
) -> MarkerData:
    """Types with enough cells and markers, and the genes that are expressed in them."""
    lists, place = _named(lists, table.genes, settings)
    kinds, found, few, unlisted, unmarked = [], [], [], [], []
    for kind in np.unique(types).tolist():
        here = table.log1p[types == kind]
        wanted = lists.get(list_name(kind, settings))
        if len(here) < settings.fewest_cells:
            few.append(f"{kind} ({len(here)})")
            continue
        if wanted is None:
            unlisted.append(kind)
            continue
        genes = np.flatnonzero((here > 0).sum(0) >= settings.expressed_in)
        marked = np.intersect1d(genes, [place[name] for name in wanted if name in place])
        if len(marked) < settings.fewest_markers or len(genes) < 2 * len(marked):
            unmarked.append(f"{kind} ({len(marked)})")
            continue
        _say_markers(kind, wanted, place, [table.genes[one] for one in marked])
        kinds.append(kind)
        found.append((genes, here[:, genes].astype(np.float64).mean(0), np.isin(genes, marked)))
    say_left_out(f"cell types of fewer than {settings.fewest_cells} cells", few)
    say_left_out(f"cell types without a list in {settings.markers}", unlisted)
    say_left_out(f"cell types of fewer than {settings.fewest_markers} expressed markers", unmarked)
    if not kinds:
        raise InputError(
            f"{path}: no cell type has {settings.fewest_cells} cells and "
            f"{settings.fewest_markers} expressed markers; task.names maps types to "
            f"{shown(sorted(lists))}"
        )
    genes, means, markers = (np.concatenate(part) for part in zip(*found, strict=True))
    return MarkerData(
        expression=table,
        cell_type=types,
        kinds=tuple(kinds),
        kind=np.repeat(np.arange(len(kinds)), [len(one[0]) for one in found]),
        gene=genes.astype(np.int64),
        mean=means,
        marker=markers.astype(np.float64),
        settings=settings,
    )


def _named(
    lists: Lists, genes: Sequence[str], settings: MarkerSettings
) -> tuple[Lists, dict[str, int]]:
    """Lists by the names of the data's genes, as far as a table of genes knows them."""
    place = {name: number for number, name in enumerate(genes)}
    if not settings.gene_tables:
        return lists, place
    table = gene_table(tuple(map(Path, settings.gene_tables)))
    ids = table.resolve(genes).ids
    names = {found: name for found, name in zip(ids, genes, strict=True) if found is not None}

    def named(gene: str) -> str:
        found = None if gene in place else table.resolve([gene]).ids[0]
        return gene if found is None else names.get(found, gene)

    return {kind: list(dict.fromkeys(map(named, every))) for kind, every in lists.items()}, place


def _say_markers(
    kind: str, wanted: Sequence[str], place: Mapping[str, int], marked: Sequence[str]
) -> None:
    absent = [name for name in wanted if name not in place]
    silent = sorted(set(wanted) - set(absent) - set(marked))
    _LOG.info(
        "%s: %d of %d markers are expressed; %d are not measured%s; %d hardly expressed%s",
        kind, len(marked), len(wanted),
        len(absent), f" ({shown(absent)})" if absent else "",
        len(silent), f" ({shown(silent)})" if silent else "",
    )  # fmt: skip
