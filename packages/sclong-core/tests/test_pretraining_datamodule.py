import numpy as np
import pytest

from sclong_core.errors import CheckpointError, ConfigError
from sclong_core.pretraining.datamodule import (
    PretrainingData,
    check_numbers,
    mean_of_genes,
    spread,
)


class Data(PretrainingData):
    def state_dict(self):
        return {"cells": "a", "seed": 1}


def test_other_data_is_refused():
    data = Data()
    data.load_state_dict({"cells": "a", "seed": 1, "more": 2})
    with pytest.raises(CheckpointError, match="seed 2, and this run has 1"):
        data.load_state_dict({"cells": "a", "seed": 2})
    assert data.ranks() == (0, 1)


def test_genes_that_are_never_expressed_have_the_mean_of_all():
    means = mean_of_genes(np.array([6.0, 0.0, 2.0]), np.array([3.0, 0.0, 1.0]))
    assert means.tolist() == [2.0, 2.0, 2.0]
    assert mean_of_genes(np.zeros(2), np.zeros(2)).tolist() == [0.0, 0.0]


def test_cells_are_spread():
    assert spread(np.arange(10, 20), 4).tolist() == [10, 13, 16, 19]
    assert spread(np.arange(3), 9).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("name", "value"),
    [("validation_fraction", 1.0), ("batch_size", 0), ("num_workers", -1), ("seed", -1)],
)
def test_impossible_numbers_are_refused(name, value):
    good = {"validation_fraction": 0.1, "batch_size": 1, "num_workers": 0, "seed": 0}
    check_numbers(**good)
    with pytest.raises(ConfigError, match=f"data.{name}"):
        check_numbers(**{**good, name: value})
