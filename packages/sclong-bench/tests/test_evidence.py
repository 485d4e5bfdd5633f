import dataclasses
import gzip
import json
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from anndata import AnnData
from sklearn.metrics import r2_score

from sclong_bench.evidence import genes, measure, measures, run, similarity, suite, training
from sclong_bench.evidence.collect import read_collected
from sclong_bench.evidence.data import LABEL, PRETRAINING, EvidenceData, prepare
from sclong_bench.evidence.measured import Measured
from sclong_bench.results.integrity import refuse_mixed_digests
from sclong_bench.results.reading import read_results
from sclong_core import ScLong
from sclong_core.cli.main import main
from sclong_core.errors import ConfigError, InputError
from sclong_core.vocabulary import GeneVocabulary

GENES = 520
BLOCKS = ("done", "known", "claims", "baselines")
PAGE = "".join(f"<!-- results evidence {name} -->\n<!-- end -->\n" for name in BLOCKS)
LAST = [f"GENE{number}" for number in range(GENES - 10, GENES)]
"""Genes of networks; what is expressed most is not among them for certain."""


def _cells(folder, name, cells, *, seed):
    generator = np.random.default_rng(seed)
    kinds = np.arange(cells) % 3
    rates = np.random.default_rng(0).gamma(0.6, size=(3, GENES)) + 0.05
    counts = generator.poisson(rates[kinds] * generator.uniform(1, 3, size=(cells, 1)))
    found = AnnData(counts.astype(np.float32))
    found.obs_names = [f"{name}{number}" for number in range(cells)]
    found.var_names = [f"GENE{number}" for number in range(GENES)]
    found.obs["kind"] = np.array(["B", "NK", "T"])[kinds]
    found.obs["plate"] = np.array(["p1", "p2"])[generator.integers(2, size=cells)]
    found.write_h5ad(folder / f"{name}.h5ad")


def _known(folder):
    """A list of markers by ScType's names of types, and networks: one of enough edges, one not."""
    columns = ["tissueType", "cellName", "geneSymbolmore1", "geneSymbolmore2", "shortName"]
    lists = {"Naive B cells": range(5), "Natural killer cells": range(5, 14), "T": range(2)}
    rows = [
        ("Immune system", kind, ",".join(f"GENE{number}" for number in genes), "", kind)
        for kind, genes in lists.items()
    ]
    pd.DataFrame(rows, columns=columns).to_excel(folder / "markers.xlsx", index=False)
    edges = [(factor, gene) for factor in LAST[:3] for gene in LAST[3:9]]
    pd.DataFrame(edges, columns=["Gene1", "Gene2"]).to_csv(folder / "many.csv", index=False)
    few = pd.DataFrame([*edges[:2], ("NOBODY", LAST[0])], columns=["Gene1", "Gene2"])
    few.to_csv(folder / "few.csv", index=False)
    counts = np.random.default_rng(3).poisson(2, size=(len(LAST), 40))
    cells = [f"c{number}" for number in range(40)]
    table = pd.DataFrame(np.log1p(counts), index=LAST, columns=cells)
    table.to_csv(folder / "expression.csv")


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Original files of two made-up data sets, and a suite of them."""
    folder = tmp_path_factory.mktemp("sources")
    ids = [f"ENSG{number:011d}" for number in range(GENES)]
    with gzip.open(folder / "gencode.csv.gz", "wt") as handle:
        for number, name in enumerate(ids):
            handle.write(f"{name},GENE{number},1,1000,protein_coding\n")
    columns = ["hgnc_id", "symbol", "locus_group", "locus_type", "status", "alias_symbol"]
    columns += ["prev_symbol", "entrez_id", "ensembl_gene_id", "uniprot_ids"]
    lines = ["\t".join(columns)]
    for number, name in enumerate(ids):
        kind = "protein-coding gene\tgene with protein product"
        lines.append(f"HGNC:{number}\tGENE{number}\t{kind}\tApproved\t\t\t{number + 1}\t{name}\t")
    (folder / "hgnc.txt").write_text("\n".join(lines) + "\n")
    rows = [(ids[number], f"GO:{number % 40:07d}") for number in range(GENES)]
    table = pd.DataFrame(rows, columns=["ensembl_gene_id", "go_id"])
    table.to_csv(folder / "go.csv", index=False)
    _cells(folder, "first", 120, seed=1)
    _cells(folder, "other", 45, seed=2)
    _known(folder)
    content = {
        "seeds": [1, 2],
        "variants": {
            "sclong": {},
            "sclong_no_low_expression": {"low_expression": "none"},
            "untrained_sclong": {"trained": False},
        },
        "names": {"hgnc": "hgnc.txt", "gencode": "gencode.csv.gz", "annotations": "go.csv"},
        "pretraining": [{"name": "first", "path": "first.h5ad", "held_out": 0.25}],
        "held_out": [{"name": "other", "path": "other.h5ad", "label": "kind", "batch": "plate"}],
        "markers": {"path": "markers.xlsx", "cells": ["other"]},
        "networks": [
            {
                "name": "mouse",
                "expression": "expression.csv",
                "edges": {"many": "many.csv", "few": "few.csv"},
            }
        ],
        "training": {"genes": 100, "steps": 2},
        "evaluation": {
            "cells": 30,
            "masked_cells": 10,
            "splits": 3,
            "nearest": 5,
            "fewest_edges": 10,
            "fewest_factors": 2,
        },
    }
    (folder / "suite.yaml").write_text(yaml.safe_dump(content))
    return folder


@pytest.fixture(scope="module")
def small(sources):
    return suite.read_evidence_suite(sources / "suite.yaml")


@pytest.fixture(scope="module")
def evidence(sources, tmp_path_factory):
    """The folder of a finished evidence."""
    output = tmp_path_factory.mktemp("evidence")
    words = ["bench", "evidence", "--data", str(sources), "--output", str(output)]
    page = output / "evidence.md"
    page.write_text(PAGE)
    words += ["--page", str(page), "--suite", str(sources / "suite.yaml")]
    assert main(words) == 0
    return output


@pytest.fixture(scope="module")
def data(evidence):
    return EvidenceData(evidence / run.DATA)


def test_the_suite_of_the_package_has_the_ablations_of_the_paper_and_five_seeds():
    found = suite.read_evidence_suite()
    assert found.seeds == [1, 2, 3, 4, 5]
    assert {suite.ablation(variant) for variant in found.variants.values()} == {
        (None, None),
        ("none", None),
        ("random", None),
        (None, "none"),
        (None, "random"),
    }
    assert not found.variants["untrained_sclong"].trained


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seeds", []),
        ("seeds", [1, 1]),
        ("variants", {"other": {}}),
        ("variants", {"sclong": {"graph": "some"}}),
        ("variants", {"sclong": {}, "a/b": {}}),
        ("training", {"steps": 0}),
        ("markers", {"path": "markers.xlsx", "cells": ["first"]}),
        ("markers", {"path": "", "cells": ["other"]}),
        ("networks", [{"name": "mouse", "edges": {"many": "many.csv"}}]),
        ("surprise", 1),
    ],
)
def test_a_suite_that_makes_no_sense_is_refused(sources, tmp_path, key, value):
    content = yaml.safe_load((sources / "suite.yaml").read_text())
    path = tmp_path / "suite.yaml"
    path.write_text(yaml.safe_dump({**content, key: value}))
    with pytest.raises(ConfigError, match=r"suite\.yaml"):
        suite.read_evidence_suite(path)


def test_no_held_out_cell_is_among_those_of_pretraining(data):
    held_out = {cells.name: cells for cells in data.held_out}
    assert len(data.corpus) == 90
    assert {name: len(cells.expression) for name, cells in held_out.items()} == {
        "first_held_out": 30,
        "other": 30,
    }
    trained = {row.tobytes() for row in data.training}
    for cells in held_out.values():
        assert not trained & {row.tobytes() for row in cells.expression}
        assert cells.expression.max() == 10
    assert set(held_out["other"].label) == {"B", "NK", "T"}
    assert not held_out["first_held_out"].label.size


def test_data_of_another_suite_is_not_taken_for_this_one(small, sources, evidence):
    other = dataclasses.replace(small, training=dataclasses.replace(small.training, genes=90))
    with pytest.raises(InputError, match="another suite"):
        prepare(other, sources, evidence / run.DATA)
    with pytest.raises(InputError, match="is missing"):
        prepare(small, sources / "nowhere", evidence / "elsewhere")


def test_variants_differ_in_what_their_name_says_and_in_nothing_else(evidence, small):
    def model(name, seed):
        return ScLong.from_pretrained(evidence / run.RUNS / f"{name}-seed-{seed}" / training.MODEL)

    full, ablated = model("sclong", 1), model("sclong_no_low_expression", 1)
    assert dataclasses.replace(full.config, low_expression="none") == ablated.config
    untrained = model("untrained_sclong", 1)
    assert untrained.config == full.config
    assert model("sclong", 2).config.feature_seed == 2
    assert not np.array_equal(
        untrained.decoder.weight.detach(), full.decoder.weight.detach()
    )  # it was trained


def test_results_make_one_table_that_statistics_take(evidence):
    found = read_results(evidence / run.RUNS)
    refuse_mixed_digests(found.rows)
    seeds = found.rows.groupby("model")["seed"].nunique()
    assert seeds["sclong"] == 2
    assert seeds["pca"] == seeds["gene_mean"] == 0
    assert set(found.rows["task"]) == {
        measure.RECONSTRUCTION,
        measure.CELL_TYPES,
        measure.BATCHES,
        genes.MARKERS,
        genes.NETWORKS,
    }
    batches = found.rows[found.rows["task"].eq(measure.BATCHES)]
    assert set(batches["scenario"]) == {"other"}
    assert set(batches["protocol"]) == {measure.GENE_SUMS, measure.GENE_MEANS}


def test_genes_that_are_asked_for_are_in_the_vocabulary_beside_the_expressed(data):
    vocabulary = GeneVocabulary.read(data.folder / "vocabulary.tsv")
    expressed = GeneVocabulary.read(data.folder / "expressed.tsv")
    asked = {*(f"GENE{number}" for number in range(14)), *LAST}
    assert set(vocabulary.symbols) == set(expressed.symbols) | asked
    assert len(expressed) == 100
    assert data.known.coverage.genes == len(vocabulary) > 100


def test_what_is_known_is_counted_and_measured_where_there_is_enough(data, evidence):
    coverage = data.known.coverage
    lists = {one.kind: (one.listed, one.known, one.measured) for one in coverage.markers}
    assert lists == {"B": (5, 5, True), "NK": (9, 9, True), "T": (2, 2, False)}
    networks = {net.network: (net.edges, net.known, net.measured) for net in coverage.networks}
    assert networks == {"many": (18, 18, True), "few": (3, 2, False)}
    assert data.known.markers()["other"].kinds == ("B", "NK")
    assert data.known.networks()["mouse"].networks == ("many",)
    rows = read_results(evidence / run.RUNS).rows
    of_genes = rows[rows["task"].isin([genes.MARKERS, genes.NETWORKS])]
    assert set(of_genes["scenario"]) == {"other", "mouse many"}
    assert {"sclong", "gene_vectors", "correlation", "random", "go_graph"} <= set(of_genes["model"])
    page = (evidence / "evidence.md").read_text("utf-8")
    assert "| mouse | edges of few | 3 | 2 edges (1 factor, 3 genes) | no |" in page


def test_measures_of_genes_are_those_of_the_task(data, evidence, small):
    """Markers of a made-up vector stand out; the floor is what chance gives."""
    rows = read_results(evidence / run.RUNS).rows
    chance = rows[rows["model"].eq("random") & rows["metric"].eq("marker_auroc")]["value"]
    assert abs(float(chance.iloc[0]) - 0.5) < 0.25
    checkpoint = evidence / run.RUNS / "sclong-seed-1" / training.MODEL
    again = list(genes.measure_genes(genes.SCLONG, data, small, evidence, model=checkpoint))
    mine = rows[rows["model"].eq("sclong") & rows["seed"].eq(1)]
    kept = mine[mine["task"].isin([genes.MARKERS, genes.NETWORKS])]["value"].tolist()
    assert [one.value for one in again] == pytest.approx(kept, nan_ok=True)
    assert again[0].metric == "marker_auroc"


def test_the_heat_map_shows_as_many_other_genes_as_markers(data, small, evidence):
    table = read_collected(evidence).similarity
    assert set(table["model"]) == {"sclong", "untrained_sclong"}
    of = table[table["model"].eq("sclong")]
    assert of.groupby("gene")["marker"].first().value_counts().tolist() == [6, 6]
    same = of[of["gene"].eq(of["other"])]["cosine"]
    assert same.tolist() == pytest.approx([1.0] * 12, abs=1e-3)
    drawn = similarity.similarity_figure(table)
    assert drawn is not None
    assert len(drawn.panels) == 2
    assert similarity.similarity_figure(table.iloc[:0]) is None


def test_what_is_there_is_not_made_again(evidence, small, sources):
    folder = evidence / run.RUNS / "untrained_sclong-seed-2"
    before = json.loads((folder / run.METRICS).read_text())
    shutil.rmtree(folder)
    prepared = run.prepare_evidence(small, sources, evidence)
    made = run.run_evidence(small, prepared, evidence)
    assert (made.made, made.there, made.elsewhere) == (1, 6, 0)
    after = json.loads((folder / run.METRICS).read_text())
    numbers = [[row["value"] for row in content["rows"]] for content in (before, after)]
    assert numbers[0] == numbers[1]


def test_a_run_that_is_done_takes_on_new_measures_from_its_saved_model(
    evidence, small, sources, tmp_path, monkeypatch, caplog
):
    def size(subject, data, suite, folder):
        del data, suite, folder
        if subject.checkpoint is None:
            return {}
        genes = len(ScLong.from_pretrained(subject.checkpoint).vocabulary)
        return {subject.name: [Measured("size", "", "all", "genes", float(genes), 1, "model")]}

    output = tmp_path / "evidence"
    shutil.copytree(evidence, output)
    results = {path.parent.name: path for path in (output / run.RUNS).glob("*/metrics.json")}
    old = {name: json.loads(path.read_text()) for name, path in results.items()}
    assert all(content["facts"][measures.RECORD] == ["cells", "genes"] for content in old.values())
    del old["simple"]["facts"][measures.RECORD]  # made before runs recorded it
    results["simple"].write_text(json.dumps(old["simple"]))
    shutil.rmtree(results["sclong-seed-2"].parent / training.MODEL)
    monkeypatch.setattr(measures, "MEASURES", {**measures.MEASURES, "size": size})
    prepared = run.prepare_evidence(small, sources, output)
    made = run.run_evidence(small, prepared, output)
    assert (made.made, made.there, made.measured, made.elsewhere) == (0, 1, 6, 0)
    said = " ".join(caplog.text.split())
    assert "sclong is not measured by size: its model is not in" in said
    assert "remove that folder to train it anew" in said
    new = {name: json.loads(path.read_text()) for name, path in results.items()}
    assert new["sclong-seed-2"] == old["sclong-seed-2"]
    for name, content in new.items():
        before = old[name]["rows"]
        assert content["rows"][: len(before)] == before
        added = content["rows"][len(before) :]
        assert len(added) == (name not in ("simple", "sclong-seed-2"))
        assert {row["checkpoint_digest"] for row in added} <= {before[0]["checkpoint_digest"]}
    refuse_mixed_digests(read_results(output / run.RUNS).rows)
    again = run.run_evidence(small, prepared, output)
    assert (again.made, again.there, again.measured) == (0, 7, 0)


def test_r2_is_that_of_scikit_learn(small, data):
    cells = data.held_out[0]
    predict = measure.simple_predictions(data)["gene_and_cell_mean"]
    rows = {row.metric: row for row in measure.measure_reconstruction(predict, cells, small)}
    count = small.evaluation.masked_cells
    chosen = cells.expression[np.linspace(0, len(cells.expression) - 1, count).astype(int)]
    masked = measure.hidden_values(chosen, small)
    expected = r2_score(chosen[masked], predict(chosen, masked)[masked])
    assert rows["r2"].value == pytest.approx(expected, abs=1e-6)
    assert rows["r2"].low <= rows["r2"].value <= rows["r2"].high
    assert rows["mse"].higher_is_better is False


def test_neighbours_tell_types_that_are_apart_and_not_those_that_are_shuffled(small):
    label = np.array(["a", "b"])[np.arange(60) % 2]
    apart = np.stack([np.arange(60) % 2, np.linspace(0, 0.1, 60)], 1).astype(np.float32)
    told = measure.neighbours_vote(apart, label, small.evaluation)
    assert told["accuracy"] == (1.0, 1.0, 1.0, 60)
    noise = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
    assert measure.neighbours_vote(noise, label, small.evaluation)["accuracy"][0] < 0.8


def test_the_corpus_of_pretraining_knows_nothing_of_types(evidence):
    assert (evidence / run.DATA / PRETRAINING / "corpus.json").is_file()
    said = json.loads((evidence / run.DATA / "data.json").read_text())
    assert any("harmonise" in command for command in said["commands"])
    assert LABEL in (evidence / run.DATA / "rules.yaml").read_text()
