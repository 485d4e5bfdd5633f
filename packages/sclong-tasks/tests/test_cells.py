"""h5ad files that are damaged, or say that they hold more than they do."""

import anndata
import h5py
import numpy as np
import pytest
from scipy import sparse

from sclong_core.errors import InputError
from sclong_tasks.cells import genes_only, other_matrices, read_h5ad, scale_of


@pytest.fixture
def path(tmp_path):
    cells = anndata.AnnData(sparse.csr_matrix(np.eye(4, dtype="f4")))
    cells.write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path / "cells.h5ad"


def out_of_place(file):
    file["X/indices"][0] = 10**6


def enormous(file):
    del file["X/data"]
    file["X"].create_dataset("data", shape=(2**40,), dtype="f4", chunks=(1024,))


def elsewhere(file):
    del file["X"]
    file["X"] = h5py.ExternalLink("other.h5", "X")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (out_of_place, r"not a readable h5ad file: \S"),
        (enormous, "should have .* damaged"),
        (elsewhere, r"X is a link to other\.h5"),
    ],
)
def test_matrices_that_lie_are_refused(path, change, said):
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(InputError, match=said):
        read_h5ad(path)


def test_a_link_within_the_file_is_followed(path):
    with h5py.File(path, "r+") as file:
        file.move("X", "uns/matrix")
        file["X"] = h5py.SoftLink("/uns/matrix")
    assert read_h5ad(path).X.sum() == 4


def test_a_damaged_table_of_symbols_is_one_line(path):
    content = path.read_bytes()
    path.write_bytes(content.replace(b"SNOD", b"SNOX"))
    with pytest.raises(InputError, match="read"):
        read_h5ad(path)


def test_values_may_be_beside_an_empty_matrix(tmp_path):
    path = tmp_path / "r.h5ad"
    anndata.AnnData(shape=(3, 0), obsm={"r": np.ones((3, 2))}).write_h5ad(path)
    assert read_h5ad(path, needs_genes=False).obsm["r"].shape == (3, 2)
    with pytest.raises(InputError, match="0 genes"):
        read_h5ad(path)


COUNTS = np.random.default_rng(0).poisson(
    np.random.default_rng(1).gamma(0.6, size=120) * 4 + 0.3, size=(60, 120)
)
SHARES = COUNTS / COUNTS.sum(1, keepdims=True)
LOGGED = np.log1p(SHARES * 1e4)
CENTRED = (LOGGED - LOGGED.mean(0)) / (LOGGED.std(0) + 1e-9)


@pytest.mark.parametrize("logged", [False, True])
@pytest.mark.parametrize(
    ("values", "said"),
    [
        (SHARES * 1e6, "without the logarithm"),
        (np.maximum(COUNTS - np.random.default_rng(2).uniform(0, 0.4, COUNTS.shape), 0), "neither"),
        (np.sqrt(SHARES * 1e4), "square roots"),
        (SHARES * np.log1p(60 / (1 + (COUNTS > 0).sum(0))), "TF-IDF"),
        (CENTRED, "centred gene by gene"),
        (np.rint(np.log1p(SHARES * 1e4)), "rounded logarithms"),
    ],
    ids=["CPM", "fractional counts", "square roots", "TF-IDF", "scaled", "rounded"],
)
def test_other_scales_are_refused_and_a_layer_is_named(values, said, logged):
    values = values.astype(np.float32)
    with pytest.raises(InputError, match=rf"cells.h5ad: X .*{said}.*task.layer=counts"):
        scale_of(
            values,
            "auto",
            as_stored=False,
            logged=logged,
            what="cells.h5ad: X",
            layers={"counts": COUNTS, "scaled": values},
        )
    assert scale_of(values, "counts", as_stored=False) == "counts"


def test_raw_is_named_where_it_holds_what_is_needed():
    adata = anndata.AnnData(COUNTS.astype("f4"))
    adata.raw = adata.copy()
    adata.X = CENTRED.astype("f4")
    with pytest.raises(InputError, match=r"centred.*raw holds counts, make it X \(adata.raw.to"):
        scale_of(adata.X, "auto", as_stored=False, layers=other_matrices(adata))
    adata.layers["logged"] = LOGGED
    assert list(other_matrices(adata, "logged")) == [".raw"]


def test_counts_and_log1p_are_recognised():
    assert scale_of(COUNTS.astype("f4"), "auto", as_stored=False) == "counts"
    logged = np.log1p(SHARES * 1e4).astype("f4")
    assert scale_of(logged, "auto", as_stored=False) == "log1p"


def test_features_that_are_no_genes_are_left_out(tmp_path):
    cells = anndata.AnnData(np.ones((3, 4), dtype="f4"))
    cells.var_names = ["ACTB", "CD4", "ERCC-00002", "chr1:1-500"]
    assert genes_only(cells, tmp_path).var_names.to_list() == ["ACTB", "CD4"]
    cells.var["feature_types"] = ["GEX", "ADT", "GEX", "GEX"]
    assert genes_only(cells, tmp_path).var_names.to_list() == ["ACTB", "chr1:1-500"]
    cells.var["feature_types"] = ["GEX", "odd", "GEX", "GEX"]
    for kinds in (["GEX", "odd", "GEX", "GEX"], ["ADT"] * 4):
        cells.var["feature_types"] = kinds
        with pytest.raises(InputError, match=r"feature_types.*rename .* to 'Gene Expr") as error:
            genes_only(cells, tmp_path)
        assert "--feature-types" not in str(error.value)


def test_cells_of_another_species_are_warned_of(tmp_path, caplog):
    cells = anndata.AnnData(np.ones((3, 2), dtype="f4"))
    cells.var_names = ["ACTB", "CD4"]
    genes_only(cells, tmp_path)
    assert "not human data" not in caplog.text
    cells.obs["species"] = ["mouse", "human", "mouse"]
    genes_only(cells, tmp_path)
    assert "species in obs is 'mouse' for 2 of 3 cells" in caplog.text
    cells.obs = cells.obs[[]]
    cells.uns["organism"] = "Mus musculus"
    cells.var_names = ["Actb", "Cd4"]
    genes_only(cells, tmp_path)
    assert "uns says that its cells are of 'Mus musculus'" in caplog.text
    assert "2 of its 2 genes are those of mouse" in caplog.text


def test_cells_of_two_species_are_warned_of_by_their_counts(tmp_path, caplog):
    counts = np.ones((4, 6), dtype="f4")
    counts[:2, 3:], counts[2:, :3] = 0, 0
    cells = anndata.AnnData(counts)
    cells.var_names = [f"GRCh38_G{n}" for n in range(3)] + [f"mm10___G{n}" for n in range(3)]
    cells.obs_names = list("abcd")
    genes_only(cells, tmp_path)
    assert "most counts of 2 cells (the first is 'c')" in caplog.text
