"""The numbers gathered over blocks."""

import numpy as np
import pandas as pd
import pytest

from sclong_core.config import InputConfig
from sclong_core.expression import match_genes
from sclong_core.expression.rows import canonical
from sclong_core.expression.surveys import Tally
from sclong_core.testing import make_counts_anndata, synthetic_gene_ids
from sclong_core.vocabulary import GeneVocabulary

MATCH = match_genes(
    pd.DataFrame(index=[*synthetic_gene_ids(6), "a", "b"]),
    GeneVocabulary.from_ids(synthetic_gene_ids(9)),
)


@pytest.mark.parametrize("step", [1, 3, 20])
def test_numbers_do_not_depend_on_blocks(step):
    counts = make_counts_anndata(20, 8, seed=2).X.toarray()
    counts[4], counts[7, :6], counts[7, 6] = 0, 0, 5
    tally = Tally(InputConfig(maximum=8.0))
    for start in range(0, 20, step):
        names = [f"cell{number}" for number in range(start, min(start + step, 20))]
        tally.add(canonical(counts[start : start + step]), MATCH, names)
    known = counts[:, :6]
    assert (tally.empty, tally.first_empty) == (1, "cell4")
    assert tally.unmatched == ((known.sum(axis=1) == 0) & (counts.sum(axis=1) > 0)).sum()
    assert tally.first_unmatched == "cell7"
    assert (tally.total["raw"], tally.matched["raw"]) == (counts.sum(), known.sum())
    assert tally.matched["log1p"] == pytest.approx(np.expm1(known.astype(float)).sum())
    with np.errstate(invalid="ignore"):
        highest = np.log1p(np.nan_to_num(known / counts.sum(axis=1, keepdims=True)) * 1e4).max(1)
    assert tally.below["raw"] == ((highest > 0) & (highest < 8)).sum()
    assert tally.above["raw"] == (highest > 8).sum()
