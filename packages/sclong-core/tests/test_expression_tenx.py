"""10x Genomics files of both layouts."""

import h5py
import numpy as np
import pytest

from sclong_core.errors import InputError
from sclong_core.expression import open_cells
from sclong_core.expression.rows import canonical
from sclong_core.testing import make_counts_anndata

CELLS, GENES = 9, 6


def write_matrix(group, counts):
    for key in ("data", "indices", "indptr"):
        group[key] = getattr(counts, key)
    group["shape"] = [counts.shape[1], counts.shape[0]]
    group["barcodes"] = np.array([f"cell{n}-1" for n in range(counts.shape[0])], dtype="S")


@pytest.fixture
def counts():
    return make_counts_anndata(CELLS, GENES).X


@pytest.fixture
def version_3(tmp_path, counts):
    with h5py.File(tmp_path / "cells.h5", "w") as file:
        group = file.create_group("matrix")
        write_matrix(group, counts)
        kinds = ["Gene Expression"] * 4 + ["Antibody Capture"] * 2
        columns = {"feature_type": kinds, "genome": ["GRCh38"] * 4 + [""] * 2}
        columns["id"] = [f"ENSG{n}" for n in range(GENES)]
        columns["name"] = ["TP53", "CD3D", "CD3D", "MT-CO1", "CD3", "CD4"]
        for key, values in columns.items():
            group[f"features/{key}"] = np.array(values, dtype="S")
        group["features/_all_tag_keys"] = np.array(["genome"], dtype="S")
    return tmp_path / "cells.h5"


@pytest.fixture
def older(tmp_path, counts):
    def write(*genomes):
        with h5py.File(tmp_path / "older.h5", "w") as file:
            for genome in genomes:
                group = file.create_group(genome)
                write_matrix(group, counts)
                group["genes"] = np.array([f"ENSG{n}" for n in range(GENES)], dtype="S")
                group["gene_names"] = np.array([f"G{n}" for n in range(GENES)], dtype="S")
        return tmp_path / "older.h5"

    return write


def test_gene_expression_alone_is_kept_of_several_kinds_of_features(version_3, counts, caplog):
    caplog.set_level("INFO", "sclong")
    with open_cells(version_3) as source:
        assert source.var["gene_ids"].to_list() == ["ENSG0", "ENSG1", "ENSG2", "ENSG3"]
        assert source.var.index.to_list() == ["TP53", "CD3D", "CD3D", "MT-CO1"]
        assert source.obs.index[0] == "cell0-1"
        rows = canonical(source.read_rows(2, CELLS)).toarray()
    np.testing.assert_array_equal(rows, counts.toarray()[2:, :4])
    assert "2 Antibody Capture" in caplog.text


def test_the_layout_before_version_3_is_read(older, counts):
    with open_cells(older("hg19")) as source:
        assert source.matrix == "hg19"
        assert source.var["gene_ids"].to_list()[:2] == ["ENSG0", "ENSG1"]
        assert source.var.index.to_list()[:2] == ["G0", "G1"]
        np.testing.assert_array_equal(
            canonical(source.read_rows(0, CELLS)).toarray(), counts.toarray()
        )


def test_one_of_several_genomes_is_asked_for(older):
    path = older("hg19", "mm10")
    with pytest.raises(InputError, match=r"several genomes \(hg19, mm10\)"):
        open_cells(path)
    assert open_cells(path, matrix="hg19").matrix == "hg19"
    with pytest.raises(InputError, match="no matrix 'hg38': it holds hg19, mm10"):
        open_cells(path, matrix="hg38")


def test_a_matrix_that_does_not_fit_its_names_is_refused(version_3):
    with h5py.File(version_3, "r+") as file:
        file["matrix/shape"][:] = [GENES + 1, CELLS]
    with pytest.raises(InputError, match=r"its shape is 7 x 9, its names 6 x 9"):
        open_cells(version_3)


def test_a_file_that_lacks_its_features_is_refused(version_3):
    with h5py.File(version_3, "r+") as file:
        del file["matrix/features"]
    with pytest.raises(InputError, match=r"cells\.h5: matrix cannot be read"):
        open_cells(version_3)
