"""The shape that all sources of cells have."""

import numpy as np
import pandas as pd
import pytest

from sclong_core.expression.cell_source import CellSource, checked


def source(kinds=None, closer=lambda: None):
    var = pd.DataFrame(index=list("abc"))
    if kinds is not None:
        var["feature_types"] = pd.Categorical(kinds)
    values = np.arange(12).reshape(4, 3)
    return CellSource(
        name="cells",
        matrix="X",
        obs=pd.DataFrame(index=list("wxyz")),
        var=var,
        reader=lambda start, stop: values[start:stop],
        closer=closer,
    )


def test_leaving_closes_the_source():
    closed = []
    with source(closer=lambda: closed.append(True)) as cells:
        assert (cells.n_cells, cells.n_genes) == (4, 3)
    assert closed == [True]


def test_only_gene_expression_is_kept():
    cells = checked(source(["Gene Expression", "Peaks", "Gene Expression"]))
    assert cells.var.index.to_list() == ["a", "c"]
    assert cells.read_rows(1, 3).tolist() == [[3, 5], [6, 8]]


@pytest.mark.parametrize("kinds", [None, ["Gene Expression"] * 3, ["gene"] * 3])
def test_features_of_one_kind_are_all_kept(kinds):
    cells = source(kinds)
    assert checked(cells) is cells
