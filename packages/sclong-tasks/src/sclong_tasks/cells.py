"""Cells of any h5ad file: columns of obs, matrices and their scale."""

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import anndata
import h5py
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from sclong_core.errors import InputError
from sclong_core.expression import recognise, source_from_anndata
from sclong_core.expression.features import find_features, types_as_they_are
from sclong_core.expression.recognition import whole_rows
from sclong_core.expression.rows import canonical
from sclong_core.expression.species import (
    HUMAN,
    GeneSpecies,
    SpeciesTally,
    note_in_memory,
    other_organisms,
    species_of_genes,
)
from sclong_core.expression.store import open_hdf5, refuse_unreadable, require_stored
from sclong_tasks.chemistry.molecules import shown
from sclong_tasks.encoders.protocol import Scale

_LOG = logging.getLogger("sclong")
_TASTE = 128
_SLIPS = 0.001
RAW = ".raw"
"""Stands for ``adata.raw`` among the layers of a file; no layer is named so by tools."""
CELL_TYPE_KEYS = (
    "cell_type", "celltype", "cell_types", "CellType", "cell.type", "cell_line", "bulk_labels",
)  # fmt: skip
"""Usual names of the column of cell types."""


def read_h5ad(path: Path, *, needs_genes: bool = True) -> anndata.AnnData:
    """The whole file.

    Args:
        path: of the file.
        needs_genes: refuse a file without any; what is asked for may be beside X.

    Raises:
        InputError: it is not an h5ad file, claims to hold more than it does, or holds no cells or
            genes.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # names that occur twice are refused by the tasks
            with open_hdf5(path) as file, refuse_unreadable(str(path), "the file"):
                _require_all(file)
            found = anndata.read_h5ad(path)
            for matrix in (found.X, *found.layers.values(), *found.obsm.values()):
                if sparse.issparse(matrix):
                    matrix.check_format(full_check=True)  # a place outside would crash
    except InputError:
        raise
    except Exception as error:  # whatever anndata says of a damaged file
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path} is not a readable h5ad file: {reason}") from error
    if not found.n_obs or (needs_genes and not found.n_vars):
        raise InputError(f"{path} holds {found.n_obs} cells and {found.n_vars} genes")
    return found


def _require_all(group: h5py.Group) -> None:
    """Refuse arrays that are declared to be larger than what is there can be."""
    for name in group:
        if isinstance(group.get(name, getlink=True), h5py.SoftLink):
            continue  # to a place in the file, which is looked at there
        if isinstance(group[name], h5py.Group):
            _require_all(group[name])
        elif isinstance(group[name], h5py.Dataset):
            require_stored(group[name])


def obs_column(
    obs: pd.DataFrame, keys: Sequence[str], setting: str, path: Path, *, needed: bool = True
) -> npt.NDArray[np.str_]:
    """The first of these columns as text, empty where it is missing.

    Args:
        obs: of the file.
        keys: names of the column.
        setting: that would name another one, for the message.
        path: of the file, for the message.
        needed: refuse a file without it; else all is empty.

    Raises:
        InputError: it is not there.
    """
    found = next((name for name in keys if name in obs), None)
    if found is None:
        if not needed:
            return np.full(len(obs), "")
        raise InputError(
            f"{path} has no column {', '.join(keys)} in obs: it has "
            f"{shown(list(map(str, obs.columns))) or 'none'}; name it with {setting}"
        )
    values = obs[found].astype(object)
    return np.asarray(values.where(values.notna(), "").astype(str).str.strip(), dtype=str)


def dense_matrix(adata: anndata.AnnData, layer: str, path: Path) -> npt.NDArray[np.float32]:
    """X, or a layer, with all its zeros.

    Raises:
        InputError: it is not there.
    """
    if layer and layer not in adata.layers:
        raise InputError(
            f"{path} has no layer {layer!r}: it has {', '.join(adata.layers) or 'none'}"
        )
    stored: Any = adata.layers[layer] if layer else adata.X
    if stored is None:
        raise InputError(f"{path} has no X: choose a layer with task.layer")
    dense = stored.toarray() if hasattr(stored, "toarray") else np.asarray(stored)
    return np.asarray(dense, dtype=np.float32)


def genes_only(adata: anndata.AnnData, path: Path) -> anndata.AnnData:
    """The cells without features that are not genes, as embedding and corpora have it.

    Cells of another species, by their genes or by what ``obs`` and ``uns`` note, are warned of.

    Raises:
        InputError: a type of features is not known, or none is a gene.
    """
    try:
        with types_as_they_are():
            features = find_features(adata.var)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    genes = adata
    if not features.kept.all():
        _LOG.info("%s: skipped features that are not genes: %s", path.name, features.describe())
        genes = adata[:, features.kept].copy()
    _warn_of_species(genes, path)
    return genes


def _warn_of_species(adata: anndata.AnnData, path: Path) -> None:
    """Warn of cells of another species: a baseline may take them, a model of human genes not."""
    noted = other_organisms(adata.obs, note_in_memory(adata.uns), HUMAN)
    species = species_of_genes(adata.var, HUMAN)
    for reason in (species.reason or _by_counts(adata, species), noted):
        if reason is not None:
            _LOG.warning(
                "%s is not human data: %s; map genes to their human orthologs before an encoder of "
                "human genes reads them", path.name, reason,
            )  # fmt: skip


def _by_counts(adata: anndata.AnnData, species: GeneSpecies) -> str | None:
    """Why cells are of several species, by their values; None where none is foreign."""
    if adata.X is None or not species.foreign.any():
        return None
    rows, tally = canonical(adata.X), SpeciesTally(species)
    rows.data = np.where(rows.data > 0, rows.data, 0)  # what is wrong is refused elsewhere
    tally.add(rows, [str(name) for name in adata.obs_names])
    return tally.reason("raw" if whole_rows(rows).all() else "log1p")


def noted_log(adata: anndata.AnnData, layer: str = "") -> bool:
    """Whether the file notes that X, not a layer, was transformed by log1p."""
    return not layer and source_from_anndata(adata).logged


def scale_of(
    values: npt.NDArray[np.float32],
    scale: str,
    *,
    as_stored: bool,
    logged: bool = False,
    what: str = "expression",
    layers: Mapping[str, Any] = MappingProxyType({}),
) -> Scale:
    """The scale that values are taken to have, recognised as embedding does where it is "auto".

    Args:
        values: of all cells and genes.
        scale: "auto", or what they are.
        as_stored: they are taken as log1p as they are.
        logged: the file notes that they are log1p.
        what: file and matrix, for the message.
        layers: other matrices of the cells, of which the message names one that can be used.

    Raises:
        InputError: they are neither counts nor log1p values.
    """
    if as_stored:
        return "log1p"
    if scale != "auto":
        return scale  # type: ignore[return-value]  # settings and tables check it
    if not np.isfinite(values).all() or 0 < (values < 0).mean() < _SLIPS:
        return "counts"  # whatever they are: the table of expression names the cell and the gene
    found = recognise(values, logged=logged)
    if found.normalisation is None:
        raise InputError(
            f"{what} {found.seen}: {_advice(layers)}, or set task.scale=counts or task.scale=log1p"
        )
    counts = found.normalisation == "raw"
    _LOG.info("%s %s: taken as %s", what, found.seen, "counts" if counts else "log1p")
    return "counts" if counts else "log1p"


def _advice(layers: Mapping[str, Any]) -> str:
    """A layer, or raw, that holds what is needed, counts first."""
    for kind, words in (("raw", "counts"), ("log1p", "log1p values")):
        name = matrix_of_kind(layers, kind)
        if name == RAW:
            return f"raw holds {words}, make it X (adata.raw.to_adata())"
        if name is not None:
            return f"layer {name!r} holds {words}, name it with task.layer={name}"
    return "give counts or their log1p"


def matrix_of_kind(matrices: Mapping[str, Any], kind: str) -> str | None:
    """The first matrix whose first and last cells are recognised as "raw" or "log1p"."""
    return next((name for name, values in matrices.items() if _kind(values) == kind), None)


def _kind(values: Any) -> str | None:
    last = max(0, values.shape[0] - _TASTE)
    rows = [values[at : at + _TASTE] for at in sorted({0, last})]
    return recognise(sparse.vstack(list(map(sparse.csr_matrix, rows)))).normalisation


def other_matrices(adata: anndata.AnnData, layer: str = "") -> dict[str, Any]:
    """The matrices of the cells beside the one that is read, for messages."""
    held = {name: values for name, values in adata.layers.items() if name != layer}
    return held if adata.raw is None else {**held, RAW: adata.raw.X}


def say_left_out(what: str, names: Sequence[str]) -> None:
    """Name and count what is left out, if anything is."""
    if names:
        _LOG.info("%d %s are left out: %s", len(names), what, shown(list(names)))
