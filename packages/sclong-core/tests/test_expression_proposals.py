"""Proposing another matrix of the same cells."""

import numpy as np
import pytest

from sclong_core.expression import source_from_anndata
from sclong_core.expression.surveys import advice
from sclong_core.testing import make_counts_anndata


@pytest.fixture
def scaled():
    adata = make_counts_anndata(200, 30)
    adata.layers["counts"] = adata.X
    adata.X = np.random.default_rng(0).normal(size=adata.shape)
    adata.layers["also_scaled"] = adata.X
    return adata


def test_raw_counts_are_proposed(scaled):
    assert advice(source_from_anndata(scaled)).startswith("'counts' of the same file holds raw")


def test_a_matrix_that_is_recognised_in_part_only_is_not_proposed(scaled):
    scaled.layers["counts"] = scaled.layers["counts"].toarray()
    scaled.layers["counts"][-1] = 0.3
    assert advice(source_from_anndata(scaled)) == "give raw counts or their log1p"


def test_a_matrix_that_cannot_be_read_is_passed_over(scaled):
    scaled.layers["also_bad"] = scaled.X * 1j
    assert "'counts'" in advice(source_from_anndata(scaled))
