"""Metrics of two classes, mirrored by scikit-learn and torchmetrics."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import average_precision_score, balanced_accuracy_score, roc_auc_score
from torchmetrics.functional.classification import binary_auroc, binary_average_precision

from sclong_tasks.data_files import prepare_data
from sclong_tasks.drug_combination import task
from sclong_tasks.drug_combination.config import CombinationSettings
from sclong_tasks.drug_combination.data import TARGET
from sclong_tasks.drug_combination.example import write_synthetic_files
from sclong_tasks.drug_combination.metrics import units_of_test_rows
from sclong_tasks.metrics.classification import average_precision, balanced_accuracy, within_groups
from sclong_tasks.metrics.delong import auroc


@pytest.fixture(params=["continuous", "ties"])
def scored(request):
    generator = np.random.default_rng(3)
    truth = generator.integers(2, size=400)
    score = 1 / (1 + np.exp(-(truth - 0.5 + generator.normal(0, 1.5, 400))))
    return truth, np.round(score, 1) if request.param == "ties" else score


def _reference_sklearn(truth, score):
    predicted = score >= 0.5
    return (
        roc_auc_score(truth, score),
        average_precision_score(truth, score),
        balanced_accuracy_score(truth, predicted),
    )


def test_agree_with_scikit_learn(scored):
    truth, score = scored
    found = (
        auroc(truth, score).value,
        average_precision(truth, score),
        balanced_accuracy(truth, score >= 0.5),
    )
    assert found == pytest.approx(_reference_sklearn(truth, score), abs=1e-12)


def test_agree_with_torchmetrics(scored):
    truth, score = scored
    given = torch.from_numpy(score), torch.from_numpy(truth)
    assert auroc(truth, score).value == pytest.approx(binary_auroc(*given).item(), abs=1e-6)
    found = average_precision(truth, score)
    assert found == pytest.approx(binary_average_precision(*given).item(), abs=1e-6)


def test_delong_by_hand():
    # Shares of negatives below each positive: 1/2 and 1; of positives above each negative: 1 and
    # 1/2. Both have variance 1/8, so that of the area is 1/8/2 + 1/8/2 = 1/8.
    found = auroc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    assert found.value == pytest.approx(0.75)
    assert found.se == pytest.approx(np.sqrt(0.125))


def test_delong_agrees_with_a_bootstrap(scored):
    truth, score = scored
    generator = np.random.default_rng(0)
    rows = generator.integers(len(truth), size=(2000, len(truth)))
    drawn = [roc_auc_score(truth[r], score[r]) for r in rows]
    assert auroc(truth, score).se == pytest.approx(np.std(drawn, ddof=1), rel=0.07)


def test_what_is_not_defined_is_nan():
    for truth in ([1, 1], [0, 0]):
        assert np.isnan(average_precision(truth, [0.1, 0.2]))
        assert np.isnan(balanced_accuracy(truth, truth))
    assert np.isnan(average_precision([0, 1], [np.nan, 1]))
    assert np.isnan(within_groups([0, 1], [0.1, 0.2], ["a", "b"])[0])


def test_constant_scores_get_what_no_information_gets():
    truth = np.array([0, 1, 1, 0, 1])
    assert auroc(truth, np.ones(5)).value == 0.5
    assert average_precision(truth, np.ones(5)) == pytest.approx(0.6)


def test_within_groups_leaves_out_what_the_group_tells():
    groups = np.repeat(np.arange(20), 10)
    truth = np.tile([0, 1], 100)
    assert within_groups(truth, groups, groups) == (0.5, 20)
    assert within_groups(truth, groups + truth, groups) == (1.0, 20)


def test_rows_of_a_new_drug_are_resampled_together(tmp_path):
    write_synthetic_files(tmp_path / "files")
    prepare_data(task, tmp_path / "data", str(tmp_path / "files"))
    settings = CombinationSettings()
    data = task.load(tmp_path / "data", settings)
    split = task.split(data, scenario="drug", seed=1, settings=settings)
    seen = set(data.compounds[np.concatenate([split.train, split.validation])].ravel())
    assert not set(units_of_test_rows(data, split)) & seen


def test_the_task_gives_intervals_by_rows_and_by_units(tmp_path):
    write_synthetic_files(tmp_path / "files")
    prepare_data(task, tmp_path / "data", str(tmp_path / "files"))
    settings = CombinationSettings(bootstrap_draws=50)
    data = task.load(tmp_path / "data", settings)
    split = task.split(data, scenario="pair", seed=1, settings=settings)
    noise = np.random.default_rng(0).normal(0, 0.4, len(split.test))
    predictions = pd.DataFrame({TARGET: data.synergy[split.test] + noise}, index=split.test)
    found = {m.name: m for m in task.evaluate(data, predictions, split, settings)}
    truth = data.synergy[split.test]
    assert found["auroc"].value == pytest.approx(roc_auc_score(truth, predictions[TARGET]))
    assert found["auroc_units"].value == found["auroc"].value
    assert found["auroc_units"].unit == "drug pair"
    for metric in (found["auroc"], found["auprc"], found["balanced_accuracy"]):
        assert metric.low < metric.value < metric.high
