"""What a folder of Cell Ranger's outputs gives: the cells of each sample once."""

import gzip

import h5py
import numpy as np
import pytest
from scipy import sparse

from sclong_core.errors import InputError
from sclong_data.sources.local import find_datasets

GENES = 30


def h5(path, cells=3):
    path.parent.mkdir(parents=True, exist_ok=True)
    counts = sparse.csr_matrix(np.ones((cells, GENES)))
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        for name in ("data", "indices", "indptr"):
            group[name] = getattr(counts, name)
        group["shape"] = (GENES, cells)
        group["barcodes"] = np.array([b"A"] * cells)
    return path


def folder(path):
    path.mkdir(parents=True)
    for name in ("matrix.mtx.gz", "features.tsv.gz", "barcodes.tsv.gz"):
        (path / name).write_bytes(gzip.compress(b""))
    return path


def text(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def listed(root):
    return sorted(entry.location for entry in find_datasets(root))


def write_outs(outs):
    h5(outs / "filtered_feature_bc_matrix.h5")
    h5(outs / "raw_feature_bc_matrix.h5")
    folder(outs / "filtered_feature_bc_matrix")
    folder(outs / "raw_feature_bc_matrix")
    with h5py.File(outs / "molecule_info.h5", "w") as file:
        file["barcode_idx"] = np.arange(5)
    h5(outs / "analysis" / "analysis.h5")
    genes = [f"ENSG{number:011d}" for number in range(GENES)]
    text(outs / "analysis" / "pca" / "components.csv", f"PC,{','.join(genes)}\n1{',0.5' * GENES}\n")
    dispersion = "".join(f"{gene},0.5\n" for gene in genes)
    text(outs / "analysis" / "pca" / "dispersion.csv", f"Feature,Dispersion\n{dispersion}")
    text(outs / "metrics_summary.csv", 'Cells,Reads\n"1,222","50,123"\n')
    text(outs / "web_summary.html", "<html></html>")


def test_each_sample_counts_once_and_what_is_left_out_is_said(tmp_path, caplog):
    for sample in ("one", "two"):
        write_outs(tmp_path / sample / "outs")
    with caplog.at_level("INFO"):
        found = find_datasets(tmp_path)
    assert [entry.location for entry in found] == [
        f"{sample}/outs/filtered_feature_bc_matrix.h5" for sample in ("one", "two")
    ]
    assert len({entry.dataset for entry in found}) == 2
    for name in (
        *("raw_feature_bc_matrix.h5", "raw_feature_bc_matrix", "filtered_feature_bc_matrix"),
        *("molecule_info.h5", "analysis/analysis.h5", "components.csv", "dispersion.csv"),
    ):
        for sample in ("one", "two"):
            assert any(f"{sample}/outs" in line and name in line for line in caplog.messages)


def test_the_folder_of_one_sample_may_be_given_itself(tmp_path):
    write_outs(tmp_path / "outs")
    assert listed(tmp_path / "outs") == ["filtered_feature_bc_matrix.h5"]


def test_all_barcodes_are_taken_where_nothing_else_is(tmp_path):
    h5(tmp_path / "a" / "raw_feature_bc_matrix.h5")
    folder(tmp_path / "b" / "raw_feature_bc_matrix")
    assert listed(tmp_path) == ["a/raw_feature_bc_matrix.h5", "b/raw_feature_bc_matrix"]


def test_older_folders_hold_a_matrix_for_each_genome(tmp_path):
    for kind in ("raw", "filtered"):
        for genome in ("GRCh38", "mm10"):
            folder(tmp_path / f"{kind}_gene_bc_matrices" / genome)
    assert listed(tmp_path) == [
        "filtered_gene_bc_matrices/GRCh38",
        "filtered_gene_bc_matrices/mm10",
    ]
    h5(tmp_path / "filtered_gene_bc_matrices_h5.h5")
    assert listed(tmp_path) == ["filtered_gene_bc_matrices_h5.h5"]


def test_prefixes_tell_samples_in_one_folder_apart(tmp_path):
    for sample in ("GSM1_S1", "GSM2_S2"):
        for kind in ("raw", "filtered"):
            h5(tmp_path / f"{sample}_{kind}_feature_bc_matrix.h5")
    h5(tmp_path / "GSM3_raw_feature_bc_matrix.h5")
    assert listed(tmp_path) == [
        "GSM1_S1_filtered_feature_bc_matrix.h5",
        "GSM2_S2_filtered_feature_bc_matrix.h5",
        "GSM3_raw_feature_bc_matrix.h5",
    ]


def test_samples_that_were_run_together_are_taken_one_by_one(tmp_path):
    outs = tmp_path / "run" / "outs"
    h5(outs / "multi" / "count" / "raw_feature_bc_matrix.h5")
    folder(outs / "multi" / "count" / "raw_feature_bc_matrix")
    for sample in "ab":
        place = outs / "per_sample_outs" / sample / "count"
        h5(place / "sample_filtered_feature_bc_matrix.h5")
        h5(place / "sample_raw_feature_bc_matrix.h5")
        h5(place / "analysis" / "clustering.h5")
    assert listed(tmp_path) == [
        f"run/outs/per_sample_outs/{sample}/count/sample_filtered_feature_bc_matrix.h5"
        for sample in "ab"
    ]


def test_starsolo_writes_all_barcodes_beside_the_cells(tmp_path):
    for sample in "ab":
        for kind in ("raw", "filtered"):
            folder(tmp_path / f"{sample}Solo.out" / "Gene" / kind)
    assert listed(tmp_path) == [f"{sample}Solo.out/Gene/filtered" for sample in "ab"]


def test_a_damaged_file_is_listed_so_that_it_is_missed(tmp_path):
    (tmp_path / "cells.h5").write_bytes(b"no HDF5")
    assert listed(tmp_path) == ["cells.h5"]
    with h5py.File(tmp_path / "linked.h5", "w") as file:
        file["matrix"] = h5py.ExternalLink("elsewhere.h5", "matrix")
    assert listed(tmp_path) == ["cells.h5", "linked.h5"]  # harmonising says what it leads to


def test_names_that_a_manifest_cannot_hold_are_left_out_with_a_word(tmp_path, caplog):
    names = ["a#1", "b c", "zürich", "x;y", "=cmd", "100%", " first", "e\u0301", "q'uote", "[1]"]
    for name in (*names, "tab\there", "line\nbreak", "no\u00a0break"):
        h5(tmp_path / f"{name}.h5")
    bad = tmp_path / "caf\udce9.h5"
    h5(tmp_path / "tmp.h5").rename(bad)
    folder(tmp_path / "with a gap ")
    found = find_datasets(tmp_path)
    assert {(tmp_path / entry.location).resolve().name for entry in found} == {
        *(f"{name}.h5" for name in names),
        "with a gap ",
    }
    assert len({entry.dataset.lower() for entry in found}) == len(names) + 1
    said = "\n".join(caplog.messages)
    for name in (r"tab\there", r"line\nbreak", r"no\xa0break", r"caf\xe9"):
        assert name in said


def test_a_folder_without_cells_is_refused(tmp_path):
    with h5py.File(tmp_path / "molecule_info.h5", "w") as file:
        file["count"] = np.arange(3)
    with pytest.raises(InputError, match="no data set"):
        find_datasets(tmp_path)
