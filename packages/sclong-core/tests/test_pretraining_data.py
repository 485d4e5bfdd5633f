import numpy as np
import pandas as pd
import pytest

from sclong_core.config import InputConfig
from sclong_core.errors import CheckpointError, ConfigError, InputError
from sclong_core.pretraining.data import AnnDataModule, genes_of
from sclong_core.testing import make_counts_anndata, synthetic_gene_ids
from sclong_core.vocabulary import GeneVocabulary
from tests.support.training import write_cells


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    return write_cells(tmp_path_factory.mktemp("data") / "cells.h5ad")


def ready(cells, **settings):
    data = AnnDataModule(cells, **{"batch_size": 4, "validation_fraction": 0.2, **settings})
    data.setup("fit")
    return data


def test_the_vocabulary_is_known_at_once(cells, tmp_path):
    assert AnnDataModule(cells).vocabulary.ids == tuple(synthetic_gene_ids(40))
    given = GeneVocabulary.from_ids(synthetic_gene_ids(50))
    given.write(tmp_path / "vocabulary.tsv")
    assert AnnDataModule(cells, tmp_path / "vocabulary.tsv").vocabulary == given


def test_ids_are_found_in_another_column_and_the_index_is_then_symbols():
    var = pd.DataFrame(
        {"length": [1, 2], "gene_ids": ["ENSG00000000001.4", "ENSG00000000002"]}, index=["A", "B"]
    )
    found = genes_of(var, None)
    assert found.ids == ("ENSG00000000001", "ENSG00000000002")
    assert found.symbols == ("A", "B")
    assert genes_of(var, "var_names").ids == ("A", "B")
    with pytest.raises(ConfigError, match="no gene column 'nope'"):
        genes_of(var, "nope")


def test_means_of_genes_are_over_the_non_zero_values_of_training_cells(cells):
    data = ready(cells)
    rows = data._dataset().expression(data.training_cells.tolist())
    expected = np.nanmean(np.where(rows > 0, rows, np.nan), axis=0)
    np.testing.assert_allclose(data.gene_means, expected, rtol=1e-5)


def test_a_gene_that_no_training_cell_expresses_gets_the_mean_of_all(tmp_path):
    adata = make_counts_anndata(20, 5)
    adata.X = adata.X.multiply(np.arange(5) != 3).tocsr()
    adata.write_h5ad(tmp_path / "cells.h5ad")
    data = ready(tmp_path / "cells.h5ad")
    rows = data._dataset().expression(data.training_cells.tolist())
    assert data.gene_means[3] == pytest.approx(rows[rows > 0].mean(), rel=1e-5)


def test_cells_are_fed_as_the_input_says(cells):
    data = ready(cells, input=InputConfig(maximum=10.0))
    batch = next(iter(data.train_dataloader()))
    assert batch["expression"].amax(1).tolist() == [10.0] * 4


def test_every_training_cell_is_seen_once_but_for_the_tail(cells):
    data = ready(cells)
    seen = [cell for batch in data.train_dataloader() for cell in batch["cell"].tolist()]
    assert len(seen) == len(set(seen)) == data.training_cells.size // 4 * 4
    assert set(seen) <= set(data.training_cells.tolist())
    held = [cell for batch in data.val_dataloader() for cell in batch["cell"].tolist()]
    assert held == data.validation_cells.tolist()
    assert ready(cells, validation_fraction=0.0).val_dataloader() == []


def test_it_describes_what_it_read(cells):
    found = ready(cells).describe()
    assert found["cells"] == 60
    assert found["training_cells"] + found["validation_cells"] == 60
    assert found["normalisation"] == "raw"


def test_the_state_of_other_data_is_refused(cells, tmp_path):
    state = ready(cells).state_dict()
    other = ready(write_cells(tmp_path / "other.h5ad", cells=61))
    for data in (other, ready(cells, seed=1), ready(cells, validation_fraction=0.5)):
        with pytest.raises(CheckpointError, match="was trained on data with"):
            data.load_state_dict(state)
    ready(cells).load_state_dict(state)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"path": None}, "data.path"),
        ({"batch_size": 0}, "data.batch_size"),
        ({"num_workers": -1}, "data.num_workers"),
        ({"seed": -1}, "data.seed"),
        ({"validation_fraction": 1.0}, "data.validation_fraction"),
        ({"vocabulary": "absent.tsv"}, "absent.tsv does not exist"),
    ],
)
def test_impossible_settings_are_refused(cells, settings, message):
    with pytest.raises(ConfigError, match=message):
        AnnDataModule(**{"path": cells, **settings})


def test_what_needs_the_cells_says_so_before_they_are_read(cells):
    with pytest.raises(ConfigError, match="setup"):
        AnnDataModule(cells).describe()
    with pytest.raises(InputError, match="does not exist"):
        AnnDataModule("absent.h5ad")


def test_symbols_of_human_genes_are_stored_by_their_ids(caplog):
    var = pd.DataFrame(index=["TP53", "AL627309.1", "BRCA1"])
    with caplog.at_level("INFO", "sclong"):
        found = genes_of(var, None)
    assert found.ids == ("ENSG00000141510", "ENSG00000012048")
    assert found.symbols == ("TP53", "BRCA1")
    assert "1 have none and are not genes of the model: AL627309.1" in caplog.text


@pytest.mark.parametrize("clones", [0, 6, 40])
@pytest.mark.parametrize("symbols", [["Cd3e", "Actb", "Gapdh", "Trp53"], ["gapdh", "tp53", "actb"]])
def test_symbols_of_another_species_are_never_ids(symbols, clones):
    ids = [f"ENSMUSG{n:011d}" for n in range(len(symbols) + clones // 2)]
    names = [*symbols, *(f"Gm{n}" for n in range(clones // 2))]
    with pytest.raises(InputError, match=r"like symbols of the mouse.*data\.gene_column"):
        genes_of(pd.DataFrame(index=names), None)
    found = genes_of(pd.DataFrame({"gene_ids": ids}, index=names), None)
    assert found.ids == tuple(ids)
    assert found.symbols == tuple(names)


def test_no_symbol_among_ids_is_an_id():
    ids = [f"ENSG{n:011d}" for n in range(1, 20)]
    found = genes_of(pd.DataFrame(index=[*ids, "TP53"]), None)
    assert found.ids == (*ids, "ENSG00000141510")


def test_names_that_are_neither_ids_nor_symbols_are_kept_with_a_warning(caplog):
    assert genes_of(pd.DataFrame(index=["one", "two"]), None).ids == ("one", "two")
    assert "names are neither Ensembl ids nor human symbols" in caplog.text
