"""Labels from a reference: what is told, what is promised, what is refused."""

import hashlib

import anndata
import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neighbors import KNeighborsClassifier

from sclong_core.errors import ConfigError, InputError
from sclong_core.files import read_sealed, write_sealed
from sclong_tasks.annotation import Reference, annotate, annotate_vectors
from sclong_tasks.annotation.agreement import compare_labels
from sclong_tasks.annotation.calibration import Calibration
from sclong_tasks.annotation.cells import reference_of_cells
from sclong_tasks.annotation.neighbours import NEIGHBOURS, Voters
from sclong_tasks.annotation.space import fit_space

CENTRES = np.random.default_rng(7).standard_normal((6, 12))


def cells(count, labels=4, *, seed=0, spread=0.9):
    generator = np.random.default_rng(seed)
    codes = generator.integers(labels, size=count)
    vectors = CENTRES[codes] + spread * generator.standard_normal((count, CENTRES.shape[1]))
    return vectors, np.array([f"type {code}" for code in codes])


@pytest.fixture
def reference():
    return Reference.fit(*cells(1500), encoder="digest cell", source="reference.h5ad")


@pytest.mark.parametrize("labels", [3, 4])
@pytest.mark.parametrize("coverage", [0.8, 0.95])
def test_stated_rates_are_kept_by_cells_like_those_of_the_reference(coverage, labels):
    found = []
    for seed in range(20):
        fitted = Reference.fit(*cells(400, labels, seed=seed, spread=1.6), seed=seed)
        vectors, truth = cells(400, labels, seed=100 + seed, spread=1.6)
        told = annotate_vectors(vectors, fitted, coverage=coverage, false_unknown=1 - coverage)
        found.append(compare_labels(told, truth))
    covered = np.mean([one.covered for one in found])
    unknown = np.mean([one.falsely_unknown for one in found])
    assert coverage - 0.015 <= covered <= coverage + 0.1
    assert 0.5 * (1 - coverage) <= unknown <= 1 - coverage + 0.015
    assert np.mean([one.labels_a_cell for one in found]) < labels - 0.5


@pytest.mark.parametrize("labels", [3, 4])
def test_probabilities_are_those_of_weighted_neighbours(labels):
    reference = Reference.fit(*cells(1500, labels))
    vectors, _ = cells(200, labels, seed=3)

    def weights(distances):
        return np.exp(-((distances / distances.max(1, keepdims=True)) ** 2))

    oracle = KNeighborsClassifier(NEIGHBOURS, metric="cosine", weights=weights)
    oracle.fit(reference.directions, reference.codes)
    expected = oracle.predict_proba(reference.space.place(vectors, "the query"))
    np.testing.assert_allclose(annotate_vectors(vectors, reference).shares, expected, atol=1e-4)


def test_axes_are_those_of_discriminant_analysis():
    vectors, names = cells(4000, 5)
    vectors, codes = np.float32(vectors), np.unique(names, return_inverse=True)[1]
    ours = fit_space(vectors, codes).axes
    oracle = LinearDiscriminantAnalysis(solver="eigen", priors=np.full(5, 0.2)).fit(vectors, codes)
    theirs = oracle.scalings_[:, :4]
    # One space: each spans the other, but for the little that shrinking and weights change.
    projected = theirs @ np.linalg.lstsq(theirs, ours, rcond=None)[0]
    assert np.linalg.norm(projected - ours) < 0.05 * np.linalg.norm(ours)


def test_axes_hold_where_a_number_is_constant_or_repeated():
    vectors, names = cells(600, 4)
    odd = np.hstack([vectors, vectors[:, :2], np.full((600, 1), 3.0)])
    reference = Reference.fit(odd, names)
    told = annotate_vectors(odd, reference)
    assert np.isfinite(told.shares).all()
    assert compare_labels(told, names).accuracy > 0.9


def test_few_labels_are_compared_by_their_vectors_alone():
    assert fit_space(np.float32(cells(300, 3)[0]), np.arange(300) % 3).axes.shape == (12, 0)
    assert fit_space(np.float32(cells(300, 4)[0]), np.arange(300) % 4).axes.shape == (12, 3)


def test_cells_of_a_type_that_the_reference_lacks_are_unknown():
    reference = Reference.fit(*cells(1500, 5, spread=0.4))
    vectors, _ = cells(300, 5, seed=5, spread=0.4)
    foreign = CENTRES[5] + 0.4 * np.random.default_rng(1).standard_normal((100, 12))
    truth = np.array(["type 0"] * 300 + ["another"] * 100)
    found = annotate_vectors(np.concatenate([vectors, foreign]), reference)
    agreement = compare_labels(found, truth)
    assert agreement.foreign == 100
    assert agreement.called_unknown > 0.9
    assert agreement.auroc_unknown > 0.95
    assert found.unknown[:300].mean() < 0.1
    table = found.table()
    assert set(table["label"][table["unknown"]]) == {"unknown"}


def test_scattered_types_are_not_unknown_for_being_scattered():
    generator = np.random.default_rng(0)
    codes = np.arange(2000) % 4
    spread = np.where(codes == 3, 1.4, 0.3)[:, None]
    vectors = 3 * CENTRES[codes] + spread * generator.standard_normal((2000, 12))
    fitted = Reference.fit(vectors[:1000], codes[:1000].astype(str))
    unknown = annotate_vectors(vectors[1000:], fitted).unknown
    assert unknown[codes[1000:] == 3].mean() < 0.2


def test_a_cell_is_told_the_same_in_any_company(reference):
    vectors, _ = cells(3000, seed=9)
    together = annotate_vectors(vectors, reference).table()
    for cut in (slice(17, 18), slice(5, 60), slice(2500, None)):
        alone = annotate_vectors(vectors[cut], reference).table()
        for name in ("label", "nearest_label", "label_set", "unknown"):
            assert list(alone[name]) == list(together[name][cut])
        for name in ("probability", "remoteness"):
            np.testing.assert_allclose(alone[name], together[name][cut], atol=1e-6)


def test_an_aligned_query_forgives_a_shift_and_says_so(reference):
    vectors, truth = cells(400, seed=6)
    moved = vectors + 1.5 * np.random.default_rng(3).standard_normal(12)
    strict, aligned = (annotate_vectors(moved, reference, align=align) for align in (False, True))
    assert compare_labels(aligned, truth).accuracy > compare_labels(strict, truth).accuracy + 0.05
    assert aligned.unknown.mean() < 0.15
    assert (strict.aligned, aligned.aligned) == (False, True)
    with pytest.raises(InputError, match="at least 100"):
        annotate_vectors(moved[:50], reference, align=True)


def test_batches_widen_limits_to_what_a_new_batch_brings():
    def study(batches, seed):
        generator = np.random.default_rng(seed)
        vectors, truth = cells(300 * len(batches), seed=seed, spread=0.5)
        which = np.repeat(batches, 300)
        offsets = 0.8 * np.random.default_rng(50).standard_normal((9, 12))
        return vectors + offsets[which] + 0 * generator.random(), truth, which

    vectors, truth, which = study([0, 1, 2, 3, 4, 5], 0)
    new, new_truth, _ = study([6, 7, 8], 1)
    plain = Reference.fit(vectors, truth)
    aware = Reference.fit(vectors, truth, batches=which)
    blind, seeing = (
        compare_labels(annotate_vectors(new, one), new_truth) for one in (plain, aware)
    )
    assert blind.falsely_unknown > 0.3
    assert seeing.falsely_unknown < 0.2
    assert seeing.covered >= blind.covered


def test_labels_of_one_batch_do_not_spoil_the_others():
    vectors, truth = cells(900)
    which = np.where(truth == "type 3", "only", np.where(np.arange(900) % 2, "a", "b"))
    found = Reference.fit(vectors, truth, batches=which)
    assert found.calibration.accuracy > 0.7
    with pytest.raises(InputError, match="one batch"):
        Reference.fit(vectors, truth, batches=np.full(900, "same"))


def test_progress_counts_every_cell_and_blocks_do_not_matter(reference, monkeypatch):
    vectors, _ = cells(70, seed=2)
    whole = annotate_vectors(vectors, reference).shares
    monkeypatch.setattr("sclong_tasks.annotation.neighbours._AT_ONCE", 9)
    done = []
    np.testing.assert_allclose(
        annotate_vectors(vectors, reference, progress=done.append).shares, whole, atol=1e-6
    )
    assert sum(done) == 70
    assert len(done) == 8


def test_sets_stay_small_where_some_true_labels_get_no_vote():
    def study(seed):
        generator = np.random.default_rng(seed)
        codes = generator.integers(5, size=1500)
        vectors = 2 * CENTRES[codes] + 0.5 * generator.standard_normal((1500, 12))
        # Twenty rare kinds of the first type that nothing sets apart: many get no vote.
        rare = (codes == 0) & (generator.random(1500) < 0.9)
        return vectors, np.where(rare, generator.integers(5, 25, size=1500), codes).astype(str)

    found = []
    for seed in range(5):
        vectors, truth = study(100 + seed)
        told = annotate_vectors(vectors, Reference.fit(*study(seed), seed=seed))
        found.append(compare_labels(told, truth))
    assert np.mean([one.covered for one in found]) > 0.94
    assert np.mean([one.labels_a_cell for one in found]) < 8


def test_voters_do_not_tell_themselves():
    directions = np.float32(np.eye(3)[[0, 0, 1, 1, 2]])
    voters = Voters(directions, np.array([0, 0, 1, 1, 2]), 3, neighbours=1)
    assert voters.vote(directions, themselves=True).distance_q[:4] == pytest.approx(0)
    assert voters.vote(directions, themselves=True).distance_q[4] == pytest.approx(1)


def test_cells_that_are_in_the_reference_are_counted():
    vectors, truth = cells(500)
    reference = Reference.fit(vectors, truth)
    assert annotate_vectors(vectors, reference).repeated == len(reference.codes)
    assert annotate_vectors(cells(500, seed=8)[0], reference).repeated == 0


def test_labels_without_meaning_are_not_told_better_than_chance():
    vectors, truth = cells(2000)
    shuffled = np.random.default_rng(0).permutation(truth)
    found = Reference.fit(vectors, shuffled).calibration
    assert found.accuracy == pytest.approx(found.chance, abs=0.1)
    assert Reference.fit(vectors, truth).calibration.accuracy > 0.8


def test_limits_are_of_the_order_that_conformal_prediction_asks():
    ordered = np.arange(1.0, 100.0)
    known = Calibration(np.ones(1), ordered, ordered, 1.0, 1.0, 1.0)
    assert known.largest_doubt(0.95) == 95
    assert known.largest_remoteness(0.1) == 90
    assert known.largest_doubt(0.995) == np.inf


def test_many_cells_calibrate_no_more_than_is_useful(monkeypatch):
    monkeypatch.setattr("sclong_tasks.annotation.reference.MOST_CALIBRATING", 100)
    found = Reference.fit(*cells(2000))
    assert 98 <= len(found.calibration.doubt) <= 102
    assert len(found.codes) + len(found.calibration.doubt) == 2000


def test_a_reference_is_kept_and_read(reference, tmp_path):
    reference.save(tmp_path / "kept")
    again = Reference.load(tmp_path / "kept")
    vectors, _ = cells(30, seed=4)
    told = annotate_vectors(vectors, reference).table()
    assert annotate_vectors(vectors, again).table().equals(told)
    assert (again.encoder, again.source) == ("digest cell", "reference.h5ad")
    assert again.digest == reference.digest
    with pytest.raises(InputError, match="exists"):
        reference.save(tmp_path / "kept")
    reference.save(tmp_path / "kept", overwrite=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(InputError, match="not a reference"):
        reference.save(tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine" / "thesis.txt").exists()


@pytest.mark.parametrize("word", ["", "nan", "NA", "Unknown", "None"])
def test_cells_without_a_label_are_left_out(caplog, word):
    vectors, truth = cells(200)
    truth = truth.astype(object)
    truth[:50] = word
    with caplog.at_level("INFO"):
        found = Reference.fit(vectors, truth)
    assert found.labels == ("type 0", "type 1", "type 2", "type 3")
    assert len(found.codes) + len(found.calibration.doubt) == 150
    assert "50 cells without a label" in caplog.text
    told = annotate_vectors(vectors, found)
    assert compare_labels(told, truth).cells == 150


def test_rare_labels_vote_and_are_named(caplog):
    vectors, truth = cells(300, 5)
    rare = np.flatnonzero(truth == "type 4")[2:]
    kept = np.setdiff1d(np.arange(300), rare)
    found = Reference.fit(vectors[kept], truth[kept])
    assert "type 4 (2)" in caplog.text
    assert (found.codes == 4).sum() == 2


def test_cells_of_anndata_are_told_in_place_or_in_a_copy(caplog):
    def held(count, seed):
        vectors, truth = cells(count, seed=seed)
        found = anndata.AnnData(np.zeros((count, 1), dtype=np.float32), obs={"type": truth})
        found.obsm["X_sclong"] = vectors
        return found

    labelled, query = held(500, 0), held(40, 1)
    reference = reference_of_cells(labelled, "type")
    copied = annotate(query, reference, copy=True)
    assert list(query.obs) == ["type"]
    assert annotate(query, reference) is None
    assert query.obs.equals(copied.obs)
    assert (copied.obs["sclong_nearest_label"].astype(str) == copied.obs["type"]).mean() > 0.8
    assert copied.uns["sclong_annotation"]["reference_digest"] == reference.digest
    annotate(query, reference, false_unknown=0.9)  # replaces what was there
    assert query.obs["sclong_unknown"].mean() > 0.5
    with pytest.raises(InputError, match="X_pca"):
        annotate(query, reference, key="X_pca")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v, t: (v[:30], t[:30]), "20 are needed"),
        (lambda v, t: (v, np.full(len(t), "one")), "must be two"),
        (lambda v, t: (v * 0, t), "all alike"),
        (lambda v, t: (np.where(v > 2, np.nan, v), t), "not finite"),
        (lambda v, t: (v[:, 0], t), "not a table"),
        (lambda v, t: (v, t[:-1]), "do not belong together"),
        (lambda v, t: (v, np.arange(len(t)).astype(str)), "labels that cells share"),
    ],
)
def test_what_is_no_reference_is_refused(change, words):
    with pytest.raises(InputError, match=words):
        Reference.fit(*change(*cells(200)))


def test_impossible_questions_are_refused(reference):
    vectors, _ = cells(10)
    with pytest.raises(InputError, match="one model"):
        annotate_vectors(vectors[:, :5], reference)
    with pytest.raises(ConfigError, match="coverage"):
        annotate_vectors(vectors, reference, coverage=1.0)
    with pytest.raises(ConfigError, match="false_unknown"):
        annotate_vectors(vectors, reference, false_unknown=0.0)
    with pytest.raises(InputError, match="not finite"):
        annotate_vectors(np.full((10, 12), np.inf), reference)


def damage_cells(folder):
    (folder / "cells.npz").write_bytes((folder / "cells.npz").read_bytes()[:-50])


def rewritten(folder, **changes):
    facts = read_sealed(folder / "reference.json") | changes
    write_sealed(folder / "reference.json", {k: v for k, v in facts.items() if v is not None})


def infinite_limits(folder):
    with np.load(folder / "cells.npz") as found:
        arrays = dict(found)
    arrays["remoteness"][:] = np.inf
    np.savez(folder / "cells.npz", **arrays)
    rewritten(folder, sha256=hashlib.sha256((folder / "cells.npz").read_bytes()).hexdigest())


def edited(folder):
    path = folder / "reference.json"
    path.write_text(path.read_text().replace("type 1", "type 9"))


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (damage_cells, "checksum"),
        (lambda folder: rewritten(folder, format=99), "another version"),
        (lambda folder: rewritten(folder, labels=None), "damaged"),
        (lambda folder: rewritten(folder, labels=["type 0"]), "do not belong together"),
        (infinite_limits, "do not belong together"),
        (edited, "damaged"),
        (lambda folder: (folder / "reference.json").write_text("{"), "damaged"),
        (lambda folder: (folder / "cells.npz").unlink(), "not a reference"),
    ],
)
def test_a_damaged_reference_is_refused(reference, tmp_path, harm, words):
    reference.save(tmp_path / "kept")
    harm(tmp_path / "kept")
    with pytest.raises(InputError, match=words):
        Reference.load(tmp_path / "kept")
