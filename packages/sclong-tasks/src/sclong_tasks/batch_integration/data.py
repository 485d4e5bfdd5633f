"""Cells with batches and types, read from h5ad and checked."""

import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.errors import InputError
from sclong_tasks.batch_integration.config import IntegrationSettings
from sclong_tasks.cache import digest_arrays, digest_of
from sclong_tasks.chemistry.molecules import shown
from sclong_tasks.encoders.protocol import ExpressionTable
from sclong_tasks.task import Rows

_LOG = logging.getLogger("sclong")
BATCH_KEYS = ("batch", "tech", "technology", "dataset", "donor", "sample")
CELL_TYPE_KEYS = ("cell_type", "celltype", "cell_types", "CellType", "cell.type", "cell_line")
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


def read_h5ad(path: Path) -> anndata.AnnData:
    """The whole file.

    Raises:
        InputError: it is no h5ad file, or holds no cells or genes.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # names that occur twice are refused below
            found = anndata.read_h5ad(path)
    except Exception as error:  # whatever anndata says of a damaged file
        raise InputError(f"{path} is no readable h5ad file: {error}") from error
    if not found.n_obs or not found.n_vars:
        raise InputError(f"{path} holds {found.n_obs} cells and {found.n_vars} genes")
    return found


def read_cells(path: Path, settings: IntegrationSettings, *, new: bool = False) -> IntegrationData:
    """Cells of a file with batches and types.

    Args:
        path: of the h5ad file.
        settings: columns, matrix, scale and filters.
        new: cells to embed: batches and types may be missing, and no cell or gene is left out.

    Raises:
        InputError: names the file and what is wrong in it: a column, a cell, a gene or a value.
    """
    adata = read_h5ad(path)
    batch = _column(adata.obs, settings.batch_key, BATCH_KEYS, "batch", path, needed=not new)
    types = _column(
        adata.obs, settings.cell_type_key, CELL_TYPE_KEYS, "cell_type", path, needed=not new
    )
    values = _matrix(adata, settings, path)
    cells = list(map(str, adata.obs_names))
    genes = np.asarray(adata.var_names, dtype=str)
    keep = np.ones(len(cells), dtype=bool)
    if not new:
        unnamed = np.flatnonzero((batch == "") | (types == ""))
        _say("cells without batch or cell type", [cells[row] for row in unnamed])
        keep[unnamed] = False
        few = np.flatnonzero(((values > 0).sum(1) < settings.min_genes) & keep)
        _say(f"cells with fewer than {settings.min_genes} genes", [cells[row] for row in few])
        keep[few] = False
        expressed = (values[keep] > 0).sum(0) >= settings.min_cells
        _say(f"genes in fewer than {settings.min_cells} cells", genes[~expressed].tolist())
        values, genes = values[:, expressed], genes[expressed]
    _check(batch[keep], types[keep], len(genes), path, new=new)
    chosen = np.flatnonzero(keep)
    table = ExpressionTable(
        np.ascontiguousarray(values[chosen]),
        tuple(cells[row] for row in chosen),
        tuple(genes.tolist()),
        _scale(values[chosen], settings),
    )
    return IntegrationData(
        batch[chosen],
        types[chosen],
        np.zeros(len(chosen), dtype=bool),
        table,
        _embeddings(adata, chosen),
        settings,
    )


def _column(  # where a column is looked for, and how that is said
    obs: pd.DataFrame,
    key: str,
    usual: tuple[str, ...],
    what: str,
    path: Path,
    *,
    needed: bool,
) -> npt.NDArray[np.str_]:
    """A column of obs as text, empty where it is missing."""
    found = next((name for name in ((key,) if key else usual) if name in obs), None)
    if found is None:
        if not needed:
            return np.full(len(obs), "")
        raise InputError(
            f"{path} has no column {key or ', '.join(usual)} in obs: it has "
            f"{shown(list(map(str, obs.columns))) or 'none'}; name it with task.{what}_key"
        )
    values = obs[found].astype(object)
    return np.asarray(values.where(values.notna(), "").astype(str).str.strip(), dtype=str)


def _matrix(
    adata: anndata.AnnData, settings: IntegrationSettings, path: Path
) -> npt.NDArray[np.float32]:
    if settings.layer and settings.layer not in adata.layers:
        raise InputError(
            f"{path} has no layer {settings.layer!r}: it has {', '.join(adata.layers) or 'none'}"
        )
    stored: Any = adata.layers[settings.layer] if settings.layer else adata.X
    if stored is None:
        raise InputError(f"{path} has no X: name a layer with task.layer")
    dense = stored.toarray() if hasattr(stored, "toarray") else np.asarray(stored)
    return np.asarray(dense, dtype=np.float32)


def _scale(values: npt.NDArray[np.float32], settings: IntegrationSettings) -> Any:
    if settings.as_stored:
        return "log1p"
    if settings.scale != "auto":
        return settings.scale
    counts = bool((values == np.floor(values)).all())
    _LOG.info("values are taken as %s", "counts" if counts else "log1p")
    return "counts" if counts else "log1p"


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
    _say("cell types of one batch alone, in metrics of mixing", single)


def _embeddings(
    adata: anndata.AnnData, rows: npt.NDArray[np.int64]
) -> dict[str, npt.NDArray[np.float32]]:
    return {
        str(name): np.asarray(values, dtype=np.float32)[rows]
        for name, values in adata.obsm.items()
        if np.ndim(values) == 2 and not hasattr(values, "toarray")
    }


def _say(what: str, names: list[str]) -> None:
    if names:
        _LOG.info("%d %s are left out: %s", len(names), what, shown(names))
