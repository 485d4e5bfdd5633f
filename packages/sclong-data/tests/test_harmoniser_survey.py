"""What is left out, and why; which matrix is taken; what an unusable one is called."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from sclong_core.errors import InputError
from sclong_core.testing import make_counts_anndata, synthetic_gene_ids
from sclong_data.dataset_manifest import DatasetEntry
from sclong_data.harmoniser import matrices, survey
from sclong_data.harmoniser.rules import HarmoniseRules
from sclong_data.harmoniser.survey import Survey, survey_dataset
from sclong_data.reading import open_dataset
from tests.support.datasets import GENES, SMALL_RULES, made_up_vocabulary


@pytest.fixture
def look(tmp_path):
    def look(adata, rules=SMALL_RULES, **said):
        path = tmp_path / "cells.h5ad"
        adata.write_h5ad(path)
        entry = DatasetEntry("cells", location="cells.h5ad", **said)

        def reopen(matrix):
            named = DatasetEntry("cells", location="cells.h5ad", matrix=matrix)
            return open_dataset(named, path, tmp_path / "scratch")

        with open_dataset(entry, path, tmp_path / "scratch") as source:
            return survey_dataset(
                source, entry, made_up_vocabulary(), None, rules, reopen=reopen
            ).survey

    return look


def cells(count=30, genes=GENES):
    adata = make_counts_anndata(count, genes)
    adata.X = sparse.csr_matrix(adata.X.toarray() + np.eye(count, genes, dtype=np.float32))
    return adata


def logged(adata, target=1e4):
    totals = np.asarray(adata.X.sum(axis=1))
    return sparse.csr_matrix(adata.X.multiply(target / totals)).log1p().astype(np.float32)


def test_raw_counts_are_kept(look):
    found = look(cells())
    assert (found.rejected, found.normalisation, found.matrix) == (None, "raw", "X")
    assert Survey.from_dict(found.to_dict()) == found


def test_log1p_values_are_kept_with_their_sum(look):
    adata = cells()
    adata.X = logged(adata, 2_000)
    found = look(adata)
    assert found.normalisation == "log1p"
    assert found.logged_sum == pytest.approx(2_000, rel=1e-4)
    assert found.common_sum


def scaled(adata):
    adata.X = adata.X.toarray() - 0.5


def unknown(adata):
    generator = np.random.default_rng(0)
    adata.X = sparse.csr_matrix(adata.X.multiply(generator.uniform(0.1, 3, adata.shape)))


def mixed(adata):
    values = adata.X.toarray()
    values[20:] = logged(adata).toarray()[20:]
    adata.X = values


def not_a_number(adata):
    adata.X.data[5] = np.nan


def infinite(adata):
    adata.X.data[5] = np.inf


def enormous(adata):
    adata.X.data[5] = 1e30


def presence(adata):
    adata.X.data[:] = 1


def of_mouse(adata):
    adata.obs["organism_ontology_term_id"] = "NCBITaxon:10090"


def noted_mouse(adata):
    adata.uns["organism_ontology_term_id"] = "NCBITaxon:10090"


def mouse_ids(adata):
    adata.var_names = [name.replace("ENSG", "ENSMUSG") for name in adata.var_names]


def mouse_symbols(adata):
    adata.var_names = [f"Gene{number}" for number in range(adata.n_vars)]


def strange_names(adata):
    adata.var_names = [f"XYZ_{number}" for number in range(adata.n_vars)]


@pytest.mark.parametrize(
    ("spoil", "reason", "said"),
    [
        (scaled, survey.IMPOSSIBLE_VALUES, "negative values"),
        (unknown, survey.UNKNOWN_VALUES, "normalisation"),
        (mixed, survey.MIXED_VALUES, "mixes raw counts in 20 cells"),
        (not_a_number, survey.IMPOSSIBLE_VALUES, "NaN in cell 'cell0', gene 'ENSG0000"),
        (infinite, survey.IMPOSSIBLE_VALUES, "infinite value in cell 'cell0', gene 'ENSG"),
        (enormous, survey.IMPOSSIBLE_VALUES, "too large for a count (1e+30) in cell 'cell0', gene"),
        (presence, survey.UNKNOWN_VALUES, "as presence and absence do"),
        (of_mouse, survey.NOT_THE_ORGANISM, "obs says so"),
        (noted_mouse, survey.NOT_THE_ORGANISM, "NCBITaxon:10090"),
        (mouse_ids, survey.NOT_THE_ORGANISM, "mouse Ensembl ids"),
        (mouse_symbols, survey.NOT_THE_ORGANISM, "mouse symbols"),
        (strange_names, survey.NO_GENE, "XYZ_0"),
    ],
)
def test_a_data_set_is_left_out_with_its_reason(look, spoil, reason, said):
    adata = cells()
    spoil(adata)
    found = look(adata)
    assert found.rejected == reason
    assert said in found.detail


def test_few_genes_leave_a_data_set_out(look):
    found = look(cells(), HarmoniseRules())
    assert found.rejected == survey.FEW_GENES
    assert "60 genes, fewer than 1,000" in found.detail


def test_the_manifest_can_say_the_organism_and_the_normalisation(look):
    assert look(cells(), organism="Mus musculus").rejected == survey.NOT_THE_ORGANISM
    assert look(cells(), organism="Homo sapiens; Mus musculus").rejected is None
    adata = cells()
    unknown(adata)
    forced = look(adata, normalisation="raw")
    assert (forced.rejected, forced.normalisation, forced.forced) == (None, "raw", True)


def test_a_gene_column_that_is_not_there_is_no_rule_but_a_mistake(look):
    with pytest.raises(InputError, match="names the gene column 'ids', but var holds var_names"):
        look(cells(), gene_column="ids")


def test_counts_are_preferred_wherever_they_are(look):
    adata = cells()
    adata.layers["counts"] = adata.X.copy()
    adata.layers["spliced"] = adata.X.copy()
    adata.X = logged(adata)
    assert look(adata).matrix == "layers/counts"
    assert look(adata).chosen
    assert look(adata, matrix="X").normalisation == "log1p"
    del adata.layers["counts"]
    assert look(adata).normalisation == "log1p"  # spliced counts are a part of all


def test_of_two_matrices_of_counts_the_one_with_more_genes_is_taken(look):
    whole = cells()
    few = whole[:, :40].copy()
    few.raw = whole
    assert (look(few).matrix, look(few).genes) == ("raw", 60)
    whole.raw = whole.copy()
    assert look(whole).matrix == "X"


def test_a_damaged_second_matrix_does_not_spoil_the_first(tmp_path, caplog):
    source = open_cells_of(tmp_path)

    def reopen(name):
        raise InputError("raw is damaged")

    with matrices.chosen_matrix(source, reopen) as chosen:
        assert chosen is source
    assert "raw is damaged" in caplog.text


def open_cells_of(tmp_path):
    adata = cells()
    adata.raw = adata.copy()
    adata.write_h5ad(tmp_path / "cells.h5ad")
    entry = DatasetEntry("cells", location="cells.h5ad")
    return open_dataset(entry, tmp_path / "cells.h5ad", tmp_path / "scratch")


def test_sparse_cells_are_read_in_larger_runs_than_dense_ones(tmp_path):
    sizes = {}
    for name, matrix in (("sparse", sparse.csr_matrix((600, 30_000))), ("dense", None)):
        values = np.zeros((600, 30_000), np.float32) if matrix is None else matrix
        adata = AnnData(values, var=pd.DataFrame(index=synthetic_gene_ids(30_000)))
        adata.write_h5ad(tmp_path / f"{name}.h5ad")
        entry = DatasetEntry(name, location=f"{name}.h5ad")
        with open_dataset(entry, tmp_path / f"{name}.h5ad", tmp_path / "scratch") as source:
            starts = [start for start, _ in survey.blocks(source, 0, 600)]
        sizes[name] = len(starts)
    assert sizes["sparse"] < sizes["dense"]
