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

from sclong_bench.evidence import measure, run, suite, training
from sclong_bench.evidence.data import LABEL, PRETRAINING, EvidenceData, prepare
from sclong_bench.results.integrity import refuse_mixed_digests
from sclong_bench.results.reading import read_results
from sclong_core import ScLong
from sclong_core.cli.main import main
from sclong_core.errors import ConfigError, InputError

GENES = 520
PAGE = "".join(
    f"<!-- results evidence {name} -->\n<!-- end -->\n" for name in ("done", "claims", "baselines")
)


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
        "training": {"genes": 100, "steps": 2},
        "evaluation": {"cells": 30, "masked_cells": 10, "splits": 3, "nearest": 5},
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
    }
    batches = found.rows[found.rows["task"].eq(measure.BATCHES)]
    assert set(batches["scenario"]) == {"other"}
    assert set(batches["protocol"]) == {measure.GENE_SUMS, measure.GENE_MEANS}


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
