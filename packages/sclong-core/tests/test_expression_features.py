"""Genes are told from other features in every spelling of their types, and by their names."""

import anndata
import numpy as np
import pandas as pd
import pytest

from sclong_core.config import InputConfig
from sclong_core.errors import InputError
from sclong_core.expression import open_cells, prepare_cells, source_from_anndata
from sclong_core.expression.features import find_features
from sclong_core.testing import synthetic_gene_ids
from sclong_core.vocabulary import GeneVocabulary

pytestmark = pytest.mark.filterwarnings("ignore:Writing zarr v2 data:UserWarning")
GENES = ["ACTB", "GAPDH", "CD3E", "CD4", "TP53", "BRCA1"]
IDS = synthetic_gene_ids(len(GENES))
TAGS = ["AB1", "AB2"]


def var(kinds, column="feature_types", names=(*GENES, *TAGS)):
    return pd.DataFrame({column: pd.Categorical(kinds)}, index=list(names))


def kept(table, types=None):
    return table.index[find_features(table, types).kept].to_list()


@pytest.mark.parametrize(
    "column",
    ["feature_types", "feature_type", "Feature_Types", "modality", "rna:feature_types",
     "feature_types-0", "feature_types-Harvard-Nuclei", "feature_biotype"],
)  # fmt: skip
@pytest.mark.parametrize(
    ("genes", "others"),
    [("Gene Expression", "Antibody Capture"), ("GEX", "ATAC"), ("GEX", "ADT"), ("rna", "prot"),
     ("RNA", "Peaks"), ("gene", "spike-in"), ("gene-expression", "chromatin_accessibility"),
     ("Gene Expression", "CRISPR Guide Capture"), ("mRNA", "HTO"), ("Gene Expression", "Custom"),
     ("gene expression", "Multiplexing Capture"), ("Gene Expression", "VDJ-T")],
)  # fmt: skip
def test_types_are_known_in_every_spelling(column, genes, others):
    assert kept(var([genes] * 6 + [others] * 2, column)) == GENES


@pytest.mark.parametrize("kind", ["protein_coding", "lincRNA", "pseudogene"])
def test_biotypes_of_genes_are_all_genes_but_spike_ins(kind):
    assert kept(var([kind] * 6 + ["spike_in"] * 2, "gene_type")) == GENES
    assert kept(var([kind] * 6 + ["snoRNA"] * 2, "biotype")) == GENES + TAGS


def test_a_type_that_is_not_known_lists_the_types_and_how_to_choose():
    table = var(["Gene Expression"] * 5 + ["Spatial", "Odd things", "Odd things"])
    with pytest.raises(InputError, match=r"'Odd things', 'Spatial'.*'Gene Expression'.*--feature-"):
        find_features(table)
    assert kept(table, ["gene expression", "spatial"]) == GENES
    assert kept(var(["what it is"] * 8)) == GENES + TAGS


def test_features_of_which_none_is_a_gene_are_refused_by_their_type():
    with pytest.raises(
        InputError, match=r"none of the 8 features is a gene: according to feature_types .*8 Peaks"
    ):
        find_features(var(["Peaks"] * 8))


@pytest.mark.parametrize("missing", [None, np.nan, "nan", ""])
def test_features_without_a_type_are_judged_by_their_ids(missing):
    names = [*GENES, "CD45RA_probe", "chr1:100-900", "RP11-34P13.3", "SEPT9"]
    kinds = ["Gene Expression"] * 5 + [missing] * 5
    table = pd.DataFrame({"feature_types": kinds}, index=names)
    assert kept(table) == [*GENES, "RP11-34P13.3", "SEPT9"]
    table["gene_ids"] = [*IDS, np.nan, np.nan, "ENSG00000099999", "ENSG00000099998"]
    assert kept(table) == [*GENES, "RP11-34P13.3", "SEPT9"]


def test_categories_that_no_feature_has_do_not_count():
    table = var(["Gene Expression"] * 6 + ["Peaks"] * 2)
    table["feature_types"] = table["feature_types"].cat.add_categories(["Odd things"])
    assert kept(table) == GENES


@pytest.mark.parametrize(
    "name",
    ["ERCC-00002", "ERCC.00130", "gSpikein_ERCC-00002", "SIRV101", "gSpikein_phiX174",
     "__no_feature", "N_unmapped", "chr1:10-900", "chrX-10-900", "GRCh38_chr2:1-5",
     "CD3_TotalSeqB", "CD4-TotalA", "Hashtag-3", "HTO_1"],
)  # fmt: skip
def test_names_that_are_no_genes_are_left_out_without_any_type(name):
    assert kept(pd.DataFrame(index=[*GENES, name])) == GENES


@pytest.mark.parametrize(
    "name", ["ERCC1", "ERCC-like", "CHRM1", "ADTRP", "HTOM34P", "NCR3", "prot-1", "C1orf43"]
)
def test_names_of_genes_stay(name):
    assert kept(pd.DataFrame(index=[*GENES, name])) == [*GENES, name] or name == "prot-1"


def test_spike_ins_are_left_out_even_where_they_are_typed_as_genes():
    names = [*GENES, "ERCC-00002", "ERCC-00003"]
    assert kept(var(["Gene Expression"] * 8, names=names)) == GENES


@pytest.fixture
def both():
    drawn = np.random.default_rng(0)
    rna = drawn.poisson(3, (12, 40)).astype(np.float32) + np.eye(12, 40, dtype=np.float32)
    adata = anndata.AnnData(np.hstack([rna, drawn.poisson(50, (12, 7))]).astype(np.float32))
    adata.var_names = [*synthetic_gene_ids(40), *(f"tag{n}" for n in range(7))]
    adata.var["feature_types"] = pd.Categorical(["GEX"] * 40 + ["ADT"] * 7)
    adata.obs_names = [f"c{n}" for n in range(12)]
    return adata


def test_what_is_no_gene_is_in_no_total_from_memory_and_from_files(both, tmp_path, caplog):
    vocabulary = GeneVocabulary.from_ids(synthetic_gene_ids(40))
    both.write_h5ad(tmp_path / "both.h5ad")
    both.write_zarr(tmp_path / "both.zarr")
    clean = prepare_cells(both[:, :40].copy(), vocabulary, InputConfig()).block(0, 12)
    for cells in (both, tmp_path / "both.h5ad", tmp_path / "both.zarr"):
        with (
            caplog.at_level("INFO", "sclong"),
            prepare_cells(cells, vocabulary, InputConfig()) as one,
        ):
            np.testing.assert_array_equal(one.block(0, 12), clean)
        assert "skipped features that are not genes: 7 ADT" in caplog.text
        caplog.clear()


def test_types_can_be_chosen_where_cells_are_opened(both, tmp_path):
    both.var["feature_types"] = ["mine"] * 40 + ["theirs"] * 7
    both.write_h5ad(tmp_path / "both.h5ad")
    with pytest.raises(
        InputError, match=r"feature_types .*unknown feature types: 'mine', 'theirs'"
    ):
        open_cells(tmp_path / "both.h5ad")
    with open_cells(tmp_path / "both.h5ad", feature_types=["mine"]) as source:
        assert source.n_genes == 40
    assert source_from_anndata(both, feature_types=["mine"]).n_genes == 40


@pytest.mark.parametrize(
    "name",
    [
        "ERCC-00002", "ERCC_00002", "ERCC00002", "ercc.00002", "GRCh38_ERCC-00002", "SIRV1",
        "SIRV_101", "SIRV-501", "spikein-ERCC-00002", "gSpikein_ERCC-00002", "RNA_SPIKE_1",
        "RNA-Spike-7",
    ],
)  # fmt: skip
def test_spike_ins_are_known_by_every_spelling_of_their_names(name):
    found = find_features(pd.DataFrame(index=["CD4", name, "ERCC1", "ERCC6L2", "ERCC8"]))
    assert found.others == ("", "spike-ins", "", "", "")
