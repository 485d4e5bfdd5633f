"""Each storage read as its library means it to be read: shuffled batches of dense float32.

All give batches of ``BATCH`` cells over all genes and the numbers of the cells, so that the
shuffle can be judged. Blocks are of 16 cells and pools of 2,048 wherever a loader has such.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

BATCH = 64
BLOCK = 16
POOL = 2_048
ROW_GROUP = 64
Batch: TypeAlias = tuple[Any, npt.NDArray[np.int64]]
Batches: TypeAlias = Iterator[Batch]


@dataclass(frozen=True)
class Candidate:
    """A way to read cells."""

    name: str
    """For the table."""
    storage: str
    """Folder that it reads."""
    modules: tuple[str, ...]
    """Libraries that it takes; imported before the clock starts."""
    read: Callable[[Path, int, int], Batches]
    """Batches of (folder, genes, workers)."""


def corpus(folder: Path, genes: int, workers: int, *, masks: bool = False) -> Batches:
    """The loader of sclong-data, with or without the masks of pretraining."""
    del genes
    loading = import_module("sclong_data.loading.loader")
    pools = import_module("sclong_data.loading.pools")
    order = import_module("sclong_data.loading.order")
    masking = import_module("sclong_core.pretraining.masking").MaskingConfig()
    cells = import_module("sclong_data.corpus").CellCorpus(folder)
    dataset = pools.PoolDataset(
        cells,
        import_module("sclong_data.loading.weights").EpochCells(np.arange(len(cells))),
        order.ShuffleConfig(BLOCK, POOL // BLOCK),
        masking if masks else None,
        pools.Share(BATCH, 0, 1),
        seed=0,
    )
    for batch in loading.CorpusLoader(dataset, workers=workers, seed=0, identity={}):
        yield batch["expression"], batch["cell"].numpy()


def corpus_with_masks(folder: Path, genes: int, workers: int) -> Batches:
    """What pretraining reads."""
    return corpus(folder, genes, workers, masks=True)


class _Rows:
    """Cells of a backed matrix with their numbers, for scDataset."""

    def __init__(self, matrix: Any, numbers: npt.NDArray[np.int64] | None = None) -> None:
        self.matrix, self.numbers = matrix, numbers

    def __len__(self) -> int:
        return int(self.matrix.shape[0])

    def __getitem__(self, rows: Any) -> "_Rows":
        rows = np.asarray(rows)
        return _Rows(self.matrix[rows], rows if self.numbers is None else self.numbers[rows])


def _dense(rows: _Rows) -> Batch:
    torch = import_module("torch")
    return torch.from_numpy(rows.matrix.toarray()), np.asarray(rows.numbers)


def scdataset(folder: Path, genes: int, workers: int) -> Batches:
    """An AnnData zarr store through scDataset."""
    del genes
    module, data = import_module("scdataset"), import_module("torch.utils.data")
    group = import_module("zarr").open_group(folder / "cells.zarr", mode="r")
    dataset = module.scDataset(
        _Rows(import_module("anndata").io.sparse_dataset(group["X"])),
        module.BlockShuffling(block_size=BLOCK),
        batch_size=BATCH,
        fetch_factor=POOL // BATCH,
        batch_transform=_dense,
        seed=0,
    )
    for dense, numbers in data.DataLoader(dataset, batch_size=None, num_workers=workers):
        yield dense, np.asarray(numbers)


def annbatch(folder: Path, genes: int, workers: int) -> Batches:
    """The same store through annbatch, which reads with threads: as many as others have workers."""
    del genes
    zarr, anndata = import_module("zarr"), import_module("anndata")
    settings: dict[str, Any] = {"threading.max_workers": workers}
    try:
        import_module("zarrs")
        settings["codec_pipeline.path"] = "zarrs.ZarrsCodecPipeline"
    except ImportError:
        pass
    with zarr.config.set(settings):
        group = zarr.open_group(folder / "cells.zarr", mode="r")
        matrix = anndata.io.sparse_dataset(group["X"])
        loader = (
            import_module("annbatch")
            .Loader(
                batch_size=BATCH,
                chunk_size=BLOCK,
                preload_nchunks=POOL // BLOCK,
                shuffle=True,
                return_index=True,
                preload_to_gpu=False,
                to="torch",
            )
            .add_adata(anndata.AnnData(X=matrix))
        )
        for batch in loader:
            yield batch["X"].to_dense(), np.asarray(batch["index"])


class _Collate:
    """Makes a dense batch of items of values, genes and number."""

    def __init__(self, genes: int) -> None:
        self._genes = genes

    def __call__(self, items: Sequence[dict[str, Any]]) -> Batch:
        torch = import_module("torch")
        dense = torch.zeros((len(items), self._genes))
        for row, item in enumerate(items):
            dense[row, np.asarray(item["genes"])] = torch.as_tensor(item["values"])
        return dense, np.array([int(item["cell"]) for item in items])


def litdata(folder: Path, genes: int, workers: int) -> Batches:
    """StreamingDataset of litdata, shuffled."""
    module = import_module("litdata")
    dataset = module.StreamingDataset(str(folder), shuffle=True)
    yield from module.StreamingDataLoader(
        dataset, batch_size=BATCH, num_workers=workers, collate_fn=_Collate(genes)
    )


def mds(folder: Path, genes: int, workers: int) -> Batches:
    """StreamingDataset of MosaicML, shuffled by its default algorithm."""
    data = import_module("torch.utils.data")
    module = import_module("streaming")
    module.base.util.clean_stale_shared_memory()
    dataset = module.StreamingDataset(local=str(folder), shuffle=True, batch_size=BATCH)
    yield from data.DataLoader(
        dataset, batch_size=BATCH, num_workers=workers, collate_fn=_Collate(genes)
    )


class _RowGroups:
    """Pools of row groups of a parquet file; opened by each worker for itself."""

    def __init__(self, path: Path, genes: int) -> None:
        self._path, self._genes = path, genes
        self._file: Any = None
        whole = import_module("pyarrow.parquet").ParquetFile(path)
        self._groups, self._rows = whole.num_row_groups, whole.metadata.num_rows
        self._random = np.random.default_rng(0)

    def pools(self) -> list[list[int]]:
        """Row groups in random order, as many together as make a pool."""
        order = self._random.permutation(self._groups)
        return [part.tolist() for part in np.array_split(order, -(-len(order) * ROW_GROUP // POOL))]

    def __getitem__(self, groups: list[int]) -> list[Batch]:
        from scipy import sparse  # noqa: PLC0415  # only here

        torch = import_module("torch")
        if self._file is None:
            self._file = import_module("pyarrow.parquet").ParquetFile(self._path)
        table = self._file.read_row_groups(groups, use_threads=False).combine_chunks()
        values, positions = (table[name].combine_chunks() for name in ("values", "genes"))
        values = values.chunk(0) if hasattr(values, "chunk") else values
        positions = positions.chunk(0) if hasattr(positions, "chunk") else positions
        offsets = values.offsets.to_numpy()
        matrix = sparse.csr_matrix(
            (values.values.to_numpy(), positions.values.to_numpy(), offsets),
            shape=(offsets.size - 1, self._genes),
        )
        numbers = np.concatenate([np.arange(ROW_GROUP) + group * ROW_GROUP for group in groups])
        numbers = numbers[numbers < self._rows]  # the last group may be a short one
        order = np.random.default_rng(groups[0]).permutation(offsets.size - 1)
        batches = [order[start : start + BATCH] for start in range(0, order.size, BATCH)]
        return [(torch.from_numpy(matrix[rows].toarray()), numbers[rows]) for rows in batches]


def parquet(folder: Path, genes: int, workers: int) -> Batches:
    """Row groups of a parquet file in random order, shuffled in pools."""
    data = import_module("torch.utils.data")
    dataset = _RowGroups(folder / "cells.parquet", genes)
    loader = data.DataLoader(dataset, batch_size=None, sampler=dataset.pools(), num_workers=workers)
    for batches in loader:
        for dense, numbers in batches:
            yield dense, np.asarray(numbers)


class _Files:
    """One file a cell."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = sum(1 for _ in folder.glob("cell*.npz"))

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> tuple[Any, int]:
        from scipy import sparse  # noqa: PLC0415  # only here

        torch = import_module("torch")
        row = sparse.load_npz(self._folder / f"cell{number}.npz").toarray()
        return torch.from_numpy(row).squeeze().to(torch.float32), number


def npz(folder: Path, genes: int, workers: int) -> Batches:
    """The release's way: a random file for each cell."""
    del genes
    data = import_module("torch.utils.data")
    loader = data.DataLoader(_Files(folder), batch_size=BATCH, shuffle=True, num_workers=workers)
    for dense, numbers in loader:
        yield dense, numbers.numpy()


_OURS = ("torch", "anndata", "sclong_data.loading.loader", "sclong_core.pretraining.masking")
CANDIDATES = {
    "sclong": Candidate("sclong-data", "corpus", _OURS, corpus),
    "sclong-masks": Candidate("sclong-data, with masks", "corpus", _OURS, corpus_with_masks),
    "scdataset": Candidate(
        "AnnData zarr v3 + scDataset", "zarr", ("torch", "anndata", "zarr", "scdataset"), scdataset
    ),
    "annbatch": Candidate(
        "AnnData zarr v3 + annbatch", "zarr", ("torch", "anndata", "zarr", "annbatch"), annbatch
    ),
    "litdata": Candidate("litdata", "litdata", ("torch", "litdata"), litdata),
    "mds": Candidate("MosaicML streaming", "mds", ("torch", "streaming"), mds),
    "parquet": Candidate(
        "parquet row groups", "parquet", ("torch", "scipy.sparse", "pyarrow.parquet"), parquet
    ),
    "npz": Candidate("one file a cell (release)", "npz", ("torch", "scipy.sparse"), npz),
}
