"""The benchmark of the gene graph: both ways build the same, and a run is written down."""

import json

import numpy as np
import pytest

from benchmarks.graph import GENES, double_loop, made_up_annotations, main, product


def test_both_ways_build_the_same_graph():
    terms = made_up_annotations(300, 400)
    edges, weights = double_loop(terms)
    ours, our_weights = product(terms)
    np.testing.assert_array_equal(edges, ours)
    np.testing.assert_array_equal(weights, our_weights)


def test_made_up_annotations_look_like_the_gene_ontology_s():
    terms = made_up_annotations()
    assert len(terms) == GENES
    sizes = [len(held) for held in terms.values()]
    assert 12 < np.mean(sizes) < 18
    common = np.bincount([term for held in terms.values() for term in held])
    assert 0.5 < common.max() / GENES < 0.8
    assert made_up_annotations() == terms


@pytest.mark.slow
def test_a_run_is_written_down(tmp_path):
    (tmp_path / "terms.json").write_text(
        json.dumps({gene: sorted(held) for gene, held in made_up_annotations(60, 50).items()})
    )
    words = ["--sizes", "40", "--turns", "1", "--annotations", str(tmp_path / "terms.json")]
    assert main([*words, "--output", str(tmp_path / "out")]) == 0
    results = json.loads((tmp_path / "out" / "graph.json").read_text())
    assert results["same_edges"]
    assert [row["genes"] for row in results["measurements"]] == [40, 40, 60]
    report = (tmp_path / "out" / "graph.md").read_text()
    assert "extrapolated from 40 genes" in report
