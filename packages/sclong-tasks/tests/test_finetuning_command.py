"""``sclong finetune`` and ``sclong predict`` on files."""

import anndata
import numpy as np
import pandas as pd
import pytest

from sclong_core.checkpoint_names import packaged_checkpoint
from sclong_core.cli.main import main
from sclong_core.manifest import read_checkpoint_info
from sclong_core.vocabulary import GeneVocabulary
from sclong_tasks.finetuning import prediction, training

CENTRES = np.random.default_rng(1).standard_normal((3, 128))


def file_of(path, count, *, seed, digest=None, **obs):
    """Cells that hold vectors of the packaged model, so that nothing is embedded."""
    generator = np.random.default_rng(seed)
    codes = generator.integers(3, size=count)
    ids = GeneVocabulary.read(packaged_checkpoint() / "vocabulary.tsv").ids[:4]
    found = anndata.AnnData(np.ones((count, 4), dtype=np.float32))
    found.obs_names = [f"cell {number}" for number in range(count)]
    found.var_names = list(ids)
    found.obs["cell_type"] = pd.Categorical([f"T/type {code}" for code in codes])
    found.obs["donor"] = [f"d{number % 5}" for number in range(count)]
    for name, value in obs.items():
        found.obs[name] = value
    found.obsm["X_sclong"] = CENTRES[codes] + 0.4 * generator.standard_normal((count, 128))
    made_by = digest or read_checkpoint_info(packaged_checkpoint()).digest
    found.uns["sclong"] = {"X_sclong": {"checkpoint": {"digest": made_by}, "pool": "cell"}}
    found.write_h5ad(path)
    return str(path)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier")
    known = file_of(folder / "known.h5ad", 300, seed=1)
    words = ["finetune", known, "--label", "cell_type", "--group", "donor", "--epochs", "8"]
    assert main([*words, "-o", str(folder / "types")]) == 0
    return str(folder / "types")


def test_what_is_trained_is_scored_beside_chance(tmp_path, capsys):
    known = file_of(tmp_path / "known.h5ad", 300, seed=1)
    words = ["finetune", known, "--label", "cell_type", "--group", "donor", "--epochs", "8"]
    assert main([*words, "-o", f"{tmp_path}/types"]) == 0
    out, err = capsys.readouterr()
    for word in ("macro-F1", "commonest label", "permuted", "more than chance", "held out: donor"):
        assert word in " ".join(out.split())  # lines are wrapped at the width of the terminal
    assert "was made by this model and is used" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["known.h5ad", "types"]


def test_labels_go_into_a_copy_with_every_probability(model, tmp_path, capsys):
    new = file_of(tmp_path / "new.h5ad", 60, seed=2)
    words = ["predict", new, "--model", model, "--truth", "cell_type"]
    assert main([*words, "-o", f"{tmp_path}/out.h5ad"]) == 0
    found = anndata.read_h5ad(tmp_path / "out.h5ad")
    assert (found.obs["predicted_label"].astype(str) == found.obs["cell_type"]).mean() > 0.9
    each = found.obsm["predicted_probabilities"]
    assert list(each.columns) == ["T_type 0", "T_type 1", "T_type 2"]
    np.testing.assert_allclose(each.sum(axis=1), 1)
    record = found.uns["sclong_prediction"]
    assert list(record["labels"]) == ["T/type 0", "T/type 1", "T/type 2"]
    assert record["trained_on"] == "known.h5ad"
    assert record["agreement"]["macro_f1"] > 0.9
    assert "more than chance" in capsys.readouterr().out
    assert "predicted_label" not in anndata.read_h5ad(new).obs


def test_a_table_has_a_column_for_each_label_and_no_formula(model, tmp_path):
    new = file_of(tmp_path / "new.h5ad", 40, seed=2)
    assert main(["predict", new, "--model", model, "-o", f"{tmp_path}/out.tsv"]) == 0
    table = pd.read_csv(tmp_path / "out.tsv", sep="\t")
    assert len(table) == 40
    assert list(table.columns[-3:]) == [f"probability_T/type {code}" for code in range(3)]
    np.testing.assert_allclose(table.iloc[:, -3:].sum(axis=1), 1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-o", "{tmp}/out.txt"], "must end in"),
        (["-o", "{tmp}/new.h5ad"], "is the input"),
        (["-o", "{tmp}/new.h5ad", "--overwrite"], "is the input"),
        (["--coverage", "1.5"], "--coverage"),
        (["--false-unknown", "0"], "--false-unknown"),
        (["--batch-size", "0"], "--batch-size"),
        (["--truth", "none"], "--truth"),
        (["--model", "{tmp}"], "not a classifier"),
        (["--model", "{tmp}/absent"], "not a classifier"),
        (["--checkpoint", "{tmp}"], ""),
    ],
)
def test_what_cannot_be_predicted_is_one_line(model, tmp_path, capsys, words, message):
    new = file_of(tmp_path / "new.h5ad", 40, seed=2)
    asked = ["-o", f"{tmp_path}/out.h5ad", *(w.replace("{tmp}", str(tmp_path)) for w in words)]
    assert main(["predict", new, "--model", model, *asked]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.strip().splitlines()[-1].startswith("error: ")
    assert [path.name for path in tmp_path.iterdir()] == ["new.h5ad"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--label", "none"], "it has cell_type"),
        (["--group", "none"], "--group"),
        (["--group", "cell_type"], "two columns"),
        (["--epochs", "0"], "start at 1"),
        (["--learning-rate", "nan"], "learning_rate"),
        (["--seed", "-1"], "negative"),
        (["-o", "{tmp}/out.h5ad"], "is a folder"),
        (["-o", "{tmp}"], "already exists"),
        (["-o", "{tmp}", "--overwrite"], "not a classifier"),
    ],
)
def test_what_cannot_be_trained_is_one_line(tmp_path, capsys, words, message):
    known = file_of(tmp_path / "known.h5ad", 60, seed=2)
    asked = ["--label", "cell_type", "-o", f"{tmp_path}/types"]
    asked += [word.replace("{tmp}", str(tmp_path)) for word in words]
    assert main(["finetune", known, *asked]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.strip().splitlines()[-1].startswith("error: ")
    assert [path.name for path in tmp_path.iterdir()] == ["known.h5ad"]


def test_an_earlier_prediction_is_kept_unless_it_may_be_replaced(model, tmp_path, capsys):
    new = file_of(tmp_path / "new.h5ad", 40, seed=2, predicted_label="mine")
    words = ["predict", new, "--model", model, "-o", f"{tmp_path}/out.h5ad"]
    assert main(words) == 2
    assert "already holds predicted_label" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0


def test_true_labels_in_other_words_are_told_so(model, tmp_path, capsys):
    new = file_of(tmp_path / "new.h5ad", 40, seed=2, mine=["x", "y"] * 20)
    words = ["--truth", "mine", "-o", f"{tmp_path}/out.csv"]
    assert main(["predict", new, "--model", model, *words]) == 0
    out, err = capsys.readouterr()
    assert "how labels are spelled" in out
    assert "40 cells have a true label that was not learned" in err


def test_cells_far_from_all_labels_are_warned_of(model, tmp_path, capsys):
    new = anndata.read_h5ad(file_of(tmp_path / "new.h5ad", 60, seed=2))
    new.obsm["X_sclong"] = np.random.default_rng(0).standard_normal((60, 128))
    new.write_h5ad(tmp_path / "new.h5ad")
    words = ["--model", model, "-o", f"{tmp_path}/out.h5ad"]
    assert main(["predict", str(tmp_path / "new.h5ad"), *words]) == 0
    assert "unlike those trained on" in capsys.readouterr().err
    assert anndata.read_h5ad(tmp_path / "out.h5ad").obs["predicted_unknown"].mean() > 0.5


def test_vectors_of_another_model_are_not_used_and_unreadable_cells_refused(
    model, tmp_path, capsys
):
    new = file_of(tmp_path / "new.h5ad", 40, seed=2, digest="b" * 64)
    assert main(["predict", new, "--model", model, "-o", f"{tmp_path}/out.h5ad"]) == 2
    error = capsys.readouterr().err
    assert "embedding 40 cells" in error
    assert "give raw counts" in error
    assert not (tmp_path / "out.h5ad").exists()


def test_vectors_that_were_read_in_another_way_are_not_used(model, tmp_path, capsys):
    new = file_of(tmp_path / "new.h5ad", 40, seed=2)
    words = ["predict", new, "--model", model, "-o", f"{tmp_path}/out.tsv"]
    assert main([*words, "--matrix", "counts"]) == 2
    error = capsys.readouterr().err
    assert "was not made with matrix=counts: it is not used" in error
    assert "new.h5ad has no matrix 'counts'" in error
    cells = anndata.read_h5ad(new)
    cells.uns["sclong"]["X_sclong"]["work"] = {"matrix": "counts"}
    cells.write_h5ad(new)
    assert main([*words, "--matrix", "counts", "--allow-poor-match"]) == 0
    assert main([*words, "--matrix", "counts", "--duplicates", "sum", "--overwrite"]) == 2
    known = file_of(tmp_path / "known.h5ad", 60, seed=1)
    words = ["finetune", known, "--label", "cell_type", "--organism", "mouse"]
    assert main([*words, "-o", f"{tmp_path}/types"]) == 2
    assert "organism=mouse" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--batch-size", "0"], ["--device", "nope"]])
def test_what_computes_is_checked_though_nothing_is_embedded(model, tmp_path, capsys, option):
    new, known = (file_of(tmp_path / f"{seed}.h5ad", 60, seed=seed) for seed in (2, 3))
    learnt = ["finetune", known, "--label", "cell_type", "-o", f"{tmp_path}/types"]
    labelled = ["annotate", new, "--reference", known, "--label", "cell_type"]
    for words in (
        learnt,
        ["predict", new, "--model", model, "-o", f"{tmp_path}/a.tsv"],
        [*labelled, "-o", f"{tmp_path}/b.tsv"],
    ):
        assert main([*words, *option]) == 2
        assert option[1] in capsys.readouterr().err.splitlines()[-1]
    assert main([*labelled, "-o", f"{tmp_path}/b.tsv", "--seed", "-1"]) == 2
    assert "the seed must not be negative" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["finetune", "predict"])
def test_an_interruption_leaves_nothing_half_written(model, tmp_path, monkeypatch, command):
    cells = file_of(tmp_path / "cells.h5ad", 100, seed=2)

    def stopped(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "score", stopped)
    monkeypatch.setattr(prediction, "write_prediction", stopped)
    words = {
        "finetune": ["--label", "cell_type", "--epochs", "1", "-o", f"{tmp_path}/types"],
        "predict": ["--model", model, "-o", f"{tmp_path}/out.h5ad"],
    }[command]
    assert main([command, cells, *words]) != 0
    assert [path.name for path in tmp_path.iterdir()] == ["cells.h5ad"]
