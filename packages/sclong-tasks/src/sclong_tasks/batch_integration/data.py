"""Cells with batches and types, read from h5ad and checked."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import anndata
import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.errors import InputError
from sclong_tasks.batch_integration.config import IntegrationSettings
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
from sclong_tasks.encoders.protocol import ExpressionTable
from sclong_tasks.task import Rows

_LOG = logging.getLogger("sclong")
BATCH_KEYS = ("batch", "tech", "technology", "dataset", "donor", "sample")
_FEWEST = 3


@dataclass(frozen=True, eq=False)
class IntegrationData:
    """Cells, their batches, and what is told of them."""

    batch: npt.NDArray[np.str_]
    """Of each cell; empty where new cells have none."""
    cell_type: npt.NDArray[np.str_]
    """Of each cell: for metrics, and for the model that is the ceiling. No other may look."""
    hidden: npt.NDArray[np.bool_]
    """Whose type is hidden in :attr:`truth`."""
    expression: ExpressionTable
    embeddings: Mapping[str, npt.NDArray[np.float32]]
    """Matrices of obsm."""
    settings: IntegrationSettings

    @cached_property
    def digest(self) -> str:
        """SHA-256 over cells, batches, types, expression and embeddings."""
        parts = {name: digest_arrays(values) for name, values in self.embeddings.items()}
        names = [self.batch.tolist(), self.cell_type.tolist(), self.settings.as_stored]
        return digest_of([names, self.expression.digest, parts])

    @property
    def labels(self) -> pd.DataFrame:
        """Names of cells and batches."""
        return pd.DataFrame({"cell": self.expression.cells, "batch": self.batch})

    @property
    def truth(self) -> pd.DataFrame:
        """Cell types; missing where they are hidden."""
        types = pd.Series(self.cell_type.astype(object))
        return pd.DataFrame({"cell_type": types.mask(self.hidden | (self.cell_type == ""))})

    def hide(self, rows: Rows) -> "IntegrationData":
        """The same without the types of these cells."""
        hidden = self.hidden.copy()
        hidden[rows] = True
        return replace(self, hidden=hidden)


def read_cells(path: Path, settings: IntegrationSettings, *, new: bool = False) -> IntegrationData:
    """Cells of a file with batches and types.

    Args:
        path: of the h5ad file.
        settings: columns, matrix, scale and filters.
        new: cells to embed: batches and types may be missing, and no cell or gene is left out.

    Raises:
        InputError: names the file and what is wrong in it: a column, a cell, a gene or a value.
    """
    adata = genes_only(read_h5ad(path), path)
    named = (settings.batch_key,) if settings.batch_key else BATCH_KEYS
    batch = obs_column(adata.obs, named, "task.batch_key", path, needed=not new)
    usual = (settings.cell_type_key,) if settings.cell_type_key else CELL_TYPE_KEYS
    types = obs_column(adata.obs, usual, "task.cell_type_key", path, needed=not new)
    values = dense_matrix(adata, settings.layer, path)
    scale = scale_of(
        values,
        settings.scale,
        as_stored=settings.as_stored,
        logged=noted_log(adata, settings.layer),
        what=f"{path}: {settings.layer or 'X'}",
        layers=other_matrices(adata, settings.layer),
    )
    cells = list(map(str, adata.obs_names))
    genes = np.asarray(adata.var_names, dtype=str)
    keep = np.ones(len(cells), dtype=bool)
    if not new:
        unnamed = np.flatnonzero((batch == "") | (types == ""))
        say_left_out("cells without batch or cell type", [cells[row] for row in unnamed])
        keep[unnamed] = False
        few = np.flatnonzero(((values > 0).sum(1) < settings.min_genes) & keep)
        say_left_out(
            f"cells with fewer than {settings.min_genes} genes", [cells[row] for row in few]
        )
        keep[few] = False
        expressed = (values[keep] > 0).sum(0) >= settings.min_cells
        say_left_out(f"genes in fewer than {settings.min_cells} cells", genes[~expressed].tolist())
        values, genes = values[:, expressed], genes[expressed]
    _check(batch[keep], types[keep], len(genes), path, new=new)
    chosen = np.flatnonzero(keep)
    table = ExpressionTable(
        np.ascontiguousarray(values[chosen]),
        tuple(cells[row] for row in chosen),
        tuple(genes.tolist()),
        scale,
    )
    return IntegrationData(
        batch[chosen],
        types[chosen],
        np.zeros(len(chosen), dtype=bool),
        table,
        _embeddings(adata, chosen),
        settings,
    )


def _check(
    batch: npt.NDArray[np.str_], types: npt.NDArray[np.str_], genes: int, path: Path, *, new: bool
) -> None:
    if new:
        return
    if len(batch) < _FEWEST or not genes:
        raise InputError(f"{path}: {len(batch)} cells and {genes} genes are left: too few")
    batches, kinds = np.unique(batch), np.unique(types)
    if len(batches) < 2:
        raise InputError(
            f"{path} has one batch, {str(batches[0])!r}: there is nothing to integrate; name "
            "another column with task.batch_key"
        )
    if len(kinds) < 2:
        _LOG.warning(
            "one cell type, %r: cell-type ASW, NMI, ARI and cLISI are not defined",
            str(kinds[0]),
        )
    single = [str(kind) for kind in kinds if len(np.unique(batch[types == kind])) < 2]
    say_left_out("cell types of one batch alone, in metrics of mixing", single)


def _embeddings(
    adata: anndata.AnnData, rows: npt.NDArray[np.int64]
) -> dict[str, npt.NDArray[np.float32]]:
    return {
        str(name): np.asarray(values, dtype=np.float32)[rows]
        for name, values in adata.obsm.items()
        if np.ndim(values) == 2 and not hasattr(values, "toarray")
    }
