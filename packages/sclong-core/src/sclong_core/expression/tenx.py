"""10x Genomics ``.h5`` files, of Cell Ranger 3 and later and of the versions before."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import pandas as pd

from sclong_core.errors import InputError
from sclong_core.expression.cell_source import CellSource
from sclong_core.expression.reading import CompressedRows, require_numbers, texts
from sclong_core.expression.store import open_hdf5, refuse_unreadable, require_stored

_ARRAYS = {"barcodes", "data", "indices", "indptr", "shape"}
_COLUMNS = {
    "id": "gene_ids",
    "name": "gene_symbols",
    "feature_type": "feature_types",
    "genome": "genome",
}


def open_tenx(path: Path, matrix: str | None) -> CellSource:
    """Open a 10x file; see :func:`sclong_core.expression.open_cells`.

    Both layouts store the matrix by barcodes, so that cells are read in runs.
    """
    file = open_hdf5(path)
    with refuse_unreadable(str(path), "the file"):
        return _choose(file, path, matrix)


def _choose(file: h5py.File, path: Path, matrix: str | None) -> CellSource:
    """The cells of the asked-for matrix."""
    genomes = [
        key for key in file if isinstance(file[key], h5py.Group) and set(file[key]) >= _ARRAYS
    ]
    if not genomes:
        held = ", ".join(sorted(file)[:5]) or "nothing"
        advice = "rename it to .h5ad" if {"obs", "var"} <= set(file) else "convert it to .h5ad"
        raise InputError(f"{path} is not a 10x file (it holds {held}): {advice}")
    if matrix is None and len(genomes) > 1:
        raise InputError(
            f"{path} holds several genomes ({', '.join(genomes)}): choose the human "
            f"one, for example matrix={genomes[0]!r} (--matrix {genomes[0]})"
        )
    chosen = genomes[0] if matrix is None else matrix
    if chosen not in genomes:
        raise InputError(f"{path} has no matrix {matrix!r}: it holds {', '.join(genomes)}")
    return _open(file, str(path), chosen, genomes)


def _open(file: h5py.File, name: str, chosen: str, genomes: list[str]) -> CellSource:
    """The cells of one matrix."""
    group = file[chosen]
    with refuse_unreadable(name, chosen):
        obs = pd.DataFrame(index=pd.Index(texts(group["barcodes"]), name="barcode"))
        var = _features(group)
        require_numbers(group["data"].dtype, name, chosen)
        require_stored(group["shape"])
        genes, cells = (int(size) for size in group["shape"][:])
        if (cells, genes) != (len(obs), len(var)):
            raise ValueError(f"its shape is {genes} x {cells}, its names {len(var)} x {len(obs)}")
        reader = CompressedRows(group, cells, genes)
    return CellSource(
        name=name,
        matrix=chosen,
        obs=obs,
        var=var,
        reader=reader,
        others={key: partial(_open, file, name, key, genomes) for key in genomes if key != chosen},
        closer=file.close,
    )


def _features(group: h5py.Group) -> pd.DataFrame:
    """Ids and symbols of the genes; the symbols are the index, as in scanpy."""
    if "features" in group:
        held: Mapping[str, Any] = group["features"]
        columns = {new: texts(held[old]) for old, new in _COLUMNS.items() if old in held}
    else:
        columns = {"gene_ids": texts(group["genes"]), "gene_symbols": texts(group["gene_names"])}
    symbols = columns.pop("gene_symbols", columns["gene_ids"])
    return pd.DataFrame(columns, index=pd.Index(symbols, name="gene_symbols"))
