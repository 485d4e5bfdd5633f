"""The gene graph from similarities."""

import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sclong_core.errors import ConfigError, InputError
from sclong_core.pickles import read_plain_pickle
from sclong_data.graph.building import build_gene_graph, graph_of
from sclong_data.graph.similarity import JoinedSimilarity, PairSimilarity, TermSimilarity
from tests.support.places import shared_folder

GENES = [f"g{number}" for number in range(8)]
term_sets = st.lists(st.sets(st.integers(0, 9), max_size=6), min_size=1, max_size=25).filter(any)


def edges(graph):
    """Edges as {(source, target): weight}."""
    return dict(
        zip(map(tuple, graph.edge_index.T.tolist()), graph.edge_weight.tolist(), strict=True)
    )


def double_loop(terms, neighbours, threshold):
    """The same, gene by gene: the most similar of each target, ties by order of the genes."""
    found = {}
    for target, own in enumerate(terms):
        jaccard = [len(own & other) / len(own | other) if own | other else 0 for other in terms]
        others = [s for s in range(len(terms)) if s != target and jaccard[s] > threshold]
        others.sort(key=lambda source: (-jaccard[source], source))
        for source in others[:neighbours]:
            found[source, target] = float(np.float32(jaccard[source]))
        if own:
            found[target, target] = 1.0
    return found


@settings(max_examples=200)
@given(term_sets, st.integers(1, 6), st.sampled_from([0, 0.1, 0.2, 0.25, 1 / 3, 0.5]))
def test_graph_equals_a_double_loop(terms, neighbours, threshold):
    genes = [f"g{number}" for number in range(len(terms))]
    graph = build_gene_graph(dict(zip(genes, terms, strict=True)), genes, neighbours, threshold)
    assert edges(graph) == double_loop(terms, neighbours, threshold)


def release_loop(terms, neighbours, threshold):
    """As the release does it: a gene is among its most similar ones, of which there is one more."""
    found = {}
    for target, own in enumerate(terms):
        jaccard = [len(own & other) / len(own | other) if own | other else 0 for other in terms]
        similar = [source for source in range(len(terms)) if jaccard[source] > threshold]
        similar.sort(key=lambda source: (-jaccard[source], source))
        for source in similar[: neighbours + 1]:
            found[source, target] = float(np.float32(jaccard[source]))
    return found


@settings(max_examples=200)
@given(term_sets, st.integers(1, 6), st.sampled_from([0, 0.1, 0.25, 0.5]))
def test_ranked_own_edges_are_those_of_the_release(terms, neighbours, threshold):
    genes = [f"g{number}" for number in range(len(terms))]
    similarity = TermSimilarity(dict(zip(genes, terms, strict=True)), genes)
    graph = graph_of(similarity, neighbours, threshold, own_edges="ranked")
    assert edges(graph) == release_loop(terms, neighbours, threshold)


def test_a_gene_behind_many_of_the_same_terms_loses_its_own_edge_only_where_it_is_ranked():
    genes = [f"g{number}" for number in range(600)]
    similarity = TermSimilarity({gene: {"GO:1"} for gene in genes}, genes)
    own = {(gene, gene) for gene in range(600)}
    assert own <= edges(graph_of(similarity)).keys()
    ranked = edges(graph_of(similarity, own_edges="ranked"))
    assert own & ranked.keys() == {(gene, gene) for gene in range(21)}
    assert len(ranked) == 600 * 21
    pairs = PairSimilarity(np.array([[0], [1]]), np.array([0.5]), 3)
    assert edges(graph_of(pairs, own_edges="ranked")) == edges(graph_of(pairs))


def test_graph_equals_a_double_loop_over_several_blocks_and_frequent_terms():
    generator = np.random.default_rng(0)
    terms = [
        set((generator.pareto(0.6, size=generator.integers(0, 12)) * 3).astype(int).tolist())
        for _ in range(700)
    ]
    genes = [f"g{number}" for number in range(len(terms))]
    graph = build_gene_graph(dict(zip(genes, terms, strict=True)), genes)
    assert edges(graph) == double_loop(terms, 20, 0.1)


def test_a_pair_at_the_threshold_is_not_joined():
    terms = {"g0": range(5), "g1": [0, *range(10, 15)]}
    assert build_gene_graph(terms, ["g0", "g1"]).edge_weight.tolist() == [1, 1]
    more = {"g0": range(5), "g1": [0, *range(10, 14)]}
    assert build_gene_graph(more, ["g0", "g1"]).edge_weight.size == 4


def test_equal_similarities_are_taken_in_the_order_of_the_genes_and_the_gene_itself_is_never_lost():
    terms = {key: [1] for key in GENES}
    found = edges(build_gene_graph(terms, GENES, neighbours=2))
    assert {source for source, target in found if target == 7} == {0, 1, 7}
    assert {source for source, target in found if target == 0} == {1, 2, 0}


def test_a_gene_without_terms_has_no_edge_and_genes_outside_the_vocabulary_do_not_count():
    graph = build_gene_graph({"g1": "ab", "g2": "ab", "other": "ab"}, GENES)
    assert set(edges(graph)) == {(1, 1), (1, 2), (2, 1), (2, 2)}
    assert graph.genes == len(GENES)


def test_the_order_of_terms_and_of_the_mapping_does_not_matter():
    terms = {gene: [number, number + 1, "x"] for number, gene in enumerate(GENES)}
    other = {gene: terms[gene][::-1] for gene in reversed(GENES)}
    assert build_gene_graph(terms, GENES).digest == build_gene_graph(other, GENES).digest


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (({}, GENES), InputError, "none of the 8 genes has a term"),
        (({"g0": "a"}, ["g0", "g0"]), InputError, "repeats some"),
        (({"g0": "a"}, GENES, 0), ConfigError, "neighbours must be 1 or more"),
        (({"g0": "a"}, GENES, 20, 1.0), ConfigError, "threshold"),
    ],
)
def test_what_makes_no_graph_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        build_gene_graph(*arguments)


def pairs(*rows):
    return np.array([row[:2] for row in rows]).T, np.array([row[2] for row in rows], dtype=float)


def test_pairs_hold_both_ways_and_the_larger_value_counts():
    similarity = PairSimilarity(*pairs((0, 1, 0.5), (1, 0, 0.7), (2, 2, 0.9), (1, 3, 0.05)), 4)
    assert edges(graph_of(similarity)) == {
        (0, 0): 1.0,
        (1, 1): 1.0,
        (3, 3): 1.0,
        (0, 1): pytest.approx(0.7),
        (1, 0): pytest.approx(0.7),
    }


@pytest.mark.parametrize("value", [0.0, -0.1, 1.1, np.nan, np.inf])
def test_pairs_that_are_no_similarities_are_refused(value):
    with pytest.raises(InputError, match="over 0 and at most 1"):
        PairSimilarity(*pairs((0, 1, value)), 2)


def test_joined_sources_give_the_larger_similarity_of_each_pair():
    terms = TermSimilarity({"g0": "ab", "g1": "ab", "g2": "bc"}, GENES)
    links = PairSimilarity(*pairs((0, 1, 0.5), (2, 0, 0.9), (5, 6, 0.2)), len(GENES))
    found = edges(graph_of(JoinedSimilarity([terms, links])))
    assert found[0, 1] == 1.0
    assert found[2, 0] == pytest.approx(0.9)
    assert found[5, 6] == pytest.approx(0.2)
    assert found[1, 2] == pytest.approx(1 / 3)
    swapped = graph_of(JoinedSimilarity([links, terms]))
    assert edges(swapped) == found


def test_progress_is_reported_to_the_last_gene():
    seen = []
    graph_of(TermSimilarity({"g0": "a"}, GENES), progress=seen.append)
    assert seen == [len(GENES)]


@pytest.mark.real_data
def test_the_release_s_own_edges_follow_from_its_annotations():
    golden = shared_folder("golden")
    if golden is None:
        pytest.skip("the golden fixture is not beside this checkout")
    genes = (golden / "genes.txt").read_text().split()
    terms = json.loads((golden / "gene2go.json").read_text())
    settings_ = read_plain_pickle(golden / "hyper_params.pkl")
    released = dict(
        zip(
            map(tuple, settings_["G_go"].T.tolist()),
            settings_["G_go_weight"].tolist(),
            strict=True,
        )
    )
    assert edges(build_gene_graph(terms, genes)) == released
    assert edges(graph_of(TermSimilarity(terms, genes), own_edges="ranked")) == released


@pytest.mark.real_data
def test_all_annotations_of_go_fit_into_a_gigabyte():
    pandas = pytest.importorskip("pandas")
    folder = shared_folder("data")
    if folder is None:
        pytest.skip("the annotations are not beside this checkout")
    frame = pandas.read_csv(folder / "go" / "human_ensembl_gene2go_direct.csv.gz")
    terms = frame.groupby("ensembl_gene_id").go_id.agg(set).to_dict()
    tracemalloc.start()
    graph = build_gene_graph(terms, sorted(terms))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e9
    assert graph.genes == 18_768
    incoming = np.bincount(graph.edge_index[1], minlength=graph.genes)
    assert (incoming >= 1).all()
    assert incoming.max() == 21
