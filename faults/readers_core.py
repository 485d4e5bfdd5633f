"""Readers of sclong-core: checkpoints, weights, vocabularies, graphs, cells, blocks."""

import io
import json
import os
import pickle
import struct
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import torch

from faults.trials import Reader
from sclong_core.checkpoint import save_checkpoint
from sclong_core.config import PerformerConfig, ScLongConfig
from sclong_core.embedding.block_store import BlockStore
from sclong_core.errors import ScLongError
from sclong_core.expression import open_cells
from sclong_core.files import sha256_file
from sclong_core.graph import GeneGraph
from sclong_core.model import ScLong, load_checkpoint
from sclong_core.pickles import load_tensors, read_plain_pickle
from sclong_core.pretraining.checkpoint_io import AtomicCheckpointIO
from sclong_core.testing import make_counts_anndata, synthetic_gene_ids
from sclong_core.vocabulary import GeneVocabulary
from sclong_core.weights import read_weights, write_weights

_CELLS, _GENES = 12, 8
_IDS = synthetic_gene_ids(_GENES)
Generator = np.random.Generator


def _graph() -> GeneGraph:
    edges = np.array([[0, 1, 2, 2], [0, 1, 2, 3]], dtype=np.int64)
    return GeneGraph(_GENES, edges, np.ones(4, dtype=np.float32))


def _write_checkpoint(folder: Path) -> None:
    side = PerformerConfig(dim=8, depth=1, heads=2, dim_head=4)
    large = PerformerConfig(dim=16, depth=1, heads=2, dim_head=8)
    sizes = {"genes": _GENES, "dim": 8, "expression_hidden": 6, "high_genes": 3}
    config = ScLongConfig(**sizes, large=large, mini=side, full=side)  # type: ignore[arg-type]  # numbers all
    save_checkpoint(ScLong(config, GeneVocabulary.from_ids(_IDS), _graph()), folder / "model")


def _read_checkpoint(folder: Path) -> Any:
    state = load_checkpoint(folder / "model", device="cpu").state_dict()
    return {name: tensor.numpy().tobytes() for name, tensor in state.items()}


def _link_out(folder: Path, generator: Generator) -> None:
    path = folder / "model" / str(generator.choice(["config.json", "graph.npz", "vocabulary.tsv"]))
    outside = folder.parent / "outside"
    path.rename(outside)
    path.symlink_to(outside)


def _swap(folder: Path, generator: Generator) -> None:
    """The weights of another model of the same shape."""
    other = folder / "other"
    other.mkdir()
    _write_checkpoint(other)
    (other / "model" / "model.safetensors").replace(folder / "model" / "model.safetensors")


def _lying_weights(folder: Path, generator: Generator) -> None:
    """A header whose sizes, places or types cannot be."""
    path = folder / "model.safetensors"
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    entry = header["a"]
    extreme = int(generator.choice([2**31, 2**40, 2**62]))
    changes = {
        "dtype": "F128",
        "shape": [extreme, extreme],
        "data_offsets": [0, extreme],
        "nothing": None,
    }
    key = str(generator.choice(list(changes)))
    entry[key] = changes[key]
    if key == "nothing":
        entry["data_offsets"] = header["b"]["data_offsets"]  # one place for two tensors
    text = json.dumps(header).encode()
    size = len(text) if generator.random() < 0.7 else extreme
    path.write_bytes(struct.pack("<Q", size) + text + content[8 + length :])


def _write_weights(folder: Path) -> None:
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4, dtype=torch.bfloat16)}
    write_weights(tensors, folder / "model.safetensors")


def _write_training(folder: Path) -> None:
    content = {"global_step": 7, "epoch": 1, "weights": torch.arange(100.0), "note": "text"}
    AtomicCheckpointIO().save_checkpoint(content, folder / "step=7.ckpt")


def _read_training(folder: Path) -> Any:
    loaded = AtomicCheckpointIO().load_checkpoint(folder / "step=7.ckpt")
    return {key: str(value) for key, value in loaded.items()}


def _read_signed(folder: Path) -> Any:
    """With a record that fits whatever is there: as an attacker would write it."""
    path = folder / "step=7.ckpt"
    record = {"bytes": path.stat().st_size, "sha256": sha256_file(path), "step": 7, "epoch": 1}
    path.with_name("step=7.ckpt.json").write_text(json.dumps(record))
    return _read_training(folder)


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("pwned",))


def _evil_training(folder: Path, generator: Generator) -> None:
    torch.save({"global_step": 7, "evil": _Evil()}, folder / "step=7.ckpt")


def _evil_pickle(folder: Path, generator: Generator) -> None:
    protocol = int(generator.integers(2, 6))
    (folder / "settings.pkl").write_bytes(pickle.dumps({"a": _Evil()}, protocol=protocol))


def _write_pickle(folder: Path) -> None:
    values = {"a": 1, "b": [1.5, None, "text"], "c": {"d": (1, 2)}, "e": b"bytes"}
    (folder / "settings.pkl").write_bytes(pickle.dumps(values, protocol=2))


def _write_torch(folder: Path) -> None:
    torch.save({"w": torch.arange(10.0), "n": 3}, folder / "weights.pth")


def _write_vocabulary(folder: Path) -> None:
    symbols = [f"GENE{number}" for number in range(_GENES)]
    GeneVocabulary.from_ids(_IDS, symbols).write(folder / "vocabulary.tsv")


def _gene_twice(folder: Path, generator: Generator) -> None:
    path = folder / "vocabulary.tsv"
    path.write_text(path.read_text() + f"{generator.choice(_IDS)}\tX\n")


def _graph_with(**arrays: Any) -> Any:
    def plant(folder: Path, generator: Generator) -> None:
        with np.load(folder / "graph.npz") as read:
            content = dict(read)
        np.savez_compressed(folder / "graph.npz", **{**content, **arrays})

    return plant


def _graph_shape(folder: Path, generator: Generator) -> None:
    """A header that promises more than there is."""
    path = folder / "graph.npz"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    size = str(generator.choice(["99999999999999", "4000000000", "123456789012345678901"]))
    weight = members["edge_weight.npy"].replace(b"(4,)", f"({size},)".encode())
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**members, "edge_weight.npy": weight}.items():
            archive.writestr(name, content)


def _graph_bomb(folder: Path, generator: Generator) -> None:
    (folder / "graph.npz").write_bytes(_bomb())


@cache
def _bomb() -> bytes:
    """120 MB of zeros in 120 kB, with a header that tells the truth about them."""
    target = io.BytesIO()
    zeros = np.zeros((2, 7_500_000), dtype=np.int64)
    weight = np.ones(7_500_000, dtype=np.float32)
    np.savez_compressed(target, genes=np.int64(_GENES), edge_index=zeros, edge_weight=weight)
    return target.getvalue()


def _write_h5ad(folder: Path) -> None:
    make_counts_anndata(_CELLS, _GENES).write_h5ad(folder / "cells.h5ad")


def _write_zarr(folder: Path) -> None:
    anndata.settings.zarr_write_format = 3
    make_counts_anndata(_CELLS, _GENES).write_zarr(folder / "cells.zarr")


def _write_tenx(folder: Path) -> None:
    matrix = make_counts_anndata(_CELLS, _GENES).X
    with h5py.File(folder / "cells.h5", "w") as file:
        group = file.create_group("matrix")
        group["barcodes"] = np.array([f"C{number}" for number in range(_CELLS)], dtype="S8")
        for name in ("data", "indices", "indptr"):
            group[name] = getattr(matrix, name)
        group["shape"] = np.array([_GENES, _CELLS])
        for name in ("id", "name"):
            group[f"features/{name}"] = np.array(_IDS, dtype="S20")


def _write_loom(folder: Path) -> None:
    with h5py.File(folder / "cells.loom", "w") as file:
        file["matrix"] = make_counts_anndata(_CELLS, _GENES).X.toarray().T
        file["row_attrs/Gene"] = np.array(_IDS, dtype="S20")
        file["col_attrs/CellID"] = np.array([f"C{n}" for n in range(_CELLS)], dtype="S8")


def _cells(name: str) -> Any:
    def read(folder: Path) -> Any:
        with open_cells(folder / name) as source:
            rows = source.read_rows(0, len(source.obs))
            return np.asarray(rows.todense() if hasattr(rows, "todense") else rows).tobytes()

    return read


def _absurd(place: str, name: str = "cells.h5ad") -> Any:
    """An array in HDF5 that is said to be enormous, and takes no room."""

    def plant(folder: Path, generator: Generator) -> None:
        size = int(generator.choice([2**31, 2**40, 2**60]))
        with h5py.File(folder / name, "r+") as file:
            old = file[place]
            attributes, dtype = dict(old.attrs), old.dtype
            del file[place]
            new = file.create_dataset(place, shape=(size,), dtype=dtype, chunks=(1024,))
            new.attrs.update(attributes)

    return plant


def _absurd_attribute(folder: Path, generator: Generator) -> None:
    with h5py.File(folder / "cells.h5ad", "r+") as file:
        size = int(generator.choice([0, 2**40, 2**62, -1]))
        file["X"].attrs["shape"] = np.array([_CELLS, size], dtype=np.int64)


def _objects(folder: Path, generator: Generator) -> None:
    """Texts where there should be values."""
    with h5py.File(folder / "cells.h5ad", "r+") as file:
        size = file["X/data"].shape[0]
        del file["X/data"]
        file["X"].create_dataset("data", data=["x"] * size, dtype=h5py.string_dtype())


def _write_blocks(folder: Path) -> None:
    store = _store(folder, resume=False)
    for number, (start, stop) in enumerate(store.ranges()):
        store.write(number, np.arange(start * 3, stop * 3, dtype=np.float32).reshape(-1, 3))
    store.close()


def _store(folder: Path, *, resume: bool) -> BlockStore:
    work = {"cells": 3000, "checkpoint": "abc"}
    return BlockStore.open(folder / "x.partial", work, width=3, batch_size=4, resume=resume)


def _read_blocks(folder: Path) -> Any:
    """What resuming finds sound; what it does not, is computed again, which is no acceptance."""
    store = _store(folder, resume=True)
    try:
        if store.missing():
            raise ScLongError("some are computed again")
        return [values.tobytes() for _, values in store.read()]
    finally:
        store.close()


READERS = (
    Reader(
        "safetensors",
        _write_weights,
        lambda folder: {k: v.shape for k, v in read_weights(folder / "model.safetensors").items()},
        planted={"sizes that lie": _lying_weights},
    ),
    Reader(
        "checkpoint folder",
        _write_checkpoint,
        _read_checkpoint,
        sealed=True,
        planted={"a link out of it": _link_out, "swapped weights": _swap},
    ),
    Reader("training checkpoint", _write_training, _read_training, sealed=True),
    Reader(
        "training checkpoint with a forged record",
        _write_training,
        _read_signed,
        targets="*.ckpt",
        planted={"code": _evil_training},
    ),
    Reader(
        "pickle of settings",
        _write_pickle,
        lambda folder: str(read_plain_pickle(folder / "settings.pkl")),
        planted={"code": _evil_pickle},
    ),
    Reader(
        "released weights", _write_torch, lambda folder: str(load_tensors(folder / "weights.pth"))
    ),
    Reader(
        "vocabulary",
        _write_vocabulary,
        lambda folder: GeneVocabulary.read(folder / "vocabulary.tsv").ids,
        planted={"a gene twice": _gene_twice},
    ),
    Reader(
        "gene graph",
        lambda folder: _graph().write(folder / "graph.npz"),
        lambda folder: GeneGraph.read(folder / "graph.npz").digest,
        planted={
            "objects": _graph_with(genes=np.array([{"a": 1}], dtype=object)),
            "an edge out of the genes": _graph_with(edge_index=np.array([[0, 9, 1, 2]] * 2)),
            "text": _graph_with(edge_weight=np.array(["a"] * 4)),
            "a negative number of genes": _graph_with(genes=np.int64(-1)),
            "a shape that lies": _graph_shape,
            "a bomb": _graph_bomb,
        },
    ),
    Reader(
        "h5ad",
        _write_h5ad,
        _cells("cells.h5ad"),
        hdf5=True,
        planted={
            "an absurd indptr": _absurd("X/indptr"),
            "absurd data": _absurd("X/data"),
            "an absurd index": _absurd("obs/_index"),
            "an absurd shape": _absurd_attribute,
            "objects": _objects,
        },
    ),
    Reader("zarr store", _write_zarr, _cells("cells.zarr")),
    Reader(
        "10x file",
        _write_tenx,
        _cells("cells.h5"),
        hdf5=True,
        planted={
            "absurd barcodes": _absurd("matrix/barcodes", "cells.h5"),
            "an absurd shape": _absurd("matrix/shape", "cells.h5"),
        },
    ),
    Reader(
        "loom file",
        _write_loom,
        _cells("cells.loom"),
        hdf5=True,
        planted={"absurd names": _absurd("col_attrs/CellID", "cells.loom")},
    ),
    Reader("blocks of an embedding", _write_blocks, _read_blocks, sealed=True),
)
