"""Files of R: matrices, data frames, Seurat and SingleCellExperiment; and what is refused."""

import bz2
import gzip
import lzma
import struct
import sys

import numpy as np
import pytest
from scipy import sparse

from sclong_core.errors import InputError
from sclong_data.dataset_manifest import DatasetEntry, Manifest
from sclong_data.harmoniser.run import harmonise
from sclong_data.reading import open_dataset, r_parsing
from sclong_data.sources.local import find_datasets
from tests.support.datasets import SMALL_RULES, made_up_dataset, made_up_vocabulary
from tests.support.r_files import (
    NULL,
    dgc,
    items,
    named,
    pairlist,
    s4,
    vector,
    write_rds,
)

rdata = pytest.importorskip("rdata")

GENES = [f"ENSG{number:011d}" for number in range(1, 9)]
CELLS = [f"cell{number}" for number in range(5)]
COUNTS = np.random.default_rng(0).poisson(1.0, (len(GENES), len(CELLS)))


def opened(path, tmp_path, matrix=None):
    entry = DatasetEntry("set", location="unused", matrix=matrix)
    with open_dataset(entry, path, tmp_path / "scratch") as source:
        rows = source.read_rows(0, source.n_cells)
        values = rows.toarray() if sparse.issparse(rows) else np.asarray(rows)
        return source, values


def integers(values):
    return vector(np.asarray(values, dtype=np.int32))


def dense(values, rows=GENES, columns=CELLS):
    names = items([NULL if one is None else vector(one) for one in (rows, columns)])
    array = np.asarray(values)
    return vector(array.ravel(order="F"), {"dim": integers(array.shape), "dimnames": names})


def frame(columns, rows, kind="data.frame"):
    return named(columns, {"row.names": vector(rows), "class": vector([kind])})


META = {
    "cell_type": vector(
        np.array([1, 2, 1, -(2**31), 2], dtype=np.int32),
        {"levels": vector(["B", "T"]), "class": vector(["factor"])},
    ),
    "batch": vector(["x", "x", "y", "y", "z"]),
    "depth": vector(np.array([1.5, 2, 3, 4, np.nan])),
}
OBS = {
    "cell_type": ["B", "T", "B", "", "T"],
    "batch": ["x", "x", "y", "y", "z"],
    "depth": ["1.5", "2", "3", "4", ""],
}


def seurat(assays, meta=META, order=CELLS):
    slots = {"assays": named(assays), "meta.data": frame(meta, order), "version": items([])}
    return s4("Seurat", slots)


def assay(**layers):
    return s4("Assay", {**layers, "key": vector(["rna_"])})


def log_map(names, layers, held=None):
    table = np.ones((len(names), len(layers)), dtype=bool) if held is None else held
    return vector(
        table.ravel(order="F"),
        {
            "dim": integers(table.shape),
            "dimnames": items([vector(names), vector(layers)]),
            "class": vector(["LogMap"]),
        },
    )


def assay5(layers, features=None, cells=None):
    slots = {
        "layers": named(layers),
        "features": features or log_map(GENES, list(layers)),
        "cells": cells or log_map(CELLS, list(layers)),
    }
    return s4("Assay5", slots)


def experiment(assays, rows="NAMES"):
    data = s4("SimpleList", {"listData": named(assays)})
    table = s4("DFrame", {"rownames": vector(CELLS), "listData": named(META)})
    place = {"NAMES": vector(GENES)}
    if rows != "NAMES":
        part = s4("PartitioningByEnd", {"NAMES": vector(GENES)})
        place = {"NAMES": NULL, "rowRanges": s4("CompressedGRangesList", {rows: part})}
    slots = {"assays": s4("SimpleAssays", {"data": data}), "colData": table, **place}
    return s4("SingleCellExperiment", slots)


plain = dgc(COUNTS, GENES, CELLS)
KINDS = {
    "dgCMatrix": plain,
    "matrix of integers": dense(COUNTS.astype(np.int32)),
    "matrix of reals": dense(COUNTS.astype(float)),
    "data frame": frame({cell: integers(COUNTS[:, n]) for n, cell in enumerate(CELLS)}, GENES),
    "in a list": named({"counts": plain, "notes": vector(["x"]), "meta": frame(META, CELLS)}),
    "Seurat": seurat({"RNA": assay(counts=plain, data=plain, **{"scale.data": dense(COUNTS / 3)})}),
    "Seurat, two assays": seurat(
        {"ADT": assay(counts=dgc(COUNTS[:2], GENES[:2], CELLS)), "RNA": assay(counts=plain)}
    ),
    "Seurat 5": seurat({"RNA": assay5({"counts": dgc(COUNTS), "data": dgc(COUNTS / 2)})}),
    "SingleCellExperiment": experiment({"counts": dgc(COUNTS), "logcounts": dgc(COUNTS / 2)}),
    "its genes in ranges": experiment({"counts": plain}, rows="partitioning"),
}


@pytest.mark.parametrize("name", list(KINDS))
def test_matrices_of_r_are_read(tmp_path, name):
    path = write_rds(tmp_path / "cells.rds", KINDS[name])
    matrix = "RNA/counts" if name == "Seurat, two assays" else None
    for _ in range(2):  # parsed, and then found in the scratch folder
        source, values = opened(path, tmp_path, matrix)
        np.testing.assert_array_equal(values, COUNTS.T)
        assert list(source.obs.index) == CELLS
        assert list(source.var.index) == GENES
        if "Seurat" in name or "Experiment" in name:
            assert {key: list(source.obs[key]) for key in OBS} == OBS
    if name in ("Seurat", "SingleCellExperiment"):
        assert source.others


@pytest.mark.parametrize("ending", [".rda", ".RData", ".rds"])
@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, bytes])
def test_all_that_save_writes_is_read(tmp_path, ending, pack):
    path = tmp_path / f"cells{ending}"
    saved = ending != ".rds"
    item = pairlist({"note": vector(["x"]), "counts": plain}) if saved else plain
    write_rds(path, item, saved=saved, packed=False)
    path.write_bytes(pack(path.read_bytes()))
    np.testing.assert_array_equal(opened(path, tmp_path)[1], COUNTS.T)


def test_what_the_package_writes_is_read(tmp_path):
    rdata.write_rds(tmp_path / "list.rds", {"a": np.arange(3.0), "b": "text"})
    with pytest.raises(InputError, match="holds no matrix of cells"):
        opened(tmp_path / "list.rds", tmp_path)


def test_either_way_round_and_by_name(tmp_path):
    path = write_rds(tmp_path / "turned.rds", dgc(COUNTS.T, CELLS, GENES))
    np.testing.assert_array_equal(opened(path, tmp_path)[1], COUNTS.T)
    letters = [f"x{number}" for number in range(8)]
    path = write_rds(tmp_path / "unclear.rds", dgc(COUNTS, letters, CELLS))
    with pytest.raises(InputError, match="neither of its axes"):
        opened(path, tmp_path)
    values = opened(path, tmp_path, "genes-by-cells")[1]
    np.testing.assert_array_equal(values, COUNTS.T)
    both = named({"one": plain, "two": dgc(COUNTS * 2, GENES, CELLS)})
    path = write_rds(tmp_path / "both.rds", both)
    with pytest.raises(InputError, match="holds one, two: name one"):
        opened(path, tmp_path)
    np.testing.assert_array_equal(opened(path, tmp_path, "two")[1], 2 * COUNTS.T)
    with pytest.raises(InputError, match="no matrix 'three': it holds one, two"):
        opened(path, tmp_path, "three")


def test_a_layer_of_some_cells_has_their_names(tmp_path):
    held = np.array([[True, False]] * 2 + [[False, True]] * 3)
    layers = {"counts.1": dgc(COUNTS[:, :2]), "counts.2": dgc(COUNTS[:, 2:])}
    item = seurat({"RNA": assay5(layers, cells=log_map(CELLS, list(layers), held))})
    path = write_rds(tmp_path / "split.rds", item)
    for matrix, part in (("RNA/counts.1", slice(2)), ("RNA/counts.2", slice(2, 5))):
        source, values = opened(path, tmp_path, matrix)
        assert list(source.obs.index) == CELLS[part]
        assert list(source.obs["batch"]) == OBS["batch"][part]
        np.testing.assert_array_equal(values, COUNTS.T[part])


def test_a_folder_with_files_of_r_is_listed_and_harmonised(tmp_path):
    adata = made_up_dataset(40, seed=0)
    item = dgc(adata.X.T, list(adata.var_names), list(adata.obs_names))
    write_rds(tmp_path / "a.rds", item)
    adata.write_h5ad(tmp_path / "b.h5ad")
    entries = find_datasets(tmp_path)
    assert [entry.location for entry in entries] == ["a.rds", "b.h5ad"]
    result = harmonise(
        Manifest(tuple(entries), tmp_path),
        tmp_path / "corpus",
        vocabulary=made_up_vocabulary(),
        rules=SMALL_RULES,
    )
    first, second = (row["cells"] for row in result.rows)
    assert first["kept"] == 38
    assert second["duplicates"] == 38


def raw(body):
    return struct.pack(">iiii", 3, 0x40301, 0x30500, 5) + b"UTF-8" + body


def without(slot, **others):
    slots = {
        "i": integers([0]),
        "p": integers([0, 1]),
        "Dim": integers([1, 1]),
        "Dimnames": items([vector(["ENSG00000000001"]), vector(["c"])]),
        "x": vector(np.array([1.0])),
    }
    slots |= others
    slots.pop(slot, None)
    return s4("dgCMatrix", slots)


REFUSED = {
    "no R": (b"hello", "not a file of R"),
    "text": (b"A\n3\n", "saved as text"),
    "empty": (b"", "not a file of R"),
    "bomb": (gzip.compress(bytes(200_000_000)), "unpacks to more than"),
    "cut": (gzip.compress(b"X\n" + raw(plain))[:-20], "cut short or damaged"),
    "cut inside": (b"X\n" + raw(plain)[:-40], "cannot be read"),
    "endless vector": (b"X\n" + raw(struct.pack(">ii", 14, 2**31 - 1)), "ends early"),
    "endless list": (b"X\n" + raw(struct.pack(">ii", 19, 2**31 - 1)), "ends early"),
    "long vector": (b"X\n" + raw(struct.pack(">iii", 14, -1, 0) + bytes(64)), "2.31 values"),
    "compiled": (b"X\n" + raw(struct.pack(">ii", 21, 2**31 - 1)), "compiled functions"),
    "deep": (b"X\n" + raw(struct.pack(">ii", 19, 1) * 50_000), "cannot be read"),
    "nothing": (b"X\n" + raw(NULL), "holds no matrix"),
    "a slot less": (b"X\n" + raw(without("p")), "damaged or of another kind"),
    "outside": (b"X\n" + raw(without("", i=integers([7]))), "outside of it"),
    "below": (b"X\n" + raw(without("", i=integers([-3]))), "outside of it"),
    "other length": (b"X\n" + raw(without("", p=integers([0, 5]))), "do not fit"),
    "absurd size": (b"X\n" + raw(without("", Dim=integers([2**31 - 1] * 2))), "do not fit|named"),
    "gap": (b"X\n" + raw(without("", x=vector(np.array([np.nan])))), "not finite"),
    "no names": (b"X\n" + raw(dgc(COUNTS)), "no names of its rows"),
}


@pytest.mark.parametrize(("content", "message"), REFUSED.values(), ids=list(REFUSED))
def test_what_cannot_be_read_is_one_line(tmp_path, content, message):
    (tmp_path / "cells.rds").write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        opened(tmp_path / "cells.rds", tmp_path, "genes-by-cells")
    assert "\n" not in str(caught.value)


def test_a_sequence_without_end_takes_no_memory(tmp_path):
    state = vector(np.array([1e12, 1.0, 1.0]))
    info = pairlist({"": vector(["x"])})
    symbol = struct.pack(">i", 1) + struct.pack(">ii", 9 | 64 << 12, 14) + b"compact_intseq"
    info = struct.pack(">i", 2) + symbol + NULL
    content = b"X\n" + raw(struct.pack(">i", 238) + info + state + NULL)
    (tmp_path / "cells.rds").write_bytes(content)
    with pytest.raises(InputError, match="cannot be read"):
        opened(tmp_path / "cells.rds", tmp_path)


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    path = write_rds(tmp_path / "cells.rds", plain)
    r_parsing._parser.cache_clear()
    monkeypatch.setitem(sys.modules, "rdata.parser", None)
    with pytest.raises(InputError, match=r"sclong-data\[r\]"):
        opened(path, tmp_path)
    r_parsing._parser.cache_clear()
