"""Metrics of chemical perturbation beside scipy, scikit-learn and the plain definition."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import mean_squared_error

from sclong_core.errors import ConfigError
from sclong_tasks.chemical_perturbation.metrics import (
    measure,
    row_pearson,
    row_precision,
    row_spearman,
)

ROOT = Path(__file__).parents[3]
ROWS, GENES, TOP = 9, 300, 100


@pytest.fixture
def profiles():
    generator = np.random.default_rng(0)
    truth = generator.standard_t(3, size=(ROWS, GENES))
    return truth, 0.4 * truth + generator.normal(size=truth.shape)


def found(truth, predicted, **changes):
    units = np.arange(len(truth)) // 3
    options = {"units": units, "unit": "compound", "top": TOP, "draws": 20} | changes
    mean = options.pop("mean_g", np.zeros(truth.shape[1]))
    return {one.name: one for one in measure(truth, predicted, mean_g=mean, **options)}


def test_metrics_are_those_of_the_original(profiles):
    truth, predicted = profiles
    metrics = found(truth, predicted)
    pairs = list(zip(truth, predicted, strict=True))
    assert metrics["rmse"].value == pytest.approx(np.sqrt(mean_squared_error(truth, predicted)))
    assert metrics["pearson"].value == pytest.approx(np.mean([pearsonr(*p)[0] for p in pairs]))
    assert metrics["spearman"].value == pytest.approx(np.mean([spearmanr(*p)[0] for p in pairs]))
    for name, sign in (("pos", 1), ("neg", -1)):
        for size in (10, 20, 50, 100):
            shared = [
                len(set(np.argsort(-sign * t)[:100]) & set(np.argsort(-sign * p)[:size])) / size
                for t, p in pairs
            ]
            assert metrics[f"{name}_p_at_{size}"].value == pytest.approx(np.mean(shared))
    assert {one.unit for one in metrics.values()} == {"compound"}
    assert metrics["rmse"].low < metrics["rmse"].value < metrics["rmse"].high
    assert not metrics["rmse"].higher_is_better


def test_perfect_predictions_are_perfect(profiles):
    metrics = found(profiles[0], profiles[0])
    assert metrics.pop("rmse").value == 0
    np.testing.assert_allclose([one.value for one in metrics.values()], 1)


def test_no_change_is_told_from_nothing_by_no_metric(profiles):
    metrics = found(profiles[0], np.zeros_like(profiles[0]))
    assert np.isnan(metrics["pearson"].value)
    assert np.isnan(metrics["spearman"].value)
    assert metrics["pos_p_at_100"].value == pytest.approx(100 / GENES)


def test_the_mean_profile_knows_nothing_beyond_itself(profiles):
    mean = profiles[0].mean(0)
    metrics = found(profiles[0], np.tile(mean, (ROWS, 1)), mean_g=mean)
    assert metrics["pearson"].value > 0.1
    assert metrics["pearson_beyond_mean"].value == 0


def test_constant_profiles_count_as_nothing_or_are_left_out(profiles):
    truth, predicted = profiles[0].copy(), profiles[1].copy()
    predicted[0], truth[1] = 2.0, 3.0
    for function in (row_pearson, row_spearman):
        values = function(truth, predicted)
        assert values[0] == 0
        assert np.isnan(values[1])
        assert np.isfinite(values[2:]).all()
    metrics = found(truth, predicted)
    assert metrics["pearson"].n == ROWS - 1
    assert np.isfinite(metrics["pearson"].value)


def test_ties_at_the_edge_give_the_expected_share():
    truth = np.array([[3.0, 2, 1, 0]])
    tied = np.array([[5.0, 1, 1, 1]])
    value = row_precision(truth, tied, top=2, size=2, highest=True)
    assert value == pytest.approx([(1 + 1 / 3) / 2])
    assert row_precision(truth, tied, top=1, size=1, highest=False) == pytest.approx([1 / 3])


def test_fewer_genes_than_extremes_are_refused(profiles):
    with pytest.raises(ConfigError, match="needs more genes than the 50"):
        found(profiles[0][:, :50], profiles[1][:, :50])
