"""Classifiers of cells: what is learned, what is promised, what is refused."""

import json
import logging
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, f1_score

from sclong_core import ScLong
from sclong_core.embedding.inference import vocabulary_of
from sclong_core.errors import ConfigError, InputError
from sclong_core.expression import prepare_cells
from sclong_core.files import read_sealed, write_sealed
from sclong_core.testing import make_tiny_model, synthetic_gene_ids
from sclong_tasks.finetuning import Classifier, FinetuneOptions, finetune, predict
from sclong_tasks.finetuning.classifier import CONFIG_FILE, WEIGHTS_FILE
from sclong_tasks.finetuning.labels import labelled_cells
from sclong_tasks.finetuning.network import CellEncoder, run_encoder
from sclong_tasks.finetuning.prediction import PROBABILITIES, RECORD, column_names
from sclong_tasks.finetuning.scores import balanced_accuracy, macro_f1, score
from tests.support.typed_cells import typed_counts

GENES = 60
FILE = Path("cells.h5ad")
QUICK = FinetuneOptions(epochs=15, patience=4)


def cells(count=150, *, seed=0, **obs):
    counts, kinds = typed_counts(count, GENES, seed=seed)
    found = anndata.AnnData(counts, obs=pd.DataFrame(index=[f"cell{i}" for i in range(count)]))
    found.var_names = synthetic_gene_ids(GENES)
    found.obs["cell_type"] = pd.Categorical(kinds)
    found.obs["donor"] = [f"d{i % 6}" for i in range(count)]
    for name, values in obs.items():
        found.obs[name] = values
    return found


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "base"
    make_tiny_model(genes=GENES).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def trained(base):
    return finetune(cells(), "cell_type", group="donor", checkpoint=base, options=QUICK)


@pytest.mark.parametrize("method", ["head", "lora", "full"])
def test_types_are_learned_kept_and_predicted_for_new_cells(base, tmp_path, method):
    options = FinetuneOptions(method, epochs=25, batch_size=32)
    made = finetune(cells(300), "cell_type", group="donor", checkpoint=base, options=options)
    made.save(tmp_path / "kept")
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == [
        CONFIG_FILE,
        WEIGHTS_FILE,
    ]
    new = cells(200, seed=1)
    predict(new, tmp_path / "kept", checkpoint=base)
    assert (new.obs["predicted_label"].astype(str) == new.obs["cell_type"]).mean() > 0.45
    np.testing.assert_allclose(new.obsm[PROBABILITIES].sum(axis=1), 1)
    assert list(new.obsm[PROBABILITIES].columns) == ["type0", "type1", "type2"]
    assert new.uns[RECORD]["classifier"] == made.digest == Classifier.load(tmp_path / "kept").digest
    assert new.uns[RECORD]["method"] == method
    scores = made.facts["scores"]
    assert scores["macro_f1"]["value"] > scores["commonest_macro_f1"]["value"]
    assert bool(made.tuned) == (method != "head")


def test_tuning_starts_from_the_vectors_that_embedding_gives(base):
    model = ScLong.from_pretrained(base)
    encoder = CellEncoder(model, "mean")
    encoder.tune("lora", 4)
    with prepare_cells(cells(20), vocabulary_of(model), model.config.input) as prepared:
        expression = encoder.read(prepared)
    found = run_encoder(encoder, expression, 7, torch.device("cpu"))
    expected = ScLong.from_pretrained(base).embed(cells(20), pool="mean")
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("pool", ["cell", "components"])
def test_a_tuned_readout_gives_the_vectors_of_its_pool(pool):
    model = ScLong.from_pretrained(device="cpu")
    ids = [model.vocabulary.ids[place] for place in model.require_readout().variable[:GENES]]
    few = cells(8)
    few.var_names = ids
    encoder = CellEncoder(model, pool)
    with prepare_cells(few, model.vocabulary, model.config.input) as prepared:
        found = run_encoder(encoder, encoder.read(prepared), 4, torch.device("cpu"))
    np.testing.assert_allclose(found, model.embed(few, pool=pool), atol=1e-5)


def test_a_tuned_model_leaves_the_checkpoint_as_it_was(base):
    before = ScLong.from_pretrained(base).state_dict()
    options = FinetuneOptions("full", epochs=2, patience=2, learning_rate=0.05)
    made = finetune(cells(60), "cell_type", checkpoint=base, options=options)
    assert made.tuned
    after = ScLong.from_pretrained(base).state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_same_seed_trains_the_same_classifier(base, trained):
    again = finetune(cells(), "cell_type", group="donor", checkpoint=base, options=QUICK)
    other = finetune(cells(), "cell_type", group="donor", checkpoint=base, options=QUICK, seed=1)
    assert again.digest == trained.digest != other.digest


def test_a_cell_is_predicted_the_same_in_any_company(base, trained):
    new = cells(90, seed=5)
    predict(new, trained, checkpoint=base)
    alone = predict(new[7:19].copy(), trained, checkpoint=base, copy=True, batch_size=5)
    together = new.obsm[PROBABILITIES].iloc[7:19]
    np.testing.assert_allclose(alone.obsm[PROBABILITIES], together, atol=1e-5)


def test_vectors_of_the_same_model_are_used_and_new_ones_kept(base, trained, monkeypatch):
    known, calls = cells(), []
    plain = ScLong.embed

    def counted(self, *args, **kwargs):
        calls.append(1)
        return plain(self, *args, **kwargs)

    monkeypatch.setattr(ScLong, "embed", counted)
    finetune(known, "cell_type", checkpoint=base, options=QUICK)
    finetune(known, "donor", checkpoint=base, options=QUICK)
    predict(known, trained, checkpoint=base)
    assert len(calls) == 1
    assert "X_sclong" in known.obsm


def test_labels_that_mean_nothing_do_not_beat_chance(base):
    noise = np.random.default_rng(99).choice(["a", "b", "c"], 300)
    made = finetune(cells(300, noise=noise), "noise", checkpoint=base, options=QUICK)
    scores = made.facts["scores"]
    assert not scores["beats_chance"]
    assert scores["p_value"] > 0.05


def test_held_out_groups_are_in_no_other_part(base):
    found = labelled_cells(cells(), "cell_type", "donor", seed=3, path=FILE)
    parts = [set(found.groups[getattr(found.split, part)]) for part in ("train", "validation")]
    held = set(found.groups[found.split.test])
    assert held
    assert not held & (parts[0] | parts[1])
    assert not parts[0] & parts[1]


def test_of_two_groups_one_is_held_out_whole():
    two = cells(donor=["a", "b"] * 75)
    found = labelled_cells(two, "cell_type", "donor", seed=0, path=FILE)
    assert len(set(found.groups[found.split.test])) == 1
    assert not set(found.groups[found.split.test]) & set(found.groups[found.split.validation])
    assert len(set(found.codes[found.split.validation])) == 3


def test_every_label_is_trained_on_where_groups_allow_it():
    for seed in range(8):
        some = cells(200)
        lone = (some.obs["donor"] == "d2") & (some.obs["cell_type"] == "type1")
        some.obs["fine"] = np.where(lone, "lone", some.obs["cell_type"].astype(str))
        found = labelled_cells(some, "fine", "donor", seed=seed, path=FILE)
        assert "lone" in found.labels
        trained = set(np.asarray(found.labels)[found.codes[found.split.train]])
        assert trained == set(found.labels)


def test_without_groups_every_label_is_in_every_part(caplog):
    with caplog.at_level(logging.WARNING, "sclong"):
        found = labelled_cells(cells(60), "cell_type", None, seed=0, path=FILE)
    for part in ("train", "validation", "test"):
        assert set(found.codes[getattr(found.split, part)]) == {0, 1, 2}
    assert "--group" in caplog.text


@pytest.mark.parametrize(
    ("obs", "label", "group", "message"),
    [
        ({}, "none", None, "it has cell_type"),
        ({}, "cell_type", "none", "--group"),
        ({"one": "a"}, "one", None, "1 labels"),
        ({"empty": np.nan}, "empty", None, "0 labels"),
        ({"empty": ["", "unknown", "nan"] * 50}, "empty", None, "0 labels"),
        ({"each": [str(i) for i in range(150)]}, "each", None, "0 labels"),
        ({"few": ["a"] * 6 + ["b"] * 6 + [""] * 138}, "few", None, "at least 20"),
        ({"lone": "d"}, "cell_type", "lone", "at least two groups"),
        ({}, "donor", "cell_type_of_donor", "no column"),
        ({"ill": [f"s{i % 6}" for i in range(150)]}, "ill", "donor", "occur in more than one"),
    ],
)
def test_labels_that_cannot_be_learned_are_refused(base, obs, label, group, message):
    with pytest.raises(InputError, match=message):
        finetune(cells(**obs), label, group=group, checkpoint=base, options=QUICK)


def test_rare_labels_are_left_out_by_name(base, caplog):
    rare = cells()
    rare.obs["cell_type"] = ["odd"] * 3 + list(rare.obs["cell_type"].astype(str)[3:])
    with caplog.at_level(logging.INFO, "sclong"):
        made = finetune(rare, "cell_type", checkpoint=base, options=QUICK)
    assert "odd" in caplog.text
    assert "odd" not in made.labels


@pytest.mark.parametrize(
    "wrong",
    [
        {"method": "x"}, {"class_weights": "x"}, {"epochs": 0}, {"patience": 0}, {"hidden": -1},
        {"learning_rate": 0}, {"learning_rate": float("nan")}, {"batch_size": 0}, {"lora_rank": 0},
    ],
)  # fmt: skip
def test_impossible_options_are_refused(wrong):
    with pytest.raises(ConfigError):
        FinetuneOptions(**wrong)


def test_another_checkpoint_or_none_is_refused(base, trained, tmp_path):
    make_tiny_model(genes=GENES, seed=9).save_pretrained(tmp_path / "other")
    with pytest.raises(InputError, match="name the right one with --checkpoint"):
        predict(cells(30), trained, checkpoint=str(tmp_path / "other"))
    with pytest.raises(InputError, match="name that folder with --checkpoint"):
        predict(cells(30), trained)


def test_cells_that_the_model_cannot_read_are_refused(base, trained):
    mouse = cells(30)
    mouse.var_names = [f"ENSMUSG{number:011d}" for number in range(GENES)]
    with pytest.raises(InputError):
        predict(mouse, trained, checkpoint=base)
    scaled = cells(30)
    scaled.X = scaled.X - scaled.X.mean(0)
    with pytest.raises(InputError):
        predict(scaled, trained, checkpoint=base)
    assert "predicted_label" not in scaled.obs


@pytest.mark.parametrize("damage", ["weights", "config", "labels", "format", "missing"])
def test_a_damaged_classifier_is_refused(trained, tmp_path, damage):
    folder = tmp_path / "kept"
    trained.save(folder)
    if damage == "weights":
        data = bytearray((folder / WEIGHTS_FILE).read_bytes())
        data[-3] ^= 1
        (folder / WEIGHTS_FILE).write_bytes(data)
    elif damage == "config":
        text = (folder / CONFIG_FILE).read_text().replace("type0", "type9")
        (folder / CONFIG_FILE).write_text(text)
    elif damage == "missing":
        (folder / WEIGHTS_FILE).unlink()
    else:
        config = read_sealed(folder / CONFIG_FILE)
        config[damage] = ["only one"] if damage == "labels" else 99
        write_sealed(folder / CONFIG_FILE, config)
    with pytest.raises(InputError):
        Classifier.load(folder)


def test_a_classifier_is_replaced_when_asked_and_other_folders_never(trained, tmp_path):
    trained.save(tmp_path / "kept")
    with pytest.raises(InputError, match="already exists"):
        trained.save(tmp_path / "kept")
    trained.save(tmp_path / "kept", overwrite=True)
    (tmp_path / "kept" / "thesis.txt").write_text("all of it")
    with pytest.raises(InputError, match="not a classifier"):
        trained.save(tmp_path / "kept", overwrite=True)
    assert (tmp_path / "kept" / "thesis.txt").exists()


def test_its_record_names_labels_checkpoint_split_seed_and_versions(trained, tmp_path):
    trained.save(tmp_path / "kept")
    config = json.loads((tmp_path / "kept" / CONFIG_FILE).read_text())
    assert config["labels"] == ["type0", "type1", "type2"]
    assert len(config["base"]["digest"]) == 64
    assert config["facts"]["seed"] == 0
    assert set(config["facts"]["split"]["cells"]) == {"train", "validation", "test"}
    assert "torch" in config["facts"]["versions"]
    assert "NaN" not in (tmp_path / "kept" / CONFIG_FILE).read_text()


def test_stated_coverage_is_kept_by_cells_like_those_trained_on(base):
    made = finetune(cells(800), "cell_type", checkpoint=base, options=QUICK)
    new = cells(600, seed=11)
    predict(new, made, checkpoint=base, coverage=0.8)
    held = [
        true in told.split("; ")
        for true, told in zip(new.obs["cell_type"], new.obs["predicted_label_set"], strict=True)
    ]
    assert 0.7 < np.mean(held) < 0.92  # 120 cells calibrate
    with pytest.raises(ConfigError):
        predict(new, made, checkpoint=base, coverage=1.0)


def test_balanced_weights_count_labels_alike(base):
    rare = cells(400, seed=2)
    kept = (rare.obs["cell_type"] != "type0") | (np.arange(400) % 12 == 0)
    rare = rare[kept.to_numpy()].copy()
    recalls = {}
    for weights in ("balanced", "none"):
        options = FinetuneOptions(class_weights=weights, epochs=6, patience=6)
        made = finetune(rare, "cell_type", checkpoint=base, options=options)
        new = predict(cells(300, seed=8), made, checkpoint=base, copy=True)
        true = new.obs["cell_type"] == "type0"
        recalls[weights] = (new.obs["predicted_label"][true] == "type0").mean()
    assert recalls["balanced"] >= recalls["none"]


def test_scores_are_those_of_scikit_learn():
    generator = np.random.default_rng(0)
    truth, told = generator.integers(4, size=200), generator.integers(5, size=200)
    expected = f1_score(truth, told, average="macro", labels=np.unique(truth))
    assert macro_f1(truth, told) == pytest.approx(expected)
    np.testing.assert_allclose(
        balanced_accuracy(truth, np.minimum(told, 3)),
        balanced_accuracy_score(truth, np.minimum(told, 3)),
    )


def test_labels_of_groups_are_permuted_as_groups():
    """Six donors, each of one label: knowing the donor is no knowledge of the label."""
    groups = np.repeat([f"d{i}" for i in range(6)], 50)
    truth = np.repeat([0, 1, 0, 1, 0, 1], 50)
    found = score(truth, truth.copy(), 0, groups)
    assert found.p_value > 0.02  # 1 of 20 ways to label six donors, and its mirror image
    assert score(truth, truth.copy(), 0).p_value < 0.01


def test_names_of_columns_hold_no_slash_and_differ():
    assert column_names(("a/b", "a_b", "c")) == ["a_b_", "a_b", "c"]
