"""What a run leaves behind, and what another one changes."""

import json
import shutil

import numpy as np
import pytest
from anndata import read_h5ad

from sclong_core.lock import LockedError, locked
from sclong_data.corpus.shards import read_element
from sclong_data.dataset_manifest import DatasetEntry, Manifest
from sclong_data.harmoniser.run import harmonise
from sclong_data.harmoniser.workplace import Workplace
from tests.support.datasets import (
    SMALL_RULES,
    corpus_bytes,
    made_up_dataset,
    made_up_vocabulary,
    write_datasets,
)


def run(manifest, corpus, rules=SMALL_RULES, **settings):
    return harmonise(manifest, corpus, vocabulary=made_up_vocabulary(), rules=rules, **settings)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write_datasets(tmp_path_factory.mktemp("datasets"))


@pytest.fixture(scope="module")
def undisturbed(manifest, tmp_path_factory):
    corpus = tmp_path_factory.mktemp("undisturbed") / "corpus"
    return run(manifest, corpus)


@pytest.fixture
def corpus(undisturbed, tmp_path):
    shutil.copytree(undisturbed.corpus, tmp_path / "corpus")
    return tmp_path / "corpus"


def changed(corpus, before):
    after = corpus_bytes(corpus)
    return {name for name in before.keys() | after if before.get(name) != after.get(name)}


def test_every_cell_is_accounted_for(undisturbed):
    for row in undisturbed.rows:
        cells = row["cells"]
        out = sum(cells["out"].values())
        assert cells["in"] == out + cells["kept"] + cells["duplicates"] == 40
    by_id = {row["dataset"]: row["cells"] for row in undisturbed.rows}
    assert by_id["a"]["out"] == {"empty cell": 1, "cell of few genes": 1}
    assert by_id["b"]["duplicates"] == 10
    assert undisturbed.cells == 38 + 30 + 38


def test_genes_normalisation_and_pairs_are_reported(undisturbed):
    rows = {row["dataset"]: row for row in undisturbed.rows}
    assert [rows[name]["normalisation"] for name in "abc"] == ["raw", "raw", "log1p"]
    assert rows["a"]["genes"]["matched"] == 50
    assert rows["a"]["genes"]["lost"] == 10
    assert rows["c"]["logged_sum"] == pytest.approx(1e4, rel=1e-4)
    pairs = json.loads((undisturbed.corpus / "duplicates.json").read_text())
    assert pairs == [{"kept_in": "a", "left_out_of": "b", "cells": 10}]
    lines = (undisturbed.corpus / "report.tsv").read_text().splitlines()
    assert len(lines) == 4
    assert json.loads((undisturbed.corpus / "datasets" / "a.json").read_text()) == rows["a"]


def test_annotation_is_kept_in_the_names_of_the_schema(undisturbed, manifest):
    obs = read_element(undisturbed.corpus / "shards" / "a.00000.zarr.zip", "obs")
    given = read_h5ad(manifest.folder / "a.h5ad").obs
    rows = obs["row"].to_numpy()
    assert 1 not in rows
    assert obs.index[0] == "a:0"
    assert obs["tissue"].tolist() == given["tissue"].iloc[rows].tolist()
    assert set(obs["is_primary_data"]) <= {"true", "false"}
    assert set(obs["cell_type_ontology_term_id"]) == {"unknown"}


def test_a_second_run_writes_nothing(corpus, manifest):
    times = {path: path.stat().st_mtime_ns for path in corpus.rglob("*") if path.is_file()}
    again = run(manifest, corpus)
    assert again.unchanged
    assert again.shards_made == 0
    assert {path: path.stat().st_mtime_ns for path in times} == times | {
        Workplace(corpus).lock: Workplace(corpus).lock.stat().st_mtime_ns
    }


def test_the_order_of_the_manifest_changes_nothing(undisturbed, manifest, tmp_path):
    run(Manifest(manifest.entries[::-1], manifest.folder), tmp_path / "other")
    assert corpus_bytes(tmp_path / "other") == corpus_bytes(undisturbed.corpus)


def test_a_data_set_added_is_the_only_one_made(undisturbed, manifest, tmp_path):
    some = Manifest(manifest.entries[:2], manifest.folder)
    run(some, tmp_path / "corpus")
    before = corpus_bytes(tmp_path / "corpus")
    added = run(manifest, tmp_path / "corpus")
    assert added.shards_made == 3
    assert corpus_bytes(tmp_path / "corpus") == corpus_bytes(undisturbed.corpus)
    assert {
        name for name in changed(tmp_path / "corpus", before) if name.startswith("shards/")
    } == {f"shards/c.0000{number}.{end}" for number in range(3) for end in ("json", "zarr.zip")}


def test_a_data_set_removed_leaves_the_corpus_and_gives_its_cells_back(corpus, manifest, tmp_path):
    others = Manifest(manifest.entries[1:], manifest.folder)
    result = run(others, corpus)
    assert result.shards_made == 0
    assert result.cells == 40 + 38
    run(others, tmp_path / "fresh")
    assert corpus_bytes(corpus) == corpus_bytes(tmp_path / "fresh")


def test_other_rules_make_all_anew(corpus, manifest, tmp_path):
    rules = {"min_genes_per_dataset": 20, "min_genes_per_cell": 1, "cells_per_shard": 30}
    result = run(manifest, corpus, rules)
    assert result.shards_made == 6
    run(manifest, tmp_path / "fresh", rules)
    assert corpus_bytes(corpus) == corpus_bytes(tmp_path / "fresh")


def test_a_changed_file_is_done_again_and_nothing_else(manifest, tmp_path):
    for entry in manifest:
        shutil.copy(manifest.folder / entry.location, tmp_path / entry.location)
    moved = Manifest(manifest.entries, tmp_path)
    run(moved, tmp_path / "corpus")
    made_up_dataset(40, seed=7).write_h5ad(tmp_path / "b.h5ad")
    assert run(moved, tmp_path / "corpus").shards_made == 3
    run(moved, tmp_path / "fresh")
    assert corpus_bytes(tmp_path / "corpus") == corpus_bytes(tmp_path / "fresh")


def test_files_may_go_once_they_are_harmonised(manifest, tmp_path):
    for entry in manifest:
        shutil.copy(manifest.folder / entry.location, tmp_path / entry.location)
    moved = Manifest(manifest.entries, tmp_path)
    run(moved, tmp_path / "corpus")
    (tmp_path / "a.h5ad").unlink()
    assert run(moved, tmp_path / "corpus").unchanged


@pytest.mark.parametrize(
    "damage",
    [
        lambda corpus: (corpus / "shards" / "a.00001.zarr.zip").unlink(),
        lambda corpus: (corpus / "shards" / "a.00001.json").write_text("{"),
        lambda corpus: (corpus / "corpus.json").unlink(),
        lambda corpus: shutil.rmtree(corpus / ".work"),
        lambda corpus: Workplace(corpus).unit("b.00000").write_text("null"),
        lambda corpus: Workplace(corpus).survey("c").write_bytes(b"\xff"),
        lambda corpus: Workplace(corpus).genes("c").unlink(),
        lambda corpus: Workplace(corpus).sources.write_text("[]"),
        lambda corpus: (corpus / "shards" / ".a.00000.tmp-1.zip").write_text("half"),
    ],
)
def test_whatever_is_missing_is_made_again(corpus, manifest, undisturbed, damage):
    damage(corpus)
    run(manifest, corpus)
    assert corpus_bytes(corpus) == corpus_bytes(undisturbed.corpus)


def test_a_data_set_that_cannot_be_read_does_not_keep_the_others(manifest, tmp_path, undisturbed):
    for entry in manifest:
        shutil.copy(manifest.folder / entry.location, tmp_path / entry.location)
    whole = (tmp_path / "b.h5ad").read_bytes()
    (tmp_path / "b.h5ad").write_bytes(whole[: len(whole) // 2])
    moved = Manifest(manifest.entries, tmp_path)
    result = run(moved, tmp_path / "corpus")
    assert result.failed == ("b",)
    assert "b.h5ad" in result.rows[1]["reason"]
    assert result.cells == 38 + 38
    (tmp_path / "b.h5ad").write_bytes(whole)
    assert run(moved, tmp_path / "corpus").shards_made == 3
    assert corpus_bytes(tmp_path / "corpus") == corpus_bytes(undisturbed.corpus)


@pytest.mark.parametrize("kinds", [["Gene Expression", "odd"], ["Peaks", "Peaks"]])
def test_types_of_features_are_refused_without_an_option_that_is_not_there(
    kinds, manifest, tmp_path
):
    cells = read_h5ad(manifest.folder / "a.h5ad")
    cells.var["feature_types"] = [kinds[number % 2] for number in range(cells.n_vars)]
    cells.write_h5ad(tmp_path / "a.h5ad")
    result = run(Manifest((DatasetEntry("a", location="a.h5ad"),), tmp_path), tmp_path / "corpus")
    assert "feature_types" in result.rows[0]["reason"]
    assert "rename" in result.rows[0]["reason"]
    assert "--feature-types" not in result.rows[0]["reason"]


def test_another_checksum_than_the_manifests_is_refused(manifest, tmp_path):
    entry = DatasetEntry("a", location="a.h5ad", sha256="0" * 64)
    result = run(Manifest((entry,), manifest.folder), tmp_path / "corpus")
    assert result.failed == ("a",)
    assert "the manifest says 000000000000" in result.rows[0]["reason"]


def test_two_runs_in_one_folder_are_refused(corpus, manifest):
    held = locked(Workplace(corpus).lock, "it")
    with held, pytest.raises(LockedError, match=r"corpus in .* process .* on "):
        run(manifest, corpus)


def test_log1p_data_of_another_sum_is_kept_or_rescaled(manifest, tmp_path):
    adata = read_h5ad(manifest.folder / "a.h5ad")
    adata = adata[np.arange(40) > 2].copy()
    adata.write_h5ad(tmp_path / "raw.h5ad")
    totals = np.asarray(adata.X.sum(axis=1))
    adata.X = adata.X.multiply(500 / totals).tocsr().log1p()
    adata.write_h5ad(tmp_path / "logged.h5ad")
    entries = tuple(DatasetEntry(name, location=f"{name}.h5ad") for name in ("logged", "raw"))
    values = {}
    for how in ("keep", "rescale"):
        rules = {**SMALL_RULES.to_dict(), "other_sums": how}
        result = run(Manifest(entries, tmp_path), tmp_path / how, rules)
        assert result.rows[0]["logged_sum"] == pytest.approx(500, rel=1e-4)
        values[how] = [
            read_element(tmp_path / how / "shards" / f"{name}.00000.zarr.zip", "X").toarray()
            for name in ("logged", "raw")
        ]
    np.testing.assert_allclose(*values["rescale"], rtol=1e-5)
    assert np.abs(values["keep"][0] - values["keep"][1]).max() > 0.5
