from types import SimpleNamespace

import pytest

from sclong_core.errors import ConfigError
from sclong_core.pretraining.dry_run import planned_layout, planned_network
from sclong_core.testing import synthetic_gene_ids
from sclong_core.vocabulary import GeneVocabulary
from tests.support.training import small_network, write_cells


def settings_of(*, network=None, graph=None, trainer=None, **data):
    defaults = {
        "devices": 1,
        "num_nodes": 1,
        "accelerator": "cpu",
        "accumulate_grad_batches": 4,
        "precision": None,
        "strategy": "auto",
    }
    return SimpleNamespace(
        model=SimpleNamespace(
            network=network or small_network(), graph=graph, activation_checkpointing=False
        ),
        trainer=SimpleNamespace(**{**defaults, **(trainer or {})}),
        data=SimpleNamespace(
            **{"vocabulary": None, "path": None, "matrix": None, "batch_size": 2, **data}
        ),
    )


def test_genes_come_from_the_vocabulary_else_the_network_else_the_data(tmp_path):
    GeneVocabulary.from_ids(synthetic_gene_ids(50)).write(tmp_path / "vocabulary.tsv")
    cells = write_cells(tmp_path / "cells.h5ad")
    vocabulary = str(tmp_path / "vocabulary.tsv")
    assert planned_network(settings_of(vocabulary=vocabulary, path=str(cells))).genes == 50
    assert planned_network(settings_of(network=small_network(genes=60))).genes == 60
    assert planned_network(settings_of(path=str(cells))).genes == 40
    with pytest.raises(ConfigError, match="number of genes is unknown"):
        planned_network(settings_of(path="absent.h5ad"))


def test_a_graph_that_is_named_counts_as_there():
    network = small_network(genes=60)
    assert planned_network(settings_of(network=network, graph="later.npz")).graph == "edges"
    assert planned_network(settings_of(network=network)).graph == "none"


@pytest.mark.parametrize(
    ("devices", "count"), [(3, 3), ("3", 3), ([0, 5], 2), ("auto", 1), (-1, 1)]
)
def test_devices_are_counted_however_they_are_given(devices, count):
    layout = planned_layout(settings_of(trainer={"devices": devices, "num_nodes": 2}))
    assert layout.ranks == 2 * count
    assert layout.effective_batch == 2 * 4 * 2 * count
    assert layout.precision == "32-true"


def test_fsdp_is_a_strategy_by_its_name():
    assert not planned_layout(settings_of()).sharded
    assert planned_layout(settings_of(trainer={"strategy": "fsdp"})).sharded
