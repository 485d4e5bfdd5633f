"""Cells with types, and groups that are kept apart, read from h5ad and checked."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.errors import ConfigError, InputError
from sclong_tasks.cache import digest_of
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
from sclong_tasks.finetuning.labels import LEAST_CELLS
from sclong_tasks.task import Rows

GROUP_KEYS = ("donor", "donor_id", "patient", "sample", "batch", "study", "dataset")
SCALES = ("auto", "counts", "log1p")
Names = npt.NDArray[np.str_]


@dataclass
class AnnotationSettings:
    """What is read, what is left out, and draws of intervals."""

    cell_type_key: str = ""
    """Column of obs that names cell types; where empty, the first of the usual names."""
    group_key: str = ""
    """Column of obs whose values are kept apart; where empty, the first of the usual names."""
    layer: str = ""
    """Layer of the file to read; X where empty."""
    scale: str = "auto"
    """Of the values: "counts", "log1p", or "auto": recognised."""
    min_genes: int = 10
    """Cells that express fewer genes are left out."""
    min_cells: int = 10
    """Genes that fewer cells express are left out."""
    bootstrap: int = 200
    """Draws of groups, or of cells, for intervals."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.scale not in SCALES:
            raise ConfigError(f"task.scale must be one of {', '.join(SCALES)}, not {self.scale!r}")
        if min(self.min_genes, self.min_cells, self.bootstrap) < 0:
            raise ConfigError("task.min_genes, min_cells and bootstrap must not be negative")


@dataclass(frozen=True, eq=False)
class AnnotationData:
    """Cells, their types and groups."""

    cell_type: Names
    """Of each cell; empty where it is hidden, or where new cells have none."""
    group: Names
    """Of each cell; empty in a file without groups."""
    expression: ExpressionTable
    settings: AnnotationSettings

    @cached_property
    def digest(self) -> str:
        """SHA-256 over types, groups and expression."""
        return digest_of([self.cell_type.tolist(), self.group.tolist(), self.expression.digest])

    @property
    def labels(self) -> pd.DataFrame:
        """Names of cells and groups."""
        return pd.DataFrame({"cell": self.expression.cells, "group": self.group})

    @property
    def truth(self) -> pd.DataFrame:
        """Cell types; missing where they are hidden."""
        types = pd.Series(self.cell_type.astype(object))
        return pd.DataFrame({"cell_type": types.mask(self.cell_type == "")})

    def hide(self, rows: Rows) -> "AnnotationData":
        """The same without the types of these cells."""
        types = self.cell_type.copy()
        types[rows] = ""
        return replace(self, cell_type=types)

    def values(self, genes: Names) -> npt.NDArray[np.float32]:
        """The log1p expression of these genes, in this order.

        Raises:
            InputError: some are not in the data.
        """
        places = pd.Index(self.expression.genes).get_indexer(pd.Index(genes))
        if (places < 0).any():
            raise InputError(f"the cells lack {(places < 0).sum()} genes of the model")
        return self.expression.log1p[:, places]


def read_cells(path: Path, settings: AnnotationSettings, *, new: bool = False) -> AnnotationData:
    """Cells of a file with types, and groups where it has them.

    Args:
        path: of the h5ad file.
        settings: columns, matrix, scale and filters.
        new: cells to predict: types may be missing, and no cell or gene is left out.

    Raises:
        InputError: names the file and what is wrong in it.
    """
    adata = genes_only(read_h5ad(path), path)
    usual = (settings.cell_type_key,) if settings.cell_type_key else CELL_TYPE_KEYS
    types = obs_column(adata.obs, usual, "task.cell_type_key", path, needed=not new)
    groups = (settings.group_key,) if settings.group_key else GROUP_KEYS
    needed = bool(settings.group_key) and not new
    group = obs_column(adata.obs, groups, "task.group_key", path, needed=needed)
    values = dense_matrix(adata, settings.layer, path)
    scale = scale_of(
        values,
        settings.scale,
        as_stored=False,
        logged=noted_log(adata, settings.layer),
        what=f"{path}: {settings.layer or 'X'}",
        layers=other_matrices(adata, settings.layer),
    )
    keep, measured = np.ones(len(types), dtype=bool), np.ones(values.shape[1], dtype=bool)
    if not new:
        keep = _kept(types, values, settings, path)
        measured = (values[keep] > 0).sum(0) >= settings.min_cells
        if not measured.any():
            raise InputError(f"{path}: no gene is expressed by {settings.min_cells} of the cells")
    cells, genes = np.asarray(adata.obs_names, dtype=str), np.asarray(adata.var_names, dtype=str)
    table = ExpressionTable(
        np.ascontiguousarray(values[keep][:, measured]),
        tuple(cells[keep].tolist()),
        tuple(genes[measured].tolist()),
        scale,
    )
    return AnnotationData(types[keep], group[keep], table, settings)


def _kept(
    types: Names, values: npt.NDArray[np.float32], settings: AnnotationSettings, path: Path
) -> npt.NDArray[np.bool_]:
    """Cells that have a type that is not rare, and enough genes."""
    few = (values > 0).sum(1) < settings.min_genes
    if few.any():
        say_left_out("cells of few genes", [f"{few.sum():,}"])
    keep: npt.NDArray[np.bool_] = (types != "") & ~few
    found, counts = np.unique(types[keep], return_counts=True)
    rare = found[counts < LEAST_CELLS]
    say_left_out(f"types of fewer than {LEAST_CELLS} cells", list(map(str, rare)))
    keep &= ~np.isin(types, rare)
    if len(np.unique(types[keep])) < 2:
        raise InputError(
            f"{path} has fewer than two cell types of {LEAST_CELLS} cells: name another column "
            "with task.cell_type_key"
        )
    return keep
