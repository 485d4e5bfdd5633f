"""What obs and uns say of the species is evidence like the genes."""

import warnings

import anndata
import numpy as np
import pandas as pd
import pytest
import zarr

from sclong_core.config import InputConfig
from sclong_core.errors import InputError
from sclong_core.expression import open_cells, prepare_cells, source_from_anndata
from sclong_core.expression.species import (
    cells_of_organism,
    declared_organisms,
    is_organism,
    named_species,
    note_in_memory,
)
from sclong_core.testing import make_counts_anndata, synthetic_gene_ids
from sclong_core.vocabulary import GeneVocabulary

HUMAN = "NCBITaxon:9606"
CELLS, GENES = 20, 40
VOCABULARY = GeneVocabulary.from_ids(synthetic_gene_ids(GENES))
MOUSE = [
    "Mus musculus",
    "mouse",
    "Mouse",
    "NCBITaxon:10090",
    "10090",
    "mus_musculus",
    "M. musculus",
]
PEOPLE = ["Homo sapiens", "human", "NCBITaxon:9606", " HUMAN ", "9606", "homo_sapiens", "Hs"]


def prepared(cells, **options):
    return prepare_cells(cells, VOCABULARY, InputConfig(), **options)


def cells(**obs):
    adata = make_counts_anndata(CELLS, GENES)
    for name, value in obs.items():
        adata.obs[name] = value
    return adata


def written(adata, path, version=2):
    with (
        warnings.catch_warnings(),
        anndata.settings.override(zarr_write_format=version, auto_shard_zarr_v3=False),
    ):
        warnings.simplefilter("ignore")
        adata.write_zarr(path)


@pytest.mark.parametrize("name", PEOPLE)
def test_names_of_a_species_are_known(name):
    assert is_organism(name, HUMAN)
    assert is_organism(name, "human")
    assert named_species(name) == "human"


@pytest.mark.parametrize("name", [*MOUSE, "Danio rerio", "Gorilla gorilla", "NCBITaxon:9593"])
def test_names_of_other_species_are_not_human(name):
    assert not is_organism(name, HUMAN)


def test_species_without_a_plain_name_are_compared_as_written():
    assert is_organism("NCBITaxon:9593", "ncbitaxon:9593")
    assert named_species("rhesus macaque") == named_species("NCBITaxon:9544") == "rhesus macaque"
    assert named_species("sample 3") == ""


def test_several_species_are_taken_apart():
    assert declared_organisms("Homo sapiens; Mus musculus") == ("Homo sapiens", "Mus musculus")
    assert declared_organisms("NCBITaxon:9606 || NCBITaxon:10090")[1] == "NCBITaxon:10090"
    assert declared_organisms("unknown") == ()


def test_cells_are_judged_one_by_one():
    values = [HUMAN, "NCBITaxon:10090", None, f"{HUMAN} || NCBITaxon:10090"]
    obs = pd.DataFrame({"organism_ontology_term_id": pd.Categorical(values)})
    assert cells_of_organism(obs, HUMAN).tolist() == [True, False, True, False]
    assert cells_of_organism(obs[[]], HUMAN) is None
    silent = pd.DataFrame({"organism": ["unknown", "unknown"]})
    assert cells_of_organism(silent, HUMAN) is None
    both = pd.DataFrame({"organism": ["unknown", "nan"], "Species": ["Human", "mouse"]})
    assert cells_of_organism(both, HUMAN).tolist() == [True, False]


def test_a_column_species_of_something_else_is_silent():
    assert cells_of_organism(pd.DataFrame({"species": ["strain 1", "oak"]}), HUMAN) is None


@pytest.mark.parametrize("column", ["organism", "species", "Organism", "organism_ontology_term_id"])
@pytest.mark.parametrize("name", MOUSE)
def test_cells_noted_as_another_species_are_refused(column, name):
    adata = cells(**{column: pd.Categorical([name] * CELLS)})
    with pytest.raises(InputError, match=rf"not human data: {column} in obs is .* for 20 of 20"):
        prepared(adata)
    assert len(prepared(adata, allow_other_species=True)) == CELLS


def test_some_cells_of_another_species_are_counted(caplog):
    adata = cells(organism=["Homo sapiens"] * 17 + ["Mus musculus"] * 3)
    with pytest.raises(InputError, match=r"for 3 of 20 cells \(the first is 'cell17'\)"):
        prepared(adata)
    prepared(adata, allow_other_species=True)
    assert "is treated as human although organism in obs" in caplog.text


@pytest.mark.parametrize("name", [*PEOPLE, "unknown", np.nan, None])
def test_human_and_silent_notes_pass(name):
    assert len(prepared(cells(organism=[name] * CELLS))) == CELLS


UNS = [
    {"organism": "Mus musculus"},
    {"species": "mouse"},
    {"organism_ontology_term_id": "NCBITaxon:10090"},
    {"schema": {"organism": "Mus musculus"}},
    {"schema_reference": "https://example.org", "organism": np.array(["Mus musculus"])},
    {"dataset_info": {"species": "Mus musculus", "n": 3}},
]


@pytest.mark.parametrize("uns", UNS)
@pytest.mark.parametrize("kind", ["object", "h5ad", "zarr"])
def test_a_note_in_uns_is_believed(uns, kind, tmp_path):
    adata = cells()
    adata.uns.update(uns)
    given = adata
    if kind == "h5ad":
        given = tmp_path / "cells.h5ad"
        adata.write_h5ad(given)
    elif kind == "zarr":
        given = tmp_path / "cells.zarr"
        written(adata, given)
    with pytest.raises(InputError, match="not human data: uns says that its cells are of"):
        prepared(given)
    assert len(prepared(given, allow_other_species=True)) == CELLS


@pytest.mark.parametrize("uns", [{"organism": "Homo sapiens"}, {"organism": {"a": "mouse"}}, {}])
def test_other_notes_in_uns_pass(uns):
    adata = cells()
    adata.uns.update(uns)
    assert len(prepared(adata)) == CELLS


def test_obs_says_more_than_uns():
    adata = cells(organism="Homo sapiens")
    adata.uns["organism"] = "Mus musculus"
    assert len(prepared(adata)) == CELLS


def test_newer_files_say_it_once_for_all_cells(tmp_path):
    adata = anndata.AnnData(np.ones((2, 2)), uns={"organism_ontology_term_id": HUMAN})
    adata.write_h5ad(tmp_path / "cells.h5ad")
    written(adata, tmp_path / "cells.zarr", version=3)
    for name in ("cells.h5ad", "cells.zarr"):
        with open_cells(tmp_path / name) as source:
            assert source.organism == HUMAN
    assert zarr.open_group(tmp_path / "cells.zarr").metadata.zarr_format == 3
    assert note_in_memory({}) == source_from_anndata(cells()).organism == ""
