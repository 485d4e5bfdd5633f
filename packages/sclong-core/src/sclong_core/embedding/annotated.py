"""Annotated outputs: ``.h5ad`` files and zarr stores with the embedding in ``obsm``.

Where input and output have one format, the output is a copy of the file, so that nothing of it is
lost and nothing is loaded. Otherwise the annotation and the matrix that was read are carried over,
the matrix in blocks.
"""

import errno
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import zarr
from anndata import AnnData
from anndata.io import read_elem, sparse_dataset, write_elem
from scipy import sparse

from sclong_core.embedding.block_store import BlockStore
from sclong_core.embedding.carried import carried_table
from sclong_core.embedding.jobs import Job
from sclong_core.errors import InputError
from sclong_core.expression.cell_source import CellSource
from sclong_core.expression.identity import Identity
from sclong_core.expression.rows import cells_at_once
from sclong_core.expression.store import open_hdf5, open_zarr_store, refuse_unreadable
from sclong_core.files import atomic_file, atomic_folder, scratch_beside

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES)
_LOG = logging.getLogger("sclong")
_CARRIED = {"X", "obs", "var", "matrix", "row_attrs", "col_attrs", "attrs"}


def write_annotated(
    job: Job,
    source: CellSource,
    store: BlockStore,
    *,
    identity: Identity,
    key: str,
    record: Mapping[str, Any],
    overwrite: bool,
) -> None:
    """Write the output of a job, whole or not at all.

    Args:
        job: with an output that ends in ``.h5ad`` or ``.zarr``.
        source: the open input.
        store: all blocks of the embedding.
        identity: what the input holds; a copy of anything else is refused.
        key: of the embedding in ``obsm``, and of its record in ``uns["sclong"]``.
        record: where it comes from.
        overwrite: replace an output that is there.
    """
    copied = is_copied(job)
    with _temporary(job.output, overwrite=overwrite) as path:
        if copied:
            identity.copy(path)
        with _opened(path, new=not copied) as file:
            if not copied:
                _carry_over(file, source)
            _add(file, (store.cells, store.width), key, record, chunk=store.block_cells)
            for cells, values in store.read():
                file[f"obsm/{key}"][cells] = values
    if not copied:
        _announce(job)


def rehearse(job: Job, source: CellSource, *, key: str, width: int) -> None:
    """Write what could not be written later, beside the output, before anything is computed.

    Annotation that is carried over into another format, or from an old one, may hold what the
    format cannot; names may be too long for it.

    Raises:
        InputError: the output could never be written.
        OSError: the disk is full, or not writable.
    """
    copied = is_copied(job)
    with scratch_beside(job.output) as path:
        if path.suffix == ".zarr":
            path.mkdir()
        try:
            with _opened(path, new=True) as file:
                if not copied:
                    _carry_annotation(file, source)
                _add(file, (1, width), key, {}, chunk=1)
        except Exception as error:
            if isinstance(error, OSError) and error.errno in _DISK:
                raise
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise InputError(
                f"{job.output} could not be written from {job.source} ({reason}): "
                "rename or remove what its format cannot store, or write .npy or "
                ".parquet"
            ) from error


@contextmanager
def _temporary(output: Path, *, overwrite: bool) -> Iterator[Path]:
    """A name to write to that becomes the output."""
    if output.suffix == ".zarr":
        with atomic_folder(output, overwrite=overwrite) as path:
            yield path
    else:
        with atomic_file(output, overwrite=overwrite) as path:
            yield path


@contextmanager
def _opened(path: Path, *, new: bool) -> Iterator[Any]:
    """An HDF5 file or zarr group to write into; zarr's table of contents is renewed at the end."""
    if path.suffix != ".zarr":
        with h5py.File(path, "w" if new else "r+") as file:
            yield file
        return
    # Format 2 is what readers without zarr 3 know, too.
    options: dict[str, Any] = {"zarr_format": 2} if new else {"use_consolidated": False}
    yield zarr.open_group(path, mode="a" if new else "r+", **options)
    if new or zarr.open_group(path, mode="r").metadata.consolidated_metadata is not None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Consolidated metadata", category=UserWarning)
            zarr.consolidate_metadata(str(path))


def is_copied(job: Job) -> bool:
    """Whether the output is a copy of the input: both have one format, and a current one.

    Nothing can be added to files of anndata before 0.7, which kept whole tables in one array.
    """
    if not job.same_format or job.source.is_dir():
        return job.same_format
    with open_hdf5(job.source) as file, refuse_unreadable(str(job.source), "its layout"):
        parts = [file[name] for name in ("obs", "obsm", "uns") if name in file]
        return all(isinstance(part, h5py.Group) for part in parts)


def _add(
    file: Any, shape: tuple[int, int], key: str, record: Mapping[str, Any], *, chunk: int
) -> None:
    """Put an empty embedding and its record into an open file."""
    for place in ("obsm", "uns"):
        if place not in file:
            write_elem(file, place, {})
    if isinstance(file, h5py.File):
        array = file["obsm"].create_dataset(key, shape=shape, dtype=np.float32)
    else:
        chunks = (min(chunk, shape[0]), shape[1])
        array = file["obsm"].create_array(key, shape=shape, dtype=np.float32, chunks=chunks)
    # What anndata calls a dense array of its on-disk format.
    array.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    if "sclong" not in file["uns"]:
        write_elem(file["uns"], "sclong", {})
    write_elem(file["uns/sclong"], key, dict(record))


def _carry_annotation(file: Any, source: CellSource) -> None:
    """Write the annotation of the input."""
    in_zarr = not isinstance(file, h5py.File)
    obs = carried_table(source.obs, f"{source.name}: obs", in_zarr=in_zarr)
    var = carried_table(source.var, f"{source.name}: var", in_zarr=in_zarr)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*names are not unique", category=UserWarning)
        write_elem(file, "/", AnnData(obs=obs, var=var))


def _carry_over(file: Any, source: CellSource) -> None:
    """Write annotation and matrix of the input, the matrix a run of cells at a time."""
    _carry_annotation(file, source)
    step = cells_at_once(source.n_genes)
    for start in range(0, source.n_cells, step):
        rows = _csr(source.read_rows(start, min(start + step, source.n_cells)))
        if start == 0:
            write_elem(file, "X", rows)
        else:
            sparse_dataset(file["X"]).append(rows)


def _csr(rows: Any) -> sparse.csr_matrix:
    """Float32 rows, with row starts that can count beyond 32 bits once others are appended."""
    found = sparse.csr_matrix(rows, dtype=np.float32)
    found.indptr = found.indptr.astype(np.int64)
    return found


def _announce(job: Job) -> None:
    """Say what another format, or an old one, did not take over."""
    left = ""
    if job.source.is_dir():
        left = _left_out(open_zarr_store(job.source))
    elif job.source.suffix in (".h5ad", ".loom"):
        with open_hdf5(job.source) as file:
            left = _left_out(file)
    _LOG.info("%s: holds obs, var and, as X (float32), the matrix read%s", job.output, left)


def _left_out(store: Any) -> str:
    """Parts that hold something and are not carried over."""
    names = [name for name in sorted(store) if name not in _CARRIED]
    held = [name for name in names if not hasattr(store[name], "keys") or len(store[name])]
    # anndata writes an absent raw as an array without a shape.
    held = [name for name in held if getattr(store[name], "shape", None) != ()]
    return f"; left out: {', '.join(held)}" if held else ""


def read_record(output: Path, key: str) -> dict[str, Any] | None:
    """The record of an embedding in an annotated file; None if it is not there, or damaged."""
    place = f"uns/sclong/{key}"
    try:
        with ExitStack() as opened, refuse_unreadable(output.name, place):
            if output.is_dir():
                file = open_zarr_store(output)
            else:
                file = opened.enter_context(open_hdf5(output))
            found = read_elem(file[place]) if place in file else None
    except InputError:
        return None
    return found if isinstance(found, dict) else None
