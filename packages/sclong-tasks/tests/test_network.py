"""Networks of genes: similarity, null, enrichment, and what the command writes."""

import json

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sclong_core import ScLong
from sclong_core.checkpoint import save_checkpoint
from sclong_core.cli.main import main
from sclong_core.distillation.distil import new_student
from sclong_core.errors import ConfigError, InputError
from sclong_core.graph import GeneGraph
from sclong_core.testing import make_counts_anndata, make_tiny_model
from sclong_tasks import plot
from sclong_tasks.network import RECORD, network
from sclong_tasks.network.edges import cosine, enrichment, significance, strongest
from sclong_tasks.network.graph import between

GENES, CELLS = 80, 60


@pytest.fixture(scope="module")
def model():
    return make_tiny_model(genes=GENES)


@pytest.fixture(scope="module")
def checkpoint(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("network") / "tiny"
    save_checkpoint(model, folder)
    return str(folder)


@pytest.fixture
def cells():
    made = make_counts_anndata(cells=CELLS, genes=GENES)
    made.X = sparse.csr_matrix(np.random.default_rng(0).poisson(2.0, (CELLS, GENES)), dtype="f4")
    made.obs["type"] = ["a"] * 30 + ["b"] * 25 + ["few"] * 5
    return made


@pytest.fixture
def annotations(cells, tmp_path):
    """Genes of even and of odd number share terms."""
    rows = [(gene, f"GO:{place % 2}") for place, gene in enumerate(cells.var_names)]
    file = tmp_path / "go.csv"
    pd.DataFrame(rows, columns=["gene_id", "go_id"]).to_csv(file, index=False)
    return file


def run(*words):
    return main(["network", *map(str, words)])


def test_weights_are_cosines_of_the_mean_representations_of_the_type(cells, checkpoint, model):
    network(cells, checkpoint=checkpoint, by="type", top=5)
    table = cells.uns[RECORD]["table"]
    assert set(table["group"]) == {"a", "b"}
    mean = model.gene_representations(cells[:30].copy()).mean(0, dtype=np.float64)
    similar = pd.DataFrame(np.corrcoef(mean - mean.mean(0)), cells.var_names, cells.var_names)
    centred = mean - mean.mean(0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    similar.loc[:, :] = unit @ unit.T
    of_a = table[table["group"] == "a"]
    for row in of_a.itertuples():
        assert row.weight == pytest.approx(similar.loc[row.source, row.target], abs=1e-4)
    highest = np.sort(similar.to_numpy()[np.triu_indices(GENES, 1)])[::-1][:5]
    np.testing.assert_allclose(of_a["weight"], highest, atol=1e-4)


def test_correlation_stands_beside_each_edge(cells, checkpoint):
    log1p = cells.copy()
    counts = cells.X.toarray()
    log1p.X = np.log1p(counts / counts.sum(1, keepdims=True) * 1e4)
    network(cells, checkpoint=checkpoint, top=5)
    for row in cells.uns[RECORD]["table"].itertuples():
        pair = log1p[:, [row.source, row.target]].X
        assert row.correlation == pytest.approx(np.corrcoef(np.asarray(pair).T)[0, 1], abs=1e-3)


def test_the_order_of_cells_and_the_batch_do_not_matter(cells, checkpoint):
    mixed = cells[np.random.default_rng(1).permutation(CELLS)].copy()
    network(cells, checkpoint=checkpoint, top=30)
    network(mixed, checkpoint=checkpoint, top=30, batch_size=7)
    one, other = (found.uns[RECORD]["table"] for found in (cells, mixed))
    assert list(one["source"]) == list(other["source"])
    np.testing.assert_allclose(one["weight"], other["weight"], atol=1e-5)


def test_a_copy_leaves_the_cells_as_they_are(cells, checkpoint):
    found = network(cells, checkpoint=checkpoint, copy=True, top=3)
    assert RECORD not in cells.uns
    assert len(found.uns[RECORD]["table"]) == 3


def test_the_strongest_are_each_once_and_per_gene_covers_every_gene():
    weight = cosine(np.random.default_rng(0).normal(size=(30, 4)))
    top = strongest(weight, 40, None)
    assert len(top) == 40
    assert (top.source_e < top.target_e).all()
    assert len(set(zip(top.source_e, top.target_e, strict=True))) == 40
    each = strongest(weight, 1, 2)
    assert set(each.source_e) | set(each.target_e) == set(range(30))
    values = weight[each.source_e, each.target_e]
    assert (np.diff(values) <= 0).all()
    assert 30 <= len(each) <= 60


def test_only_a_pair_that_stands_out_of_like_ones_is_significant():
    generator = np.random.default_rng(0)
    noise = generator.normal(0, 0.1, (100, 100))
    weight = (noise + noise.T) / 2
    weight[3, 70] = weight[70, 3] = 0.99
    edges = strongest(weight, 200, None)
    p, q = significance(weight, generator.gamma(1, size=100), edges, correlation=True)
    assert (edges.source_e[0], edges.target_e[0]) == (3, 70)
    assert q[0] < 1e-6
    assert (q[1:] > 0.05).all()
    assert ((p >= 0) & (p <= q) & (q <= 1)).all()


def test_pairs_of_high_expression_are_judged_beside_such_pairs():
    """Weights that rise with expression alone are no edges."""
    generator = np.random.default_rng(0)
    mean = np.repeat([1.0, 2.0, 3.0, 4.0, 5.0], 20)
    noise = generator.normal(0, 0.02, (100, 100))
    weight = np.add.outer(mean, mean) / 12 + (noise + noise.T) / 2
    _, q = significance(weight, mean, strongest(weight, 100, None), correlation=True)
    assert (q > 0.05).mean() > 0.9


def test_enrichment_counts_edges_of_the_graph_and_keeps_degrees():
    """Two cliques: edges inside them are enriched; a hub alone with itself is not."""
    halves = np.repeat([0, 1], 20)
    graph = sparse.csr_array((halves[:, None] == halves).astype(float) - np.eye(40))
    inside = strongest((halves[:, None] == halves).astype(float), 100, None)
    found = enrichment(inside, graph, 0)
    assert (found.edges, found.found) == (100, 100)
    every = strongest(np.random.default_rng(0).normal(size=(40, 40)), 300, None)
    by_chance = enrichment(every, graph, 0)
    assert by_chance.odds_ratio == pytest.approx(1, abs=0.35)
    assert by_chance.p > 0.05
    nothing = enrichment(every, sparse.csr_array((40, 40)), 0)
    assert nothing.edges == 0
    assert np.isnan(nothing.p)


def test_a_graph_joins_both_ways_and_no_gene_to_itself():
    index = np.array([[0, 1, 1, 3], [0, 2, 0, 1]])
    graph = GeneGraph(5, index, np.ones(4, dtype=np.float32))
    joined = between(graph, np.array([0, 1, 3])).toarray()
    np.testing.assert_array_equal(joined > 0, [[0, 1, 0], [1, 0, 1], [0, 1, 0]])


def test_the_command_writes_edges_and_what_made_them(
    cells, checkpoint, annotations, tmp_path, capsys
):
    file, output = tmp_path / "cells.h5ad", tmp_path / "out" / "edges.csv"
    cells.write_h5ad(file)
    words = (file, "--checkpoint", checkpoint, "--by", "type", "--top", 20, "-o", output)
    assert run(*words, "--graph", annotations) == 0
    table = pd.read_csv(output)
    assert list(table.columns[:4]) == ["source", "target", "weight", "group"]
    assert set(table["source"]) | set(table["target"]) <= set(cells.var_names)
    about = json.loads((tmp_path / "out" / "edges.csv.json").read_text())
    assert about["types"] == {"a": 30, "b": 25}
    assert about["checkpoint"]
    of_model = next(one for one in about["enrichment"] if one["edges_by"] == "representations")
    assert of_model["found"] == table[table["group"] == "a"]["in_graph"].sum()
    assert "odds ratio" in capsys.readouterr().out
    assert run(*words) == 2  # it is there
    assert run(*words, "--overwrite") == 0


def test_an_h5ad_holds_the_network_and_is_drawn(cells, checkpoint, annotations, tmp_path):
    file, output = tmp_path / "cells.h5ad", tmp_path / "found.h5ad"
    cells.write_h5ad(file)
    words = (file, "--checkpoint", checkpoint, "-o", output, "--top", 30)
    assert run(*words) == 0  # without a graph
    assert "enrichment" in anndata.read_h5ad(output).uns[RECORD]
    assert run(*words, "--graph", annotations, "--overwrite") == 0
    read = anndata.read_h5ad(output)
    assert len(read.uns[RECORD]["table"]) == 30
    ax = plot.network(read, show=False)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["all cells"]
    assert len(ax.patches) == 3


def test_attention_of_a_model_that_has_it(cells, checkpoint, model):
    network(cells, checkpoint=checkpoint, source="attention", top=4)
    weights = model.attention(cells, list(cells.var_names)).mean(0, dtype=np.float64)
    beyond = np.log2(weights / (weights.mean(1)[:, None] * weights.mean(0)) * weights.mean())
    both = (beyond + beyond.T) / 2
    expected = np.sort(both[np.triu_indices(GENES, 1)])[::-1][:4]
    np.testing.assert_allclose(cells.uns[RECORD]["table"]["weight"], expected, rtol=1e-3)


def test_the_packaged_model_refuses_attention_and_a_student_everything(cells, tmp_path):
    teacher = ScLong.from_pretrained(device="cpu")
    mini = make_counts_anndata(cells=20, genes=60)
    mini.var_names = teacher.vocabulary.ids[:60]
    mini.X = sparse.csr_matrix(np.random.default_rng(0).poisson(3, (20, 60)), dtype="f4")
    with pytest.raises(ConfigError, match="attention is only available"):
        network(mini, source="attention", allow_poor_match=True)
    save_checkpoint(new_student(teacher, 0), tmp_path / "student")
    with pytest.raises(ConfigError, match="use its teacher"):
        network(mini, checkpoint=str(tmp_path / "student"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"by": "kind"}, "no column kind"),
        ({"graph": "missing.gaf"}, "is not a file"),
        ({"detection": 1.0}, "genes that the model reads are expressed by"),
    ],
)
def test_cells_that_make_no_network_are_refused(cells, checkpoint, change, message):
    counts = cells.X.toarray() * (np.arange(CELLS) % 3 > 0)[:, None]
    cells.X = sparse.csr_matrix(counts + np.eye(CELLS, GENES))
    with pytest.raises(InputError, match=message):
        network(cells, checkpoint=checkpoint, **change)


def test_too_few_cells_are_refused(cells, checkpoint):
    with pytest.raises(InputError, match="no type has 20 cells"):
        network(cells[:19].copy(), checkpoint=checkpoint)


def test_a_graph_of_another_vocabulary_is_refused(cells, checkpoint, tmp_path):
    graph = GeneGraph(5, np.array([[0], [1]]), np.ones(1, dtype=np.float32))
    graph.write(tmp_path / "graph.npz")
    with pytest.raises(InputError, match="graph of 5 genes, and the model has 80"):
        network(cells, checkpoint=checkpoint, graph=tmp_path / "graph.npz")


@pytest.mark.parametrize(
    "change",
    [
        {"top": 0}, {"per_gene": 0}, {"cells": 5}, {"genes": 3}, {"seed": -1}, {"detection": 0},
        {"source": "x"},
    ],
)  # fmt: skip
def test_impossible_options_are_refused(cells, change):
    with pytest.raises(ConfigError):
        network(cells, **change)


def test_a_network_without_a_graph_is_not_drawn(cells, checkpoint):
    with pytest.raises(InputError, match="call sclong_tasks"):
        plot.network(cells)
    network(cells, checkpoint=checkpoint, top=3)
    with pytest.raises(InputError, match="pass graph="):
        plot.network(cells)
