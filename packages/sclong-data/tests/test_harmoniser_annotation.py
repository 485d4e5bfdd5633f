import numpy as np
import pandas as pd

from sclong_data.dataset_manifest import DatasetEntry
from sclong_data.harmoniser.annotation import SCHEMA_COLUMNS, count_values, describe_cells

ENTRY = DatasetEntry("d", location="d.h5ad", assay="10x 3' v3", tissue="blood; lung")


def test_every_data_set_has_the_same_columns():
    obs = pd.DataFrame({"tissue": ["lung", None], "batch": [1.0, 2.0]}, index=["x", "x"])
    found = describe_cells(obs, 7, ENTRY, ("batch", "plate"))
    assert list(found.columns) == [
        *SCHEMA_COLUMNS, "batch", "plate", "dataset_id", "cell", "row",
    ]  # fmt: skip
    assert found.index.tolist() == ["d:7", "d:8"]
    assert found["cell"].tolist() == ["x", "x"]
    assert found["row"].tolist() == [7, 8]
    assert found["tissue"].tolist() == ["lung", "unknown"]
    assert found["assay"].tolist() == ["10x 3' v3"] * 2
    assert found["batch"].tolist() == ["1", "2"]
    assert found["plate"].tolist() == ["unknown"] * 2


def test_of_several_things_that_the_manifest_names_none_is_taken():
    found = describe_cells(pd.DataFrame(index=["x"]), 0, ENTRY)
    assert found["tissue"].tolist() == ["unknown"]


def test_truth_values_gaps_and_spaces_become_plain_text():
    obs = pd.DataFrame(
        {
            "is_primary_data": [True, False, True],
            "sex": pd.Categorical(["male", np.nan, "nan"]),
            "donor_id": [" a  b", "", "a\tb"],
        },
        index=list("xyz"),
    )
    found = describe_cells(obs, 0, ENTRY)
    assert found["is_primary_data"].tolist() == ["true", "false", "true"]
    assert found["sex"].tolist() == ["male", "unknown", "unknown"]
    assert found["donor_id"].tolist() == ["a b", "unknown", "a b"]
    assert list(found["donor_id"].cat.categories) == ["a b", "unknown"]


def test_only_values_that_occur_are_counted():
    obs = pd.DataFrame({"tissue": ["lung", "blood", "lung"]}, index=list("xyz"))
    found = describe_cells(obs, 0, ENTRY).iloc[[0, 2]]
    assert dict(count_values(found))["tissue"] == {"lung": 2}
