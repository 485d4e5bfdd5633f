import json
import subprocess
import sys

import numpy as np
import pytest
from anndata import AnnData

from sclong_bench.demo import data as module
from sclong_bench.demo.data import (
    CELL_TYPE,
    choose_held_out,
    gene_graph,
    gene_vectors,
    load_cells,
    prepare,
    write_data,
)
from sclong_bench.demo.settings import DemoSettings
from sclong_core.graph import GeneGraph
from sclong_core.vocabulary import GeneVocabulary


@pytest.fixture(scope="module")
def real():
    return prepare(DemoSettings())


def test_the_cells_are_the_real_ones(real):
    values = real.expression
    assert values.shape == (700, 765)
    assert values.dtype == np.float32
    assert len(set(real.cell_types)) == 10
    assert np.array_equal(values, np.round(values, 3).astype(np.float32))
    assert 0.3 < (values > 0).mean() < 0.35
    assert {"NKG7", "CST3", "HES4"} <= set(real.vocabulary.ids)


def test_every_type_is_held_out_alike(real):
    held_out = ~real.training
    assert (held_out.sum(), real.training.sum()) == (140, 560)
    for kind in set(real.cell_types):
        chosen = real.cell_types == kind
        assert abs(held_out[chosen].sum() - 0.2 * chosen.sum()) < 1


def test_another_seed_is_another_split(real):
    other = prepare(DemoSettings(seed=2))
    assert not np.array_equal(other.training, real.training)
    assert other.digest != real.digest


def test_equal_seeds_give_equal_data_in_another_process(real):
    code = (
        "import json; from sclong_bench.demo.data import prepare;"
        "from sclong_bench.demo.settings import DemoSettings; d = prepare(DemoSettings());"
        "print(json.dumps([d.digest, d.graph.digest, d.gene_vectors.tobytes().hex()]))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [
        real.digest,
        real.graph.digest,
        real.gene_vectors.tobytes().hex(),
    ]


def test_held_out_cells_have_no_part_in_vectors_and_graph(monkeypatch):
    """Not even their values can be told from what the model is built from."""

    def spoiled() -> AnnData:
        cells = load_cells()
        held_out = choose_held_out(cells.obs[CELL_TYPE].to_numpy(), share=0.2, seed=1)
        values = cells.X.toarray()
        values[held_out] = np.random.default_rng(0).permuted(values[held_out], axis=1)
        cells.X = type(cells.X)(values)
        return cells

    expected = prepare(DemoSettings())
    monkeypatch.setattr(module, "load_cells", spoiled)
    found = prepare(DemoSettings())
    assert found.digest != expected.digest
    assert np.array_equal(found.gene_vectors, expected.gene_vectors)
    assert found.graph.digest == expected.graph.digest


def test_vectors_of_genes_multiply_to_their_covariance():
    expression = np.random.default_rng(0).random((30, 8)).astype(np.float32)
    vectors = gene_vectors(expression, dim=8)
    product = vectors @ vectors.T
    covariance = np.cov(expression, rowvar=False)
    scale = np.trace(covariance) / np.trace(product)
    assert np.allclose(product * scale, covariance, atol=1e-5)
    assert np.mean(vectors**2) == pytest.approx(1, rel=1e-5)


def test_the_largest_entry_of_a_component_is_positive():
    expression = np.random.default_rng(0).random((30, 8)).astype(np.float32)
    vectors = gene_vectors(expression, dim=3)
    assert (vectors.max(axis=0) >= -vectors.min(axis=0)).all()


def test_the_graph_joins_the_nearest_genes(real):
    unit = real.gene_vectors / np.linalg.norm(real.gene_vectors, axis=1, keepdims=True)
    similarity = unit @ unit.T
    source, target = real.graph.edge_index
    own = source == target
    assert own.sum() == 765
    assert (real.graph.edge_weight[own] == 1).all()
    assert np.allclose(real.graph.edge_weight[~own], similarity[source, target][~own], atol=1e-5)
    assert (real.graph.edge_weight[~own] > 0.1).all()
    assert np.bincount(target[~own]).max() <= 20


def test_genes_without_likeness_are_joined_to_themselves_alone():
    graph = gene_graph(np.eye(4, dtype=np.float32), neighbours=2, least_similarity=0.1)
    assert graph.edge_index.tolist() == [[0, 1, 2, 3]] * 2
    silent = gene_graph(np.zeros((3, 2), dtype=np.float32), neighbours=2, least_similarity=0.1)
    assert silent.edge_weight.tolist() == [1.0] * 3


def test_what_is_written_is_read_again(real, tmp_path):
    write_data(real, tmp_path)
    assert GeneVocabulary.read(tmp_path / "vocabulary.tsv").digest == real.vocabulary.digest
    assert GeneGraph.read(tmp_path / "graph.npz").digest == real.graph.digest
    assert np.array_equal(np.load(tmp_path / "gene_vectors.npy"), real.gene_vectors)
    names = {"cells.h5ad", "vocabulary.tsv", "graph.npz", "gene_vectors.npy"}
    assert {item.name for item in tmp_path.iterdir()} == names
