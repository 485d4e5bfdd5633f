import anndata
import pandas as pd
import pytest
import zarr
from anndata import AnnData

from sclong_core.expression.species import species_of_genes
from sclong_data.harmoniser.organism import (
    cells_of_organism,
    declared_organisms,
    is_organism,
    organism_of_file,
    plain_species,
)

HUMAN = "NCBITaxon:9606"


@pytest.mark.parametrize("name", ["Homo sapiens", "human", "NCBITaxon:9606", " HUMAN "])
def test_names_of_a_species_are_known(name):
    assert is_organism(name, HUMAN)
    assert not is_organism("Mus musculus", HUMAN)
    assert is_organism("NCBITaxon:7955", "NCBITaxon:7955")


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


def test_newer_files_say_it_once_for_all_cells(tmp_path):
    adata = AnnData(shape=(2, 2), uns={"organism_ontology_term_id": HUMAN})
    adata.write_h5ad(tmp_path / "cells.h5ad")
    with anndata.settings.override(zarr_write_format=3, auto_shard_zarr_v3=False):
        group = zarr.open_group(tmp_path / "cells.zarr", mode="w")
        anndata.io.write_elem(group, "uns", dict(adata.uns))
    assert organism_of_file(tmp_path / "cells.h5ad") == HUMAN
    assert organism_of_file(tmp_path / "cells.zarr") == HUMAN
    zarr.open_group(tmp_path / "empty.zarr", mode="w")
    assert organism_of_file(tmp_path / "empty.zarr") is None
    assert organism_of_file(tmp_path / "cells.csv") is None


def test_genes_of_other_species_are_seen():
    def reason(names):
        return species_of_genes(pd.DataFrame(index=names), plain_species(HUMAN)).reason

    assert reason(["ENSMUSG00000000001.4", "ENSMUSG00000000002"])
    assert reason(["Gapdh", "Actb", "1700001C02Rik"])
    assert reason(["GAPDH", "C1orf112", "ENSG00000000003", "MT-CO1"]) is None
