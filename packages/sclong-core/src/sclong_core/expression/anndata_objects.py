"""AnnData objects: in memory, backed by a file, and views of either."""

import logging
from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

from anndata import AnnData
from scipy import sparse

from sclong_core.errors import InputError
from sclong_core.expression.anndata_files import natural
from sclong_core.expression.cell_source import CellSource, RowReader, checked
from sclong_core.expression.reading import RowsInMemory, require_numbers
from sclong_core.expression.species import note_in_memory
from sclong_core.expression.store import refuse_unreadable

_LOG = logging.getLogger("sclong")


def source_from_anndata(
    adata: AnnData,
    *,
    matrix: str | None = None,
    feature_types: Collection[str] | None = None,
    name: str = "AnnData object",
) -> CellSource:
    """Cells of an AnnData object, which is neither copied whole nor changed.

    Args:
        adata: in memory, backed by a file, or a view.
        matrix: the matrix to read: ``X`` (default), ``raw`` or the name of a layer.
        feature_types: types of features that are genes; the usual ones by default.
        name: for messages and provenance; a backed object has that of its file.

    Raises:
        InputError: it is empty, holds no such matrix, or types of features that are not known.
    """
    return checked(_open(adata, name, matrix), feature_types)


def _open(adata: AnnData, name: str, matrix: str | None) -> CellSource:
    if adata.isbacked and adata.filename is not None:
        name = str(adata.filename)
    held = _matrices(adata)
    wanted = "X" if matrix is None else matrix
    chosen = next((key for key in (wanted, f"layers/{wanted}") if key in held), None)
    if chosen is None:
        listed = ", ".join(held) or "no matrix"
        raise InputError(f"{name} has no matrix {wanted!r}: it holds {listed}; choose one of these")
    return CellSource(
        name=name,
        matrix=chosen,
        obs=adata.obs,
        var=adata.raw.var if chosen == "raw" else adata.var,
        reader=_reader(adata, chosen, name),
        logged=chosen == "X" and _natural_log(adata),
        organism=note_in_memory(adata.uns),
        others={key: partial(_open, adata, name, key) for key in held if key != chosen},
    )


def _matrices(adata: AnnData) -> list[str]:
    """Names of the matrices of an object."""
    own = [] if not adata.isbacked and adata.X is None else ["X"]
    raw = ["raw"] if adata.raw is not None else []
    return own + raw + [f"layers/{key}" for key in sorted(adata.layers)]


def _reader(adata: AnnData, chosen: str, name: str) -> RowReader:
    """Reads rows of a matrix; one stored by genes is turned whole, a view of a file loaded."""
    if chosen == "X" and adata.isbacked and adata.is_view:
        _LOG.info("%s: a view of a backed object: loading its %s cells", name, f"{adata.n_obs:,}")
    with refuse_unreadable(name, chosen):
        matrix = _matrix(adata, chosen)
        require_numbers(matrix.dtype, name, chosen)
        if getattr(matrix, "format", "csr") != "csr":
            _LOG.info(
                "%s: %s is stored by genes: transposing all of it to read it by cells", name, chosen
            )
            matrix = matrix if sparse.issparse(matrix) else matrix.to_memory()
            matrix = sparse.csr_array(matrix)
        return RowsInMemory(matrix)


def _matrix(adata: AnnData, chosen: str) -> Any:
    """The matrix of that name, as it is held: nothing of a backed one is read yet."""
    if chosen == "X":
        return adata.X
    if chosen == "raw":
        return adata.raw.X
    return adata.layers[chosen.removeprefix("layers/")]


def _natural_log(adata: AnnData) -> bool:
    """Whether scanpy noted that X is log1p, with the natural logarithm."""
    if "log1p" not in adata.uns:
        return False
    note = adata.uns["log1p"]
    base = note.get("base") if isinstance(note, Mapping) else None
    return base is None or natural(base)
