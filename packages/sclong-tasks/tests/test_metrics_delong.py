import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from sclong_tasks.metrics.delong import auroc, auroc_difference


def reference_variance(truth, *scores):
    """DeLong's covariance as his paper writes it: every pair of rows; of the difference if two."""
    total = []
    for score in scores:
        positive, negative = score[truth == 1], score[truth == 0]
        kernel = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
        total.append(kernel)
    kernel = total[0] - total[1] if len(total) == 2 else total[0]
    m, n = kernel.shape
    return kernel.mean(), kernel.mean(1).var(ddof=1) / m + kernel.mean(0).var(ddof=1) / n


@pytest.fixture
def scored():
    generator = np.random.default_rng(0)
    truth = generator.integers(2, size=300)
    scores = [np.round(truth + generator.normal(0, sd, 300), 1) for sd in (1.0, 1.5)]
    return truth, *scores


def test_area_and_interval_as_delong_wrote_them(scored):
    truth, score, _ = scored
    found = auroc(truth, score)
    value, variance = reference_variance(truth, score)
    assert found.value == pytest.approx(roc_auc_score(truth, score), abs=1e-12)
    assert found.value == pytest.approx(value, abs=1e-12)
    assert found.se**2 == pytest.approx(variance, abs=1e-12)
    assert (found.low, found.high) == pytest.approx(
        stats.norm.interval(0.95, value, np.sqrt(variance)), abs=1e-12
    )


def test_difference_on_the_same_rows(scored):
    truth, first, second = scored
    found = auroc_difference(truth, first, second)
    value, variance = reference_variance(truth, first, second)
    assert found.value == pytest.approx(value, abs=1e-12)
    assert found.se**2 == pytest.approx(variance, abs=1e-12)
    assert found.p_value == pytest.approx(2 * stats.norm.sf(abs(value) / variance**0.5), abs=1e-12)
    turned = auroc_difference(truth, second, first)
    assert turned.value == pytest.approx(-found.value)
    assert turned.p_value == pytest.approx(found.p_value)


def test_what_has_no_answer_is_nan():
    assert np.isnan(auroc([1, 1, 1], [0.1, 0.2, 0.3]).value)
    assert np.isnan(auroc([0, 1, 1], [np.nan, 0.2, 0.3]).value)
    alone = auroc([1, 0, 0], [0.9, 0.2, 0.1])
    assert alone.value == 1
    assert np.isnan(alone.se)
    same = auroc_difference([0, 0, 1, 1], [1, 2, 3, 4], [10, 20, 30, 40])
    assert (same.value, same.se) == (0, 0)
    assert np.isnan(same.p_value)
    with pytest.raises(ValueError, match="0 or 1"):
        auroc([0, 2], [1, 2])


def test_the_interval_covers_and_the_test_keeps_its_rate():
    generator = np.random.default_rng(1)
    true_area = stats.norm.cdf(1 / np.sqrt(2))
    covered, rejected = 0, 0
    for _ in range(400):
        truth = np.repeat([0, 1], [60, 40])
        found = auroc(truth, truth + generator.normal(size=100))
        covered += found.low <= true_area <= found.high
        shared = truth + generator.normal(size=100)
        pair = [shared + generator.normal(size=100) for _ in range(2)]
        rejected += auroc_difference(truth, *pair).p_value < 0.05
    assert stats.binomtest(covered, 400, 0.95).pvalue > 1e-3
    assert stats.binomtest(rejected, 400, 0.05).pvalue > 1e-3
