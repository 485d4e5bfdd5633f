"""Real data sets: what is kept of them, and that values are those of scanpy."""

import numpy as np
import pytest
import scanpy as sc
from anndata import read_h5ad
from scipy import sparse

from sclong_core.vocabulary import GeneVocabulary
from sclong_data.corpus.shards import read_element
from sclong_data.dataset_manifest import DatasetEntry, Manifest
from sclong_data.genes.table import GeneTable
from sclong_data.harmoniser.run import harmonise
from tests.support.places import shared_folder

pytestmark = pytest.mark.real_data
FILES = {
    "invalid": "cellxgene/example_invalid_CL.h5ad",
    "kang": "pbmc/kang_pbmc_ctrl_stim.h5ad",
    "logged": "pbmc/symphony_pbmcs_small.h5ad",
    "mixology": "batch_integration/sc_mixology_celllines.h5ad",
    "pbmc10k": "pbmc/pbmc_10k_protein_v3.h5ad",
    "pbmc68k": "pbmc/pbmc68k_reduced.h5ad",
    "scimilarity": "cellxgene/scimilarity_test.h5ad",
}


@pytest.fixture(scope="module")
def data():
    folder = shared_folder("data")
    if folder is None:
        pytest.skip("no real data beside this checkout")
    for name in FILES.values():
        if not (folder / name).is_file():
            pytest.skip(f"{name} is not among the shared files beside this checkout")
    return folder


@pytest.fixture(scope="module")
def table(data):
    genes = data / "genes"
    return GeneTable.read(
        genes / "hgnc_complete_set.txt.gz", genes / "gencode_v44_gene_id2name.csv.gz"
    )


@pytest.fixture(scope="module")
def vocabulary(table):
    genes = sorted(table.genes.values(), key=lambda gene: gene.id)
    return GeneVocabulary(tuple(gene.id for gene in genes), tuple(gene.symbol for gene in genes))


def made(data, table, vocabulary, corpus, **rules):
    entries = (DatasetEntry(name, location=location) for name, location in FILES.items())
    return harmonise(
        Manifest(tuple(entries), data), corpus, vocabulary=vocabulary, gene_table=table, rules=rules
    )


@pytest.fixture(scope="module")
def papers(data, table, vocabulary, tmp_path_factory):
    """The corpus by the paper's rules."""
    return made(data, table, vocabulary, tmp_path_factory.mktemp("papers") / "corpus")


@pytest.fixture(scope="module")
def logarithms(data, table, vocabulary, tmp_path_factory):
    """The corpus by the paper's rules, before the maximum."""
    folder = tmp_path_factory.mktemp("logarithms") / "corpus"
    return made(data, table, vocabulary, folder, maximum=None)


def rows_of(result):
    return {row["dataset"]: row for row in result.rows}


def shard(result, dataset):
    path = result.corpus / "shards" / f"{dataset}.00000.zarr.zip"
    return sparse.csr_array(read_element(path, "X")), read_element(path, "obs")


def test_each_data_set_ends_as_it_should(papers):
    rows = rows_of(papers)
    statuses = {name: (row["status"], row["normalisation"]) for name, row in rows.items()}
    assert statuses == {
        "invalid": ("rejected", None),  # 136 genes
        "kang": ("kept", "raw"),
        "logged": ("kept", "log1p"),
        "mixology": ("kept", "raw"),
        "pbmc10k": ("kept", "raw"),
        "pbmc68k": ("rejected", None),  # 765 genes
        "scimilarity": ("kept", "raw"),
    }
    assert rows["scimilarity"]["matrix"] == "layers/counts"
    for row in papers.rows:
        cells = row["cells"]
        out = sum(cells["out"].values()) + cells["kept"] + cells.get("duplicates", 0)
        assert out == cells["in"]


def test_the_invalid_file_passes_where_the_rules_let_few_genes_pass(
    data, table, vocabulary, tmp_path
):
    entry = DatasetEntry("invalid", location=FILES["invalid"])
    result = harmonise(
        Manifest((entry,), data),
        tmp_path / "corpus",
        vocabulary=vocabulary,
        gene_table=table,
        rules={"min_genes_per_dataset": 100, "min_genes_per_cell": 5},
    )
    row = result.rows[0]
    assert row["status"] == "kept"
    assert row["genes"]["matched"] + row["genes"]["lost"] == row["genes"]["in"] == 135
    assert row["cells"]["in"] == 320


@pytest.mark.parametrize("dataset", ["kang", "pbmc10k", "mixology"])
def test_values_before_the_maximum_are_those_of_scanpy(data, table, logarithms, dataset):
    adata = read_h5ad(data / FILES[dataset])
    expression, obs = shard(logarithms, dataset)
    spike_in = adata.var_names.str.startswith("ERCC-")  # no genes: in no total
    adata = adata[obs["row"].to_numpy(), ~spike_in].copy()
    adata.X = adata.X.astype(np.float64)
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    expected = sparse.csr_array(adata.X).astype(np.float64)
    resolved = table.resolve(list(adata.var_names)).ids
    var = read_element(
        logarithms.corpus / "shards" / f"{dataset}.00000.zarr.zip", "var"
    ).index.tolist()
    place = {gene: number for number, gene in enumerate(var)}
    alone = [
        (column, place[gene])
        for column, gene in enumerate(resolved)
        if gene is not None and gene in place and resolved.count(gene) == 1
    ]
    columns, positions = zip(*alone, strict=True)
    assert len(columns) > 8_000
    difference = expected[:, list(columns)] - expression[:, list(positions)].astype(np.float64)
    assert abs(difference).max() < 1e-6


def test_each_cell_reaches_the_maximum(papers):
    for dataset in ("kang", "logged", "mixology"):
        expression, _ = shard(papers, dataset)
        np.testing.assert_array_equal(expression.max(axis=1).toarray().ravel(), 10)


def test_genes_are_found_by_every_name_they_go_by(papers):
    rows = rows_of(papers)
    assert rows["mixology"]["genes"]["by"]["retired"] > 0
    assert rows["kang"]["genes"]["by"]["previous"] > 100
    assert rows["kang"]["genes"]["matched"] > 0.95 * rows["kang"]["genes"]["in"]
