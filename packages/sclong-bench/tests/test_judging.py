"""Judging: sets, measures, references, models, verdicts, and the command."""

import argparse
import json
from dataclasses import replace

import anndata
import numpy as np
import pytest
import yaml

from sclong_bench.cli.card import CardCommand
from sclong_bench.cli.judge import _parsed
from sclong_bench.judging.card import CardFacts, make_card
from sclong_bench.judging.measure import centred, measure
from sclong_bench.judging.models import Checkpoint
from sclong_bench.judging.page import read_rows, write_rows
from sclong_bench.judging.references import pca_50, permuted, variable_pca_20
from sclong_bench.judging.run import JudgedRow
from sclong_bench.judging.sets import JudgingSet, LabelledCells, read_labelled, read_sets
from sclong_bench.judging.verdict import averaged, bars
from sclong_core.card import read_card
from sclong_core.checkpoint import read_checkpoint_info, save_checkpoint
from sclong_core.cli.main import main
from sclong_core.errors import ConfigError, InputError
from sclong_core.testing import make_tiny_model, synthetic_gene_ids
from sclong_data.dataset_manifest import DatasetEntry, Manifest
from tests.support.corpora import write_made_up_corpus
from tests.support.typed_cells import typed_counts

GENES = 40


def cells(count=60, *, batches=True, seed=0):
    counts, types = typed_counts(count, GENES, seed=seed)
    adata = anndata.AnnData(counts)
    adata.var_names = synthetic_gene_ids(GENES)
    adata.obs["kind"] = types
    adata.obs["donor"] = [f"d{number % 2}" for number in range(count)]
    described = JudgingSet("made-up", "development", "a.h5ad", "kind", batch="donor")
    donors = adata.obs["donor"].to_numpy(dtype=str) if batches else None
    return LabelledCells(described, adata, types, donors)


@pytest.fixture
def place(tmp_path):
    """A folder of data, a file of sets, a corpus and a checkpoint."""
    cells(70).adata.write_h5ad(tmp_path / "a.h5ad")
    cells(50, seed=1).adata.write_h5ad(tmp_path / "b.h5ad")
    sets = {
        "one": {"role": "development", "path": "a.h5ad", "labels": "kind", "batch": "donor"},
        "two": {"role": "report", "path": "b.h5ad", "labels": "kind", "trained_without": "x"},
    }
    (tmp_path / "sets.yaml").write_text(yaml.safe_dump(sets, sort_keys=False))
    save_checkpoint(make_tiny_model(genes=GENES), tmp_path / "model")
    return tmp_path


def asked(place, *more):
    words = ["bench", "judge", "--sets", f"{place}/sets.yaml", "--data", str(place)]
    return [*words, "--draws", "20", "-o", f"{place}/out", "--denoising-seeds", *more]


def test_the_command_judges_a_checkpoint_beside_the_references(place, capsys):
    assert main(asked(place, "--checkpoint", f"m.1={place}/model")) == 0
    rows = read_rows(place / "out" / "rows.json")
    models = {row.model for row in rows}
    assert {"PCA-50", "variable genes + PCA-20", "m", "m, untrained", "m, permuted"} < models
    assert {row.data for row in rows} == {"one"}, "sets of the report are for the end"
    assert {row.seed for row in rows if row.model == "m"} == {1}
    values = {(row.model, row.measure): row for row in rows if not row.centred}
    best = values["PCA-50", "macro_f1"]
    assert best.value > 0.9 > values["m, permuted", "macro_f1"].value
    assert best.low is not None
    assert best.low <= best.value <= best.high
    assert 0 <= values["PCA-50", "bras"].value <= 1
    assert "PCA-50" in capsys.readouterr().out


def test_a_set_is_judged_only_by_what_was_trained_without_its_study(place, capsys):
    report = asked(place, "--role", "report", "--checkpoint")
    assert main([*report, f"m={place}/model"]) == 0
    assert "no model trained without x" in capsys.readouterr().err
    assert {row.model for row in read_rows(place / "out" / "rows.json")} == {
        "PCA-50", "variable genes + PCA-20",
    }  # fmt: skip
    assert main([*report, f"m/without-x={place}/model"]) == 0
    assert "m" in {row.model for row in read_rows(place / "out" / "rows.json")}


def test_a_corpus_that_is_too_small_says_so(place, capsys):
    write_made_up_corpus(place / "corpus")
    assert main(asked(place, "--corpus", f"c={place}/corpus")) == 2
    assert "cells are too few for 150 components" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mini={}", ("mini", 0, "")),
        ("mini.3={}", ("mini", 3, "")),
        ("mini v1.2={}", ("mini v1", 2, "")),
        ("a (b).4/without-zheng={}", ("a (b)", 4, "zheng")),
    ],
)
def test_a_model_is_named_with_seed_and_study(tmp_path, text, expected):
    assert _parsed(text.format(tmp_path), "--checkpoint") == (*expected, tmp_path)


@pytest.mark.parametrize("wrong", ["model", "=x", "m=nowhere", "m/withoutx=."])
def test_what_names_no_model_is_refused(place, wrong, capsys):
    assert main(asked(place, "--checkpoint", wrong)) == 2
    assert "--checkpoint" in capsys.readouterr().err


def test_an_unknown_set_is_refused(place, capsys):
    assert main(asked(place, "--only", "two")) == 2
    assert "no development set 'two'" in capsys.readouterr().err


def test_rare_types_and_cells_without_a_type_are_left_out(place):
    found = anndata.read_h5ad(place / "a.h5ad")
    types = found.obs["kind"].astype(str).to_numpy(dtype=object)
    types[:4] = "rare"
    types[4:9] = None
    types[9:14] = "nan"
    found.obs["kind"] = types
    found.write_h5ad(place / "a.h5ad")
    chosen = read_sets(place / "sets.yaml")[0]
    assert set(read_labelled(chosen, place).types) == {"type0", "type1", "type2"}
    assert len(read_labelled(chosen, place).types) == 70 - 14


def test_labels_can_be_joined(place):
    one = JudgingSet("one", "report", "a.h5ad", "kind", rename={"type0": "type1"})
    assert set(read_labelled(one, place).types) == {"type1", "type2"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"role": "training"}, "role must be"),
        ({"path": "/a.h5ad"}, "must be relative"),
        ({"path": "../a.h5ad"}, "must be relative"),
        ({"normalisation": "tpm"}, "normalisation must be"),
        ({"lables": "kind"}, "no setting 'lables'"),
        ({"labels": None}, "lacks labels"),
    ],
)
def test_a_wrong_set_is_refused(place, change, words):
    values = {"role": "development", "path": "a.h5ad", "labels": "kind", **change}
    values = {name: value for name, value in values.items() if value is not None}
    (place / "sets.yaml").write_text(yaml.safe_dump({"one": values}))
    with pytest.raises(ConfigError, match=words):
        read_sets(place / "sets.yaml")


@pytest.mark.parametrize("text", ["[1, 2]", "a: 3", "a: [", "\x00"])
def test_what_is_not_a_file_of_sets_is_refused(place, text):
    (place / "sets.yaml").write_text(text)
    with pytest.raises(ConfigError):
        read_sets(place / "sets.yaml")


@pytest.mark.parametrize(
    "change", [{"path": "c.h5ad"}, {"sha256": "0" * 64}, {"labels": "no"}, {"batch": "no"}]
)
def test_a_set_that_is_not_what_it_says_is_refused(place, change):
    chosen = JudgingSet(
        **{"name": "a", "role": "report", "path": "a.h5ad", "labels": "kind", **change}
    )
    with pytest.raises(InputError):
        read_labelled(chosen, place)


def test_raw_and_logged_cells_have_the_same_components():
    raw = cells()
    counts = raw.adata.X
    logged = anndata.AnnData(np.log1p(counts / counts.sum(1, keepdims=True) * 1e4))
    other = LabelledCells(raw.described, logged, raw.types, raw.batches)
    np.testing.assert_allclose(pca_50(raw), pca_50(other), atol=1e-3)
    assert variable_pca_20(raw).shape == (60, 20)


def test_a_permuted_embedding_holds_the_same_vectors():
    values = pca_50(cells())
    assert sorted(map(tuple, permuted(values))) == sorted(map(tuple, values))


def test_batches_are_measured_where_there_are_any():
    embedding = pca_50(cells())
    with_batches = {found.measure for found in measure(embedding, cells(), draws=10)}
    without = {found.measure for found in measure(embedding, cells(batches=False), draws=10)}
    assert with_batches - without == {"cilisi", "bras"}


def test_vectors_are_centred_on_the_target():
    np.testing.assert_allclose(centred(np.array([[1.0, 5.0], [3.0, 5.0]])), [[-1, 0], [1, 0]])


def test_untrained_weights_and_gene_vectors_are_embeddings_too(place):
    checkpoint, target = Checkpoint(place / "model"), cells()
    trained, untrained = checkpoint.embed(target), checkpoint.embed_untrained(target)
    assert trained.shape == untrained.shape == (60, 8)
    assert not np.allclose(trained, untrained)
    assert checkpoint.embed_gene_vectors(target).shape == (60, 8)


def row(model, data, value, measure="macro_f1", seed=0, *, around=False):
    return JudgedRow(data, model, seed, around, measure, value, None, None, 100)


def judged(ours, mixing=0.6):
    others = ("PCA-50", "variable genes + PCA-20", "50 components", "150 components")
    rows = [row(name, data, 0.8) for name in others for data in ("a", "b")]
    rows += [row("m", data, value) for data, value in zip("ab", ours, strict=True)]
    for measure_name in ("cilisi", "bras"):
        rows += [row("PCA-50", "a", 0.5, measure_name), row("m", "a", mixing, measure_name)]
    return rows


@pytest.mark.parametrize(
    ("ours", "mixing", "met"),
    [
        ((0.85, 0.80), 0.6, [True, True, True, True]),
        ((0.79, 0.80), 0.6, [False, True, False, False]),
        ((0.90, 0.75), 0.6, [True, False, True, True]),
        ((0.85, 0.80), 0.4, [True, True, False, False]),
    ],
)
def test_bars_are_met_or_missed(ours, mixing, met):
    assert [bar.met for bar in bars(judged(ours, mixing), "m", centred=False)] == met


def test_seeds_are_averaged_before_sets():
    rows = [row("m", "a", 0.2), row("m", "a", 0.4, seed=1), row("m", "b", 0.9)]
    assert averaged(rows, centred=False).loc["m", "mean"] == pytest.approx(0.6)


def test_rows_come_back_as_they_were_written(tmp_path):
    rows = [row("m", "a", 0.25), row("m", "b", float("nan"))]
    write_rows(tmp_path / "rows.json", rows)
    found = read_rows(tmp_path / "rows.json")
    assert found[0] == rows[0]
    assert np.isnan(found[1].value)
    assert len(json.loads((tmp_path / "rows.json").read_text())) == 2
    (tmp_path / "rows.json").write_text("[{}]")
    with pytest.raises(InputError):
        read_rows(tmp_path / "rows.json")


def test_a_card_says_what_was_trained_on_and_how_it_was_judged(place):
    write_made_up_corpus(place / "corpus")
    known = {"licence": "MIT", "study": "Zheng 2017", "tissue": "skin"}
    manifest = [DatasetEntry("a", location="a", **known), DatasetEntry("b", location="b")]
    Manifest(tuple(manifest), place).write(place / "corpus.tsv")
    rows = [*judged((0.85, 0.8)), row("m, untrained", "a", 0.3)]
    rows += [replace(one, centred=True) for one in rows]
    write_rows(place / "rows.json", rows)
    sets = {
        name: {"role": "report", "path": "a.h5ad", "labels": "kind", "trained_without": without}
        for name, without in (("a", ""), ("b", "zheng"))
    }
    (place / "sets.yaml").write_text(yaml.safe_dump(sets))
    words = ["bench", "card", f"{place}/model", "--corpus", f"{place}/corpus"]
    words += ["--manifest", f"{place}/corpus.tsv", "--sets", f"{place}/sets.yaml"]
    words += ["--rows", f"{place}/rows.json", "--model", "m", "--name", "M", "--visits", "99"]
    assert main(words) == 0
    digest = read_checkpoint_info(place / "model").digest
    card = read_card(place / "model", checkpoint=digest)
    assert card is not None
    assert [(one.study, one.licence, one.cells) for one in card.sources] == [
        ("Zheng 2017", "MIT", 57), ("not stated", "not stated", 47),
    ]  # fmt: skip
    scores = {score.data: score for score in card.scores if score.measure == "macro-F1 of types"}
    assert scores["a"].value == 0.85
    assert scores["b (model trained without zheng)"].value == 0.8
    assert scores["mean"].value == pytest.approx(0.825)
    assert scores["mean"].beside["PCA-50"] == 0.8
    assert "m, untrained" not in scores["a"].beside
    assert any(finding.startswith("met: ") for finding in card.findings)
    page = place / "page.md"
    page.write_text(
        "# P\n<!-- judged bars -->\nold\n<!-- end -->\n<!-- judged report -->\n<!-- end -->\n"
    )
    assert main([*words, "--page", str(page)]) == 0
    text = page.read_text()
    assert "**met** (vectors as they are): macro-F1 averaged" in text
    assert "| m | 0 | 0.850 | 0.800 | 0.825 |" in text
    assert "old" not in text
    assert main([*words, "--page", str(page)]) == 0
    assert page.read_text() == text
    page.write_text("<!-- judged nothing -->\n<!-- end -->\n")
    assert main([*words, "--page", str(page)]) == 2


def test_the_shipped_model_is_the_judged_one_where_it_does_not_know_the_study(place):
    write_made_up_corpus(place / "corpus")
    Manifest((DatasetEntry("a", location="a", study="S 2020"),), place).write(place / "m.tsv")
    sets = [JudgingSet("a", "report", "a.h5ad", "kind", trained_without="zheng")]
    card = make_card(
        CardFacts("M", "m", 9),
        checkpoint=place / "model",
        corpus=place / "corpus",
        manifest=place / "m.tsv",
        rows=judged((0.85, 0.8)),
        sets=sets,
    )
    assert {score.data for score in card.scores} == {"a", "b", "mean"}


def test_a_card_needs_what_it_is_made_of(capsys):
    parser = argparse.ArgumentParser()
    CardCommand().add_arguments(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["model"])
    said = capsys.readouterr().err
    assert all(name in said for name in ("--corpus", "--manifest", "--sets", "--rows", "--visits"))
