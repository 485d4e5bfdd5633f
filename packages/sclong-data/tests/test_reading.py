"""Every format gives the same cells as the array that was written, in blocks, or says why not."""

import gzip
import warnings
from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import io, sparse

from sclong_core.errors import InputError
from sclong_data.dataset_manifest import DatasetEntry, Manifest
from sclong_data.reading import open_dataset, released, sorting, text
from sclong_data.reading.axes import find_layout
from sclong_data.reading.sorting import CsrWriter
from tests.support.places import shared_folder

GENES = ("TP53", "SLC2A1", "RPL13", "ACTB", "ZNF10", "B2M")
CELLS = ("AAAC-1", "AAAG-1", "AACC-1", "AACG-1")
COUNTS = np.array(
    [[0, 3, 0, 1, 0, 2], [5, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0], [1, 1, 7, 0, 65_537, 1]],
    dtype=np.float64,
)
REAL = shared_folder("data")
ENTRY = DatasetEntry("set", location="unused")


def dense(source, block=2):
    """All cells, read block by block."""
    with source:
        blocks = [
            source.read_rows(start, min(source.n_cells, start + block))
            for start in range(0, source.n_cells, block)
        ]
        found = [rows.toarray() if sparse.issparse(rows) else np.asarray(rows) for rows in blocks]
    return np.concatenate(found)


def write_table(path, values, rows, columns, *, delimiter=",", corner=True):
    lines = [delimiter.join(([""] if corner else []) + list(columns))]
    lines += [
        delimiter.join([name, *(f"{value:g}" for value in row)])
        for name, row in zip(rows, values, strict=True)
    ]
    content = ("\n".join(lines) + "\n").encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def write_tenx(folder: Path, *, packed: bool, features: str, width: int = 3, prefix="") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    matrix = folder / f"{prefix}matrix.mtx"
    io.mmwrite(matrix, sparse.coo_array(COUNTS.T.astype(int)), field="integer", symmetry="general")
    columns = [
        (f"ENSG{number:011d}", gene, "Gene Expression")[:width] for number, gene in enumerate(GENES)
    ]
    (folder / f"{prefix}{features}.tsv").write_text(
        "".join("\t".join(row) + "\n" for row in columns)
    )
    (folder / f"{prefix}barcodes.tsv").write_text("".join(f"{cell}\n" for cell in CELLS))
    if packed:
        for path in list(folder.iterdir()):
            (folder / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
    return folder


def write_cellblast(path: Path, *, layout: str) -> Path:
    with h5py.File(path, "w") as file:
        if layout == "dense":
            file["exprs"] = COUNTS
        else:
            matrix = sparse.csr_array(COUNTS)
            for name in ("data", "indices", "indptr"):
                file[f"exprs/{name}"] = getattr(matrix, name)
            file["exprs/shape"] = np.array(COUNTS.shape)
        file["obs_names"] = np.array(CELLS, dtype="S")
        file["var_names"] = np.array(GENES, dtype="S")
        file["obs/cell_ontology_class"] = np.array(["T cell"] * len(CELLS), dtype="S")
        file["obs/n_genes"] = np.arange(len(CELLS))
        file.create_group("var")
        file["uns/batch"] = np.array(["x"], dtype="S")
    return path


def write_chunk(path: Path, matrix=None, **extra) -> Path:
    matrix = sparse.csr_array(COUNTS.astype(np.float32)) if matrix is None else matrix
    np.savez(path, data=matrix.data, indices=matrix.indices, indptr=matrix.indptr, **extra)
    (path.parent / "genes.txt").write_text("".join(f"{gene}\n" for gene in GENES))
    return path


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("features", "width"), [("features", 3), ("genes", 2), ("genes", 1)])
def test_tenx_folders_of_all_ages_are_read(tmp_path, packed, features, width):
    folder = write_tenx(tmp_path / "mtx", packed=packed, features=features, width=width)
    source = open_dataset(ENTRY, folder, tmp_path / "scratch")
    assert list(source.obs.index) == list(CELLS)
    assert next(iter(source.var.get("gene_ids", source.var.index))) == "ENSG00000000000"
    np.testing.assert_array_equal(dense(source), COUNTS)


def test_a_matrix_file_with_a_prefix_finds_its_companions(tmp_path):
    for prefix in ("GSM1_", "GSM2_"):
        write_tenx(tmp_path, packed=False, features="features", prefix=prefix)
    source = open_dataset(ENTRY, tmp_path / "GSM2_matrix.mtx", tmp_path / "scratch")
    np.testing.assert_array_equal(dense(source), COUNTS)
    manifest = Manifest.from_folder(tmp_path)
    assert [entry.dataset for entry in manifest] == ["GSM1_matrix", "GSM2_matrix"]


def test_a_matrix_of_cells_by_genes_is_told_by_its_shape(tmp_path):
    folder = write_tenx(tmp_path / "mtx", packed=False, features="features")
    io.mmwrite(folder / "matrix.mtx", sparse.coo_array(COUNTS), symmetry="general")
    np.testing.assert_array_equal(dense(open_dataset(ENTRY, folder, tmp_path / "s")), COUNTS)


def test_features_that_are_not_genes_are_left_out(tmp_path):
    folder = write_tenx(tmp_path / "mtx", packed=False, features="features")
    path = folder / "features.tsv"
    path.write_text(path.read_text().replace("B2M\tGene Expression", "B2M\tAntibody Capture"))
    source = open_dataset(ENTRY, folder, tmp_path / "scratch")
    assert source.n_genes == len(GENES) - 1
    np.testing.assert_array_equal(dense(source), COUNTS[:, :-1])


@pytest.mark.parametrize("by_genes", [False, True])
@pytest.mark.parametrize("corner", [False, True])
@pytest.mark.parametrize(
    ("name", "delimiter"), [("x.csv", ","), ("x.tsv.gz", "\t"), ("x.txt", " ")]
)
def test_tables_of_text_are_read_either_way_round(tmp_path, by_genes, corner, name, delimiter):
    axes = (COUNTS.T, GENES, CELLS) if by_genes else (COUNTS, CELLS, GENES)
    if delimiter == " " and corner:
        pytest.skip("a blank corner cannot be told apart between blanks")
    path = write_table(tmp_path / name, *axes, delimiter=delimiter, corner=corner)
    source = open_dataset(ENTRY, path, tmp_path / "scratch")
    assert (list(source.obs.index), list(source.var.index)) == (list(CELLS), list(GENES))
    np.testing.assert_array_equal(dense(source), COUNTS)


def test_quoted_names_may_hold_the_delimiter(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text('"","TP53","RPL3","ACTB"\n"cell, one",1,"2",3\n"two",0,0,4\n')
    source = open_dataset(ENTRY, path, tmp_path / "scratch")
    assert list(source.obs.index) == ["cell, one", "two"]
    np.testing.assert_array_equal(dense(source), [[1, 2, 3], [0, 0, 4]])


def test_an_axis_is_never_guessed(tmp_path):
    path = write_table(tmp_path / "x.csv", np.eye(3), ["a", "b", "c"], ["d", "e", "f"])
    with pytest.raises(InputError, match=r"neither of its axes.*manifest's column matrix"):
        open_dataset(ENTRY, path, tmp_path)
    with pytest.raises(InputError, match="both of its axes"):
        find_layout(GENES, GENES, "x.csv")
    named = DatasetEntry("set", location="x.csv", matrix="genes-by-cells")
    assert open_dataset(named, path, tmp_path / "s").var.index[0] == "a"
    known = open_dataset(ENTRY, path, tmp_path / "s", known_genes={"d", "e", "f"})
    assert known.matrix == "cells-by-genes"


@pytest.mark.parametrize("layout", ["dense", "sparse"])
def test_cell_blast_files_are_read(tmp_path, layout):
    path = write_cellblast(tmp_path / "x.h5", layout=layout)
    source = open_dataset(ENTRY, path, tmp_path)
    assert list(source.obs["cell_ontology_class"]) == ["T cell"] * len(CELLS)
    np.testing.assert_array_equal(dense(source), COUNTS)


@pytest.mark.parametrize("save", ["savez", "scipy"])
def test_chunks_of_the_release_are_read(tmp_path, save):
    path = write_chunk(tmp_path / "cells_merged_8_to_12.npz")
    if save == "scipy":
        sparse.save_npz(path, sparse.csr_array(COUNTS.astype(np.float32)))
    source = open_dataset(ENTRY, path, tmp_path / "scratch")
    assert list(source.obs.index) == ["8", "9", "10", "11"]
    assert list(source.var.index) == list(GENES)
    np.testing.assert_array_equal(dense(source), COUNTS)


def test_a_chunk_without_its_list_of_genes_is_refused(tmp_path):
    path = write_chunk(tmp_path / "cells_merged_0_to_4.npz")
    (tmp_path / "genes.txt").rename(tmp_path / "list.txt")
    with pytest.raises(InputError, match="column genes"):
        open_dataset(ENTRY, path, tmp_path / "scratch")
    named = DatasetEntry("set", location="x", genes="list.txt")
    np.testing.assert_array_equal(dense(open_dataset(named, path, tmp_path / "s")), COUNTS)
    (tmp_path / "list.txt").write_text("A\nB\n")
    with pytest.raises(InputError, match="list of genes 2 genes"):
        open_dataset(named, path, tmp_path / "other")


@pytest.mark.parametrize("ending", ["h5ad", "zarr"])
def test_anndata_stored_by_genes_is_turned_on_disk(tmp_path, ending, caplog):
    adata = anndata.AnnData(sparse.csc_matrix(COUNTS))
    adata.obs_names, adata.var_names = CELLS, GENES
    path = tmp_path / f"x.{ending}"
    with warnings.catch_warnings(), anndata.settings.override(zarr_write_format=3):
        warnings.simplefilter("ignore")  # about defaults of later versions
        getattr(adata, f"write_{ending}")(path)
    with caplog.at_level("INFO", logger="sclong"):
        np.testing.assert_array_equal(dense(open_dataset(ENTRY, path, tmp_path / "s")), COUNTS)
    assert "loading all of it" not in caplog.text
    assert list((tmp_path / "s").glob("*.csr"))


def test_other_formats_are_opened_as_they_are(tmp_path):
    adata = anndata.AnnData(sparse.csr_matrix(COUNTS))
    adata.write_h5ad(tmp_path / "x.h5ad")
    np.testing.assert_array_equal(
        dense(open_dataset(ENTRY, tmp_path / "x.h5ad", tmp_path / "s")), COUNTS
    )
    assert not (tmp_path / "s").exists()
    (tmp_path / "x.sas7bdat").touch()
    with pytest.raises(InputError, match="unknown ending"):
        open_dataset(ENTRY, tmp_path / "x.sas7bdat", tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        open_dataset(ENTRY, tmp_path / "y.h5ad", tmp_path)


def test_a_folder_must_hold_one_data_set(tmp_path):
    write_tenx(tmp_path / "a" / "outs", packed=True, features="features")
    (tmp_path / "a" / "README.md").touch()
    source = open_dataset(ENTRY, tmp_path / "a", tmp_path / "scratch")
    np.testing.assert_array_equal(dense(source), COUNTS)
    write_tenx(tmp_path / "a" / "raw", packed=True, features="features")
    with pytest.raises(InputError, match="one data set, not outs, raw"):
        open_dataset(ENTRY, tmp_path / "a", tmp_path / "scratch")


def test_a_turned_matrix_is_kept_until_its_source_changes(tmp_path, caplog):
    path = write_table(tmp_path / "x.csv", COUNTS, CELLS, GENES)
    scratch = tmp_path / "scratch"

    def opened():
        caplog.clear()
        with caplog.at_level("INFO", logger="sclong"):
            values = dense(open_dataset(ENTRY, path, scratch))
        return values, "turned once" in caplog.text

    assert opened()[1]
    assert not opened()[1]
    path.touch()
    assert not opened()[1]  # another time, the same content
    write_table(path, COUNTS[:, ::-1], CELLS, GENES)
    values, again = opened()
    assert again
    np.testing.assert_array_equal(values, COUNTS[:, ::-1])
    (store,) = scratch.glob("*.csr")
    (store / "data.bin").write_bytes(b"")
    assert opened()[1]  # damaged
    for old, new in ((b'"<f4"', b'"<i4"'), (GENES[0].encode(), GENES[1].encode()), (b"{", b"[")):
        note = (store / "matrix.json").read_bytes()
        assert old in note
        (store / "matrix.json").write_bytes(note.replace(old, new))
        values, again = opened()
        assert again
        np.testing.assert_array_equal(values, COUNTS[:, ::-1])
    assert not [path for path in scratch.iterdir() if "tmp" in path.name]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=arrays.arrays(
        np.float64,
        arrays.array_shapes(min_dims=2, max_dims=2, max_side=7),
        elements=st.sampled_from([0.0, 0.0, 0.0, 1.0, 2.5, 1e6, 0.1]),
    ),
    limit=st.integers(1, 9),
    seed=st.integers(0, 99),
    pieces=st.integers(1, 5),
)
def test_sorting_on_disk_equals_the_dense_array(tmp_path_factory, values, limit, seed, pieces):
    folder = tmp_path_factory.mktemp("csr")
    rows, columns = np.nonzero(values >= 0)
    order = np.random.default_rng(seed).permutation(rows.size)
    writer = CsrWriter(folder, values_at_once=limit)
    for part in np.array_split(order, pieces):
        writer.add(rows[part], columns[part], values[rows[part], columns[part]])
    writer.cells, writer.genes = values.shape
    noted = writer.finish()
    indptr = np.fromfile(folder / "indptr.bin", "<i8")
    found = sparse.csr_array(
        (
            np.fromfile(folder / "data.bin", noted["dtype"]),
            np.fromfile(folder / "indices.bin", "<i4"),
            indptr,
        ),
        shape=values.shape,
    )
    np.testing.assert_array_equal(found.toarray(), values)
    assert found.has_sorted_indices
    assert found.nnz == np.count_nonzero(values)
    assert sorted(path.name for path in folder.iterdir()) == [
        "data.bin",
        "indices.bin",
        "indptr.bin",
    ]


@settings(deadline=None, max_examples=40)
@given(
    values=arrays.arrays(
        np.float64,
        st.tuples(st.integers(1, 6), st.integers(3, 6)),
        elements=st.floats(0, 1e9) | st.sampled_from([0.0, 1.0]),
    ),
    by_genes=st.booleans(),
    packed=st.booleans(),
)
def test_any_table_equals_the_dense_array(tmp_path_factory, values, by_genes, packed):
    folder = tmp_path_factory.mktemp("table")
    cells = [f"cell {number}" for number in range(values.shape[0])]
    genes = list(GENES[: values.shape[1]])
    table, rows, columns = (values.T, genes, cells) if by_genes else (values, cells, genes)
    lines = [",".join(["", *columns])]
    lines += [
        ",".join([name, *map(repr, map(float, row))]) for name, row in zip(rows, table, strict=True)
    ]
    path = folder / ("x.csv.gz" if packed else "x.csv")
    content = ("\n".join(lines) + "\n").encode()
    path.write_bytes(gzip.compress(content) if packed else content)
    entry = DatasetEntry(
        "t", location="x", matrix="genes-by-cells" if by_genes else "cells-by-genes"
    )
    np.testing.assert_array_equal(dense(open_dataset(entry, path, folder / "s")), values)


@settings(deadline=None, max_examples=40)
@given(
    values=arrays.arrays(
        np.float64,
        arrays.array_shapes(min_dims=2, max_dims=2, max_side=6),
        elements=st.floats(0, 1e9) | st.sampled_from([0.0, 0.0, 1.0]),
    ),
    seed=st.integers(0, 99),
)
def test_any_matrix_market_file_equals_the_dense_array(tmp_path_factory, values, seed):
    folder = tmp_path_factory.mktemp("mtx")
    genes, cells = values.shape
    entries = np.argwhere(values)
    np.random.default_rng(seed).shuffle(entries)
    lines = [
        "%%MatrixMarket matrix coordinate real general",
        "% made up",
        f"{genes} {cells} {len(entries)}",
    ]
    lines += [f"{gene + 1} {cell + 1} {float(values[gene, cell])!r}" for gene, cell in entries]
    (folder / "matrix.mtx").write_text("\n".join(lines) + "\n")
    (folder / "barcodes.tsv").write_text("".join(f"c{number}\n" for number in range(cells)))
    (folder / "genes.tsv").write_text("".join(f"g{number}\tG\n" for number in range(genes)))
    np.testing.assert_array_equal(dense(open_dataset(ENTRY, folder, folder / "s")), values.T)


TABLE = ",TP53,RPL3,ACTB\nc1,1,2,3\nc2,4,5,6\n"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("4,5", "4,NA"), r"line 3 \(row 'c2'\), column 'RPL3': 'NA' is not a finite number"),
        (("4,5", "4,nan"), "column 'RPL3': 'nan' is not a finite number"),
        (("4,5", "4,inf"), "column 'RPL3': 'inf'"),
        (("4,5", "4,"), "column 'RPL3': empty is not a finite number"),
        (("4,5", "4,5x"), "column 'RPL3': '5x'"),
        (("4,5", "4,1_000"), "column 'RPL3': '1_000'"),
        (("4,5,6", "4,5"), r"line 3 \(row 'c2'\): 2 values for 3 columns"),
        (("4,5,6", "4,5,6,7"), "4 values for 3 columns"),
        ((",TP53,RPL3,ACTB\n", ",1,2,3\n"), "neither of its axes is clearly named by genes"),
        (
            (",TP53,RPL3,ACTB\n", ",TP53,RPL3,ACTB,B2M,VIM\n"),
            "line 1 has 6 columns and line 2 has 4",
        ),
        ((TABLE, ""), "has no table"),
        ((TABLE, "name\na\nb\n"), "single column"),
    ],
)
def test_a_bad_table_is_refused_by_row_and_column(tmp_path, change, expected):
    path = tmp_path / "x.csv"
    path.write_text(TABLE.replace(*change))
    with pytest.raises(InputError, match=expected) as refused:
        open_dataset(ENTRY, path, tmp_path / "scratch")
    assert str(path) in str(refused.value)
    assert not list((tmp_path / "scratch").glob("*csr*"))


def test_a_table_cut_short_is_refused(tmp_path):
    path = tmp_path / "x.csv.gz"
    path.write_bytes(gzip.compress(TABLE.encode() * 50)[:-20])
    with pytest.raises(InputError, match="cut short"):
        open_dataset(ENTRY, path, tmp_path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-8"):
        open_dataset(ENTRY, path, tmp_path)


def test_repeated_names_are_kept_for_the_mapping_to_judge(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(TABLE.replace("RPL3", "TP53").replace("c2", "c1"))
    named = DatasetEntry("set", location="x", matrix="cells-by-genes")
    source = open_dataset(named, path, tmp_path / "s")
    assert list(source.var.index) == ["TP53", "TP53", "ACTB"]
    assert list(source.obs.index) == ["c1", "c1"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("%%MatrixMarket", "%MatrixMarket", "does not begin like one"),
        ("integer general", "integer symmetric", "integer symmetric"),
        ("integer general", "complex general", "complex"),
        ("6 4 9", "6 4 10", "holds 9 of the 10 values"),
        ("6 4 9", "6 4", "not the size of a matrix"),
        ("6 4 9", "7 4 9", "not one set"),
        ("2 1 3\n", "2 1\n", "line .*is not a row, a column and a value"),
        ("2 1 3\n", "2 1 3 4\n", "line .*is not a row, a column and a value"),
        ("2 1 3\n", "2 1 x\n", "line .*is not a row, a column and a value"),
        ("2 1 3\n", "2 1 nan\n", "line .*not a finite number"),
        ("2 1 3\n", "0 1 3\n", "line .*row outside 1 to 6"),
        ("2 1 3\n", "2 9 3\n", "line .*column outside 1 to 4"),
    ],
)
def test_a_bad_matrix_is_refused_by_its_line(tmp_path, old, new, expected):
    folder = write_tenx(tmp_path / "mtx", packed=False, features="features")
    matrix = folder / "matrix.mtx"
    content = matrix.read_text()
    assert old in content
    matrix.write_text(content.replace(old, new))
    with pytest.raises(InputError, match=expected) as refused:
        open_dataset(ENTRY, folder, tmp_path / "scratch")
    assert "matrix.mtx" in str(refused.value)


def test_incomplete_tenx_folders_are_refused(tmp_path):
    folder = write_tenx(tmp_path / "mtx", packed=True, features="features")
    content = (folder / "matrix.mtx.gz").read_bytes()
    (folder / "matrix.mtx.gz").write_bytes(content[:-12])
    with pytest.raises(InputError, match="cut short"):
        open_dataset(ENTRY, folder, tmp_path / "scratch")
    (folder / "matrix.mtx.gz").write_bytes(content)
    (folder / "barcodes.tsv.gz").unlink()
    with pytest.raises(InputError, match=r"lacks barcodes\.tsv"):
        open_dataset(ENTRY, folder, tmp_path / "scratch")
    write_tenx(folder, packed=False, features="features")
    (folder / "matrix.mtx.gz").unlink()
    (folder / "features.tsv.gz").unlink()
    (folder / "features.tsv").write_text("ENSG1\tA\nENSG2\n")
    with pytest.raises(InputError, match=r"features.tsv, line 2: 1 columns"):
        open_dataset(ENTRY, folder, tmp_path / "scratch")


def test_damaged_cell_blast_files_are_refused(tmp_path):
    path = write_cellblast(tmp_path / "x.h5", layout="sparse")
    with h5py.File(path, "a") as file:
        del file["exprs/shape"]
        file["exprs/shape"] = np.array([9, 9])
    with pytest.raises(InputError, match="its shape is"):
        open_dataset(ENTRY, path, tmp_path)
    with h5py.File(path, "a") as file:
        del file["exprs"]
        file["exprs"] = np.array([["a"]], dtype="S")
    with pytest.raises(InputError, match="must be integers or real"):
        open_dataset(ENTRY, path, tmp_path)
    with pytest.raises(InputError, match="no matrix 'counts'"):
        open_dataset(DatasetEntry("a", location="x", matrix="counts"), path, tmp_path)


def test_damaged_chunks_are_refused_and_nothing_is_unpickled(tmp_path):
    path = tmp_path / "cells_merged_0_to_4.npz"
    scratch = tmp_path / "scratch"
    matrix = sparse.csr_array(COUNTS)
    write_chunk(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="damaged or cut short"):
        open_dataset(ENTRY, path, scratch)
    np.savez(path, data=matrix.data.astype(object), indices=matrix.indices, indptr=matrix.indptr)
    with pytest.raises(InputError, match="object values"):
        open_dataset(ENTRY, path, scratch)
    np.savez(path, data=matrix.data, indices=matrix.indices)
    with pytest.raises(InputError, match="lacks indptr"):
        open_dataset(ENTRY, path, scratch)
    np.savez(path, data=matrix.data[:-1], indices=matrix.indices, indptr=matrix.indptr)
    with pytest.raises(InputError, match="differ in length"):
        open_dataset(ENTRY, path, scratch)
    matrix.data[3] = np.nan
    write_chunk(path, matrix)
    with pytest.raises(InputError, match="cell 1 holds a value that is not a finite"):
        open_dataset(ENTRY, path, scratch)


def test_blocks_are_small_in_every_conversion(tmp_path, monkeypatch):
    """With room for five values, several runs are merged; the cells are the same."""
    for module in (sorting, text, released):
        monkeypatch.setattr(module, "VALUES_AT_ONCE", 5)
    monkeypatch.setattr(CsrWriter.__init__, "__kwdefaults__", {"values_at_once": 5})
    table = write_table(tmp_path / "x.csv", COUNTS.T, GENES, CELLS)
    chunk = write_chunk(tmp_path / "cells_merged_0_to_4.npz")
    folder = write_tenx(tmp_path / "mtx", packed=False, features="features")
    for path in (table, chunk, folder):
        np.testing.assert_array_equal(dense(open_dataset(ENTRY, path, tmp_path / "s")), COUNTS)


@pytest.mark.real_data
@pytest.mark.skipif(REAL is None, reason="the shared data are not beside this checkout")
@pytest.mark.parametrize(
    ("name", "shape", "layout"),
    [
        ("grn/beeline_mDC_500/BL--ExpressionData.csv.gz", (383, 821), "genes-by-cells"),
        ("grn/beeline_GSD/ExpressionData.csv.gz", (2_000, 19), "genes-by-cells"),
        ("grn/beeline_hESC/newExpressionData.csv.gz", (758, 19), "genes-by-cells"),
        ("pancreas/baron_human_samp_19264_fromsaver_demo.csv.gz", (10, 19_264), "cells-by-genes"),
        ("drug_response/dualgcn_ccle_expression_525x697.csv.gz", (525, 697), "cells-by-genes"),
    ],
)
def test_real_tables_are_read(tmp_path, name, shape, layout):
    import pandas as pd  # noqa: PLC0415

    source = open_dataset(ENTRY, REAL / name, tmp_path)
    assert source.matrix == layout
    assert (source.n_cells, source.n_genes) == shape
    table = pd.read_csv(REAL / name, index_col=0, float_precision="round_trip").to_numpy()
    np.testing.assert_array_equal(
        dense(source, 500), table if layout == "cells-by-genes" else table.T
    )


@pytest.mark.real_data
@pytest.mark.skipif(REAL is None, reason="the shared data are not beside this checkout")
def test_a_folder_of_real_files_gives_its_data_sets(caplog):
    with caplog.at_level("INFO", logger="sclong"):
        manifest = Manifest.from_folder(REAL)
    names = {entry.dataset for entry in manifest}
    assert {"pbmc.kang_pbmc_ctrl_stim", "cellxgene.example_valid"} <= names
    assert "grn.beeline_mDC_500.BL--ExpressionData" in names
    assert "left out" in caplog.text
    for entry in manifest:
        assert manifest.local_path(entry).exists()
