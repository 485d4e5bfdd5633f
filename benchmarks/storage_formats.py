"""The same cells in each of the storages that are compared, written block by block."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from scipy import sparse

from sclong_core.testing import synthetic_gene_ids
from sclong_core.vocabulary import GeneVocabulary

CHUNK_CELLS = 64
"""Cells of a chunk or row group where a storage has such."""
SAMPLE = 20_480
"""Cells of the storage of one file a cell: creating more takes longer than all the rest."""


class Writer(Protocol):
    """Writes one storage."""

    def add(self, start: int, block: sparse.csr_array) -> None:
        """The next cells."""
        ...

    def close(self) -> None:
        """No more cells will come."""
        ...


class Corpus:
    """Shards of sclong-data."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.records = folder, list[Any]()

    def add(self, start: int, block: sparse.csr_array) -> None:
        """Write a shard."""
        from sclong_data.corpus import write_shard  # noqa: PLC0415  # not where it is not measured

        cells = block.shape[0]
        obs = pd.DataFrame(
            {"place": np.arange(cells)}, index=[f"{start + n}" for n in range(cells)]
        )
        digests = np.random.default_rng(start).integers(0, 1 << 63, (cells, 2)).astype(np.uint64)
        name = f"made.{start // max(1, cells)}" if start else "made.0"
        self.genes = block.shape[1]
        self.records.append(write_shard(self.folder, name, block, obs, digests))

    def close(self) -> None:
        """Write the index."""
        from sclong_data.corpus import write_corpus  # noqa: PLC0415  # as above

        write_corpus(
            self.folder,
            vocabulary=GeneVocabulary.from_ids(synthetic_gene_ids(self.genes)),
            rules={},
            shards=self.records,
            kept={record.name: np.ones(record.cells, dtype=bool) for record in self.records},
            datasets=[],
        )


class AnnDataZarr:
    """One AnnData zarr v3 store, in chunks of a few cells inside zarr shards."""

    def __init__(self, folder: Path) -> None:
        self._zarr, self._anndata = import_module("zarr"), import_module("anndata")
        self._group = self._zarr.open_group(folder / "cells.zarr", mode="w", zarr_format=3)
        self._written: Any = None

    def add(self, start: int, block: sparse.csr_array) -> None:
        """Write the first block, append the others."""
        if start == 0:
            chunk = CHUNK_CELLS * block.nnz // block.shape[0]
            shards = chunk * (-(-block.nnz // chunk))
            self._anndata.io.write_elem(
                self._group,
                "X",
                sparse.csr_matrix(block),
                dataset_kwargs={"chunks": (chunk,), "shards": (shards,)},
            )
        else:
            dataset = self._anndata.io.sparse_dataset(self._group["X"])
            dataset.append(sparse.csr_matrix(block))

    def close(self) -> None:
        """Nothing is left to do."""


class LitData:
    """Chunks of litdata, each cell an item of three arrays."""

    def __init__(self, folder: Path) -> None:
        writer = import_module("litdata.streaming.writer").BinaryWriter
        self._writer = writer(str(folder), chunk_bytes="64MB")

    def add(self, start: int, block: sparse.csr_array) -> None:
        """One item a cell."""
        for row in range(block.shape[0]):
            self._writer[start + row] = _item(block, row, start)

    def close(self) -> None:
        """Write the index."""
        self._writer.done()
        self._writer.merge()


class Mds:
    """Shards of MosaicML streaming."""

    def __init__(self, folder: Path) -> None:
        columns = {"values": "ndarray:float32", "genes": "ndarray:int32", "cell": "int"}
        self._writer = import_module("streaming").MDSWriter(out=str(folder), columns=columns)

    def add(self, start: int, block: sparse.csr_array) -> None:
        """One sample a cell."""
        for row in range(block.shape[0]):
            self._writer.write(_item(block, row, start))

    def close(self) -> None:
        """Write the index."""
        self._writer.finish()


class Parquet:
    """One parquet file, a row group of a few cells each, compressed by zstd."""

    def __init__(self, folder: Path) -> None:
        self._arrow = import_module("pyarrow")
        self._parquet = import_module("pyarrow.parquet")
        self._path = folder / "cells.parquet"
        self._writer: Any = None

    def add(self, start: int, block: sparse.csr_array) -> None:
        """Row groups of lists."""
        del start
        offsets = self._arrow.array(block.indptr.astype(np.int32))
        lists = self._arrow.ListArray.from_arrays
        table = self._arrow.table(
            {"values": lists(offsets, block.data), "genes": lists(offsets, block.indices)}
        )
        if self._writer is None:
            self._writer = self._parquet.ParquetWriter(
                self._path, table.schema, compression="zstd", use_dictionary=False
            )
        self._writer.write_table(table, row_group_size=CHUNK_CELLS)

    def close(self) -> None:
        """Write the footer."""
        self._writer.close()


class FileACell:
    """What the authors' release trains from: ``scipy.sparse.save_npz`` of each cell."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, start: int, block: sparse.csr_array) -> None:
        """One file a cell, of the first ones."""
        matrix = sparse.csr_matrix(block)
        for row in range(min(block.shape[0], SAMPLE - start)):
            sparse.save_npz(self._folder / f"cell{start + row}.npz", matrix[row])

    def close(self) -> None:
        """Nothing is left to do."""


WRITERS: dict[str, tuple[type[Any], str]] = {
    "corpus": (Corpus, "sclong_data"),
    "zarr": (AnnDataZarr, "anndata"),
    "litdata": (LitData, "litdata"),
    "mds": (Mds, "streaming"),
    "parquet": (Parquet, "pyarrow"),
    "npz": (FileACell, "scipy"),
}
"""Storages by name: what writes them, and the library that it takes."""


def installed(module: str) -> bool:
    """Whether a library can be measured here."""
    return find_spec(module) is not None


def _item(block: sparse.csr_array, row: int, start: int) -> dict[str, Any]:
    part = slice(block.indptr[row], block.indptr[row + 1])
    return {"values": block.data[part], "genes": block.indices[part], "cell": start + row}
