"""Cells of other species are refused, whichever column tells their species."""

import anndata
import numpy as np
import pandas as pd
import pytest

from sclong_core.config import InputConfig
from sclong_core.errors import InputError
from sclong_core.expression import prepare_cells
from sclong_core.expression.species import (
    species_of_genes,
    species_of_genome,
    species_of_name,
    species_of_vocabulary,
)
from sclong_core.testing import synthetic_gene_ids
from sclong_core.vocabulary import GeneVocabulary

N = 40
IDS = synthetic_gene_ids(N)
SYMBOLS = [f"ZNF{n}" for n in range(N)]
VOCABULARY = GeneVocabulary.from_ids(IDS, SYMBOLS)


def cells(names, seed=0, rows=10, **columns):
    drawn = np.random.default_rng(seed)
    counts = drawn.poisson(3, (rows, len(names))) + np.eye(rows, len(names))
    adata = anndata.AnnData(counts.astype(np.float32), var=pd.DataFrame(columns, index=names))
    adata.obs_names = [f"c{n}" for n in range(rows)]
    return adata


def prepared(adata, **options):
    return prepare_cells(adata, VOCABULARY, InputConfig(), **options)


@pytest.mark.parametrize(
    ("prefix", "species"),
    [("ENSMMUG", "rhesus macaque"), ("ENSMUSG", "mouse"), ("ENSSSCG", "pig"), ("ENSRNOG", "rat"),
     ("ENSDARG", "zebrafish"), ("ENSABCG", "another species")],
)  # fmt: skip
def test_ids_of_another_species_refuse_symbols_like_human_ones(prefix, species):
    adata = cells(SYMBOLS, gene_ids=[f"{prefix}{n:011d}" for n in range(N)])
    with pytest.raises(InputError, match=rf"not human data: .*{species}.*--allow-other-species"):
        prepared(adata)
    assert prepared(adata, allow_other_species=True).match.matched == N


@pytest.mark.parametrize(
    ("genome", "species"),
    [("Mmul_10", "rhesus macaque"), ("mm10", "mouse"), ("GRCm39", "mouse"), ("Sscrofa11.1", "pig")],
)
def test_the_genome_of_features_tells_their_species(genome, species):
    with pytest.raises(InputError, match=f"not human data: .*{species}"):
        prepared(cells(SYMBOLS, genome=[genome] * N))
    assert prepared(cells(SYMBOLS, genome=["GRCh38"] * N)).match.matched == N


@pytest.mark.parametrize(
    "column", ["feature_reference", "species", "organism", "organism_ontology_term_id"]
)
@pytest.mark.parametrize(
    ("value", "species"),
    [("NCBITaxon:9544", "rhesus macaque"), ("NCBITaxon:10116", "rat"), ("NCBITaxon:9541", "crab"),
     ("NCBITaxon:30608", "mouse lemur"), ("ncbitaxon:7955", "zebrafish"), ("10116", "rat"),
     ("NCBITaxon:10090", "mouse")],
)  # fmt: skip
def test_taxa_are_known_in_var_as_in_obs(column, value, species):
    with pytest.raises(InputError, match=f"not human data: .*{species}"):
        prepared(cells(SYMBOLS, **{column: [value] * N}))
    noted = cells(SYMBOLS)
    noted.obs["organism_ontology_term_id"] = value
    with pytest.raises(InputError, match="not human data: "):
        prepared(noted)
    assert prepared(cells(SYMBOLS, **{column: ["NCBITaxon:9606"] * N})).match.matched == N


def test_taxa_of_no_species_that_is_known_say_nothing():
    for value in ("NCBITaxon:32630", "NCBITaxon:2697049", "NCBITaxon:96061", "38"):
        assert prepared(cells(SYMBOLS, feature_reference=[value] * N)).match.matched == N
    assert species_of_genome("NCBITaxon:9606 and NCBITaxon:10116") == ""


def test_data_that_was_mapped_to_human_ids_is_human():
    adata = cells(IDS, mouse_id=[f"ENSMUSG{n:011d}" for n in range(N)], genome=["mm10"] * N)
    assert prepared(adata).match.matched == N


def test_symbols_in_the_spelling_of_the_mouse_are_those_of_the_mouse():
    mixed = pd.DataFrame(index=[*SYMBOLS, *(f"Znf{n}" for n in range(N))])
    assert species_of_genes(mixed, "human").foreign.sum() == N
    few = pd.DataFrame(index=[*SYMBOLS, "Xist", "C1orf43"])
    assert not species_of_genes(few, "human").foreign.any()
    known = pd.DataFrame(index=["GAPDH", "C1orf112", "ENSG00000000003", "MT-CO1"])
    assert species_of_genes(known, "human").reason is None
    assert species_of_genes(pd.DataFrame(index=["Gapdh", "1700001C02Rik"]), "human").reason
    small = species_of_genes(pd.DataFrame(index=["gapdh", "actb1", "tp53"]), "human")
    assert "small letters" in str(small.reason)


@pytest.mark.parametrize(
    "names",
    [[*IDS, *(f"ENSMUSG{n:011d}" for n in range(N))],
     [*(f"GRCh38_{name}" for name in SYMBOLS), *(f"mm10___Znf{n}" for n in range(N))],
     [*SYMBOLS, *(f"Znf{n}" for n in range(N))]],
    ids=["ids", "prefixes", "symbols"],
)  # fmt: skip
def test_mixtures_are_judged_by_their_counts(names):
    adata = cells(names)
    adata.X[:, N:] = 0
    adata.X[:, N] = 1
    assert prepared(adata).match.matched == N
    adata.X[7, :N] = 0
    adata.X[7, N:] = 5
    with pytest.raises(InputError, match=r"most counts of 1 cells \(the first is 'c7'\)"):
        prepared(adata)
    adata = cells(names)
    adata.X[:, N:] *= 0.0
    adata.X[:, N : N + 20] = 2
    with pytest.raises(InputError, match=r"% of all counts are on genes of mouse"):
        prepared(adata)
    assert prepared(adata, allow_other_species=True).match.matched == N


def test_a_model_of_another_species_takes_its_own():
    mouse = GeneVocabulary.from_ids([f"ENSMUSG{n:011d}" for n in range(1, N + 1)])
    assert species_of_vocabulary(mouse.ids) == "mouse"
    found = prepare_cells(cells(list(mouse.ids)), mouse, InputConfig())
    assert found.match.matched == N


@pytest.mark.parametrize(
    ("name", "species"),
    [("ENSG00000141510.17", "human"), ("ENSGR0000182378", "human"), ("mm10_Actb", "mouse"),
     ("ENSMUSG00000000001", "mouse"), ("FBgn0000008", "fruit fly"), ("TP53", ""), ("ENSA", "")],
)  # fmt: skip
def test_names_tell_their_species(name, species):
    assert species_of_name(name) == species


def test_a_genome_of_several_species_tells_none():
    assert species_of_genome("GRCh38_and_mm10") == ""
    assert species_of_genome("NCBITaxon:9606") == "human"


def test_cells_that_the_model_hardly_knows_are_refused():
    adata = cells([*IDS[:4], *(f"ENSG{n:011d}" for n in range(900, 960))])
    with pytest.raises(InputError, match=r"knows too little of these cells: .*--allow-poor-match"):
        prepared(adata)
    assert prepared(adata, allow_poor_match=True).survey.poor_cells == 10
    adata.X[:7, :4] = 1000
    assert prepared(adata).survey.poor_cells == 3


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("genome", "mm10", True),
        ("feature_reference", "NCBITaxon:10090", True),
        ("genome", "GRCh38", False),
        ("genome", "", False),
    ],
)
def test_a_genome_that_contradicts_the_ids_is_said(caplog, column, value, said):
    var = pd.DataFrame({column: [value] * 9}, index=[f"ENSG{n:011d}" for n in range(1, 10)])
    with caplog.at_level("WARNING", "sclong"):
        found = species_of_genes(var, "human")
    assert set(found.of) == {"human"}
    words = "9 of 9 genes have ids of human, but a column of var gives the genome"
    assert (words in caplog.text) == said
