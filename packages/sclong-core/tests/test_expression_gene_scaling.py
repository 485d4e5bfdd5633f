"""What was done gene by gene shows where cells are compared."""

import numpy as np
import pytest

from sclong_core.expression.gene_scaling import negative_values, weighted_genes
from sclong_core.expression.rows import canonical

DRAWN = np.random.default_rng(0)
COUNTS = DRAWN.poisson(DRAWN.gamma(0.5, size=300) * 3 + 0.05, size=(50, 300)) + np.eye(50, 300)
TOTALS = COUNTS.sum(1, keepdims=True)
LOGGED = np.log1p(COUNTS / TOTALS * 1e4)
WEIGHTS = DRAWN.lognormal(size=300)
EXPECTED = TOTALS * COUNTS.sum(0) / COUNTS.sum()


@pytest.mark.parametrize("theta", [100.0, 30.0, np.inf])
@pytest.mark.parametrize("clip", [np.sqrt(50), 3.0, np.inf])
def test_residuals_are_named(theta, clip):
    residuals = (COUNTS - EXPECTED) / np.sqrt(EXPECTED + EXPECTED**2 / theta)
    found = negative_values(canonical(np.clip(residuals, -clip, clip).astype(np.float32)))
    assert found.startswith("Pearson residuals")


@pytest.mark.parametrize("most", [np.inf, 10.0, 2.0])
@pytest.mark.parametrize("values", [COUNTS, LOGGED])
def test_centred_genes_are_named(values, most):
    scaled = np.minimum((values - values.mean(0)) / values.std(0), most)
    assert "centred gene by gene" in negative_values(canonical(scaled.astype(np.float32)))


def test_other_negative_values_are_not_named_further():
    noise = DRAWN.normal(size=(50, 300))
    assert negative_values(canonical(noise)).startswith("scaled, centred or corrected")
    assert negative_values(canonical(noise[:1])).startswith("scaled, centred or corrected")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (COUNTS / TOTALS * WEIGHTS, "counts multiplied by a weight"),
        (np.log1p(COUNTS / TOTALS * WEIGHTS * 1e4), "log1p of counts multiplied by a weight"),
        (LOGGED * WEIGHTS, "log values multiplied by a weight"),
    ],
)
def test_weights_of_genes_are_seen(values, said):
    assert str(weighted_genes(canonical(values.astype(np.float32)))).startswith(said)


@pytest.mark.parametrize(
    "values",
    [LOGGED, COUNTS, np.cbrt(COUNTS / TOTALS), DRAWN.gamma(2, size=(50, 300)), COUNTS[:, :10]],
)
def test_values_without_weights_of_genes_are_not_named(values):
    assert weighted_genes(canonical(values)) is None
