import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from sclong_bench.statistics.correction import adjust
from sclong_core.errors import ConfigError

NAMES = {"bh": "fdr_bh", "by": "fdr_by"}


@pytest.mark.parametrize("correction", NAMES)
@given(p_values=st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_adjusted_values_are_those_of_statsmodels(correction, p_values):
    reference = multipletests(p_values, method=NAMES[correction])[1]
    np.testing.assert_allclose(adjust(p_values, correction), reference, rtol=1e-12, atol=1e-12)


def test_a_test_that_failed_keeps_its_place_in_the_family():
    found = adjust([0.01, np.nan, 0.02])
    assert np.isnan(found[1])
    assert found[[0, 2]] == pytest.approx([0.03, 0.03])
    assert adjust([]).size == 0


def test_unknown_corrections_are_refused():
    with pytest.raises(ConfigError, match="bh, by"):
        adjust([0.1], "bonferroni")
