"""Labels from a reference: what is told, what is promised, what is refused."""

import json

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from sclong_core.errors import ConfigError, InputError
from sclong_tasks.annotation import Reference, annotate
from sclong_tasks.annotation.agreement import check_reference, compare_labels
from sclong_tasks.annotation.transfer import NEIGHBOURS, vote

CENTRES = np.random.default_rng(7).standard_normal((5, 12))


def cells(count, labels=4, *, seed=0, spread=0.9):
    generator = np.random.default_rng(seed)
    codes = generator.integers(labels, size=count)
    vectors = CENTRES[codes] + spread * generator.standard_normal((count, CENTRES.shape[1]))
    return vectors, np.array([f"type {code}" for code in codes])


@pytest.fixture
def reference():
    return Reference.fit(*cells(1500), encoder="digest cell", source="reference.h5ad")


@pytest.mark.parametrize("coverage", [0.8, 0.95])
def test_the_true_label_is_in_the_set_as_often_as_promised(coverage):
    held = []
    for seed in range(20):
        found_in = Reference.fit(*cells(400, seed=seed), encoder="", seed=seed)
        vectors, truth = cells(400, seed=100 + seed)
        held.append(
            compare_labels(annotate(vectors, found_in, coverage=coverage), truth, found_in).covered
        )
    assert np.mean(held) >= coverage - 0.01
    assert np.mean(held) <= coverage + 0.15  # and not by giving every label to every cell


def test_probabilities_are_those_of_weighted_neighbours(reference):
    vectors, _ = cells(200, seed=3)

    def weights(distances):
        return np.exp(-((distances / distances.max(1, keepdims=True)) ** 2))

    voters = ~reference.calibrates
    oracle = KNeighborsClassifier(NEIGHBOURS, metric="cosine", weights=weights)
    oracle.fit(reference.vectors[voters], reference.codes[voters])
    centred = vectors - reference.centre
    unit = (centred / np.linalg.norm(centred, axis=1, keepdims=True)).astype(np.float32)
    np.testing.assert_allclose(
        annotate(vectors, reference).shares, oracle.predict_proba(unit), atol=1e-4
    )


def test_cells_of_a_type_that_the_reference_lacks_are_unknown(reference):
    vectors, _ = cells(300, seed=5)
    foreign = -3 * CENTRES[:4].mean(0) + 0.3 * np.random.default_rng(1).standard_normal((100, 12))
    truth = np.array(["type 0"] * 300 + ["another"] * 100)
    found = annotate(np.concatenate([vectors, foreign]), reference)
    agreement = compare_labels(found, truth, reference)
    assert agreement.foreign == 100
    assert agreement.called_unknown > 0.9
    assert agreement.auroc_unknown > 0.95
    assert found.unknown[:300].mean() < 0.1
    table = found.table()
    assert set(table["label"][table["unknown"]]) == {"unknown"}


def test_a_cell_is_told_the_same_in_any_company(reference):
    vectors, _ = cells(50, seed=9)
    together = annotate(vectors, reference, allow_shift=False)
    alone = annotate(vectors[17:18], reference, allow_shift=False)
    np.testing.assert_allclose(alone.shares[0], together.shares[17], atol=1e-6)
    assert alone.familiarity[0] == together.familiarity[17]
    assert alone.table()["label"][0] == together.table()["label"][17]


def test_a_study_that_lies_farther_away_is_not_all_unknown(reference):
    vectors, truth = cells(400, seed=6)
    noise = np.random.default_rng(3).standard_normal(vectors.shape)
    farther = vectors + 1.2 * noise
    strict = annotate(farther, reference, allow_shift=False)
    found = annotate(farther, reference)
    assert found.shift > 1.2
    assert found.unknown.mean() < strict.unknown.mean() / 2
    assert found.unknown.mean() < 0.15
    assert (found.best == truth).mean() == (strict.best == truth).mean()


def test_blocks_of_queries_do_not_matter(reference, monkeypatch):
    vectors, _ = cells(70, seed=2)
    whole = vote(np.float32(vectors), reference)
    monkeypatch.setattr("sclong_tasks.annotation.transfer._AT_ONCE", 9 * 1200)
    np.testing.assert_allclose(
        vote(np.float32(vectors), reference).shares_ql, whole.shares_ql, atol=1e-6
    )


def test_labels_without_meaning_are_not_told_better_than_chance():
    vectors, truth = cells(1000)
    shuffled = np.random.default_rng(0).permutation(truth)
    found = check_reference(Reference.fit(vectors, shuffled, encoder=""), coverage=0.95)
    assert found.accuracy == pytest.approx(found.chance, abs=0.1)
    assert check_reference(Reference.fit(vectors, truth, encoder=""), coverage=0.95).accuracy > 0.8


def test_a_reference_is_kept_and_read(reference, tmp_path):
    reference.save(tmp_path / "kept")
    again = Reference.load(tmp_path / "kept")
    vectors, _ = cells(30, seed=4)
    assert annotate(vectors, again).table().equals(annotate(vectors, reference).table())
    assert (again.encoder, again.source) == ("digest cell", "reference.h5ad")
    with pytest.raises(InputError, match="exists"):
        reference.save(tmp_path / "kept")


def test_cells_without_a_label_are_left_out(caplog):
    vectors, truth = cells(200)
    truth[:50] = ""
    with caplog.at_level("INFO"):
        found = Reference.fit(vectors, truth, encoder="")
    assert len(found.codes) == 150
    assert "50 cells without a label" in caplog.text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v, t: (v[:30], t[:30]), "20 are needed"),
        (lambda v, t: (v, np.full(len(t), "one")), "must be two"),
        (lambda v, t: (v * 0, t), "all alike"),
        (lambda v, t: (np.where(v > 2, np.nan, v), t), "not finite"),
        (lambda v, t: (v[:, 0], t), "no table"),
        (lambda v, t: (v, t[:-1]), "do not belong together"),
    ],
)
def test_what_is_no_reference_is_refused(change, words):
    with pytest.raises(InputError, match=words):
        Reference.fit(*change(*cells(200)), encoder="")


def test_impossible_questions_are_refused(reference):
    vectors, _ = cells(10)
    with pytest.raises(InputError, match="one model"):
        annotate(vectors[:, :5], reference)
    with pytest.raises(ConfigError, match="coverage"):
        annotate(vectors, reference, coverage=1.0)
    with pytest.raises(ConfigError, match="neighbours"):
        annotate(vectors, reference, neighbours=0)


def damage_cells(folder):
    (folder / "cells.npz").write_bytes((folder / "cells.npz").read_bytes()[:-50])


def other_format(folder):
    facts = json.loads((folder / "reference.json").read_text())
    (folder / "reference.json").write_text(json.dumps(facts | {"format": 99}))


def no_labels(folder):
    facts = json.loads((folder / "reference.json").read_text())
    del facts["labels"]
    (folder / "reference.json").write_text(json.dumps(facts))


def fewer_labels(folder):
    facts = json.loads((folder / "reference.json").read_text())
    (folder / "reference.json").write_text(json.dumps(facts | {"labels": ["type 0"]}))


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (damage_cells, "checksum"),
        (other_format, "another version"),
        (no_labels, "damaged"),
        (fewer_labels, "do not belong together"),
        (lambda folder: (folder / "cells.npz").unlink(), "no reference"),
    ],
)
def test_a_damaged_reference_is_refused(reference, tmp_path, harm, words):
    reference.save(tmp_path / "kept")
    harm(tmp_path / "kept")
    with pytest.raises(InputError, match=words):
        Reference.load(tmp_path / "kept")
