"""Why names of genes may be unknown."""

import pytest

from sclong_core.expression.genes import likely_reason
from sclong_core.vocabulary import GeneVocabulary

HUMAN = GeneVocabulary.from_ids(["ENSG00000141510", "ENSG00000012048"], ["TP53", "BRCA1"])


@pytest.mark.parametrize("names", [["ENSG00000000001"], ["TP53", "C1orf112"], ["?", "#"]])
def test_human_names_have_no_reason_to_be_unknown(names):
    assert likely_reason(names, HUMAN) is None


def test_most_names_decide():
    assert likely_reason(["Actb", "Cd3d", "TP53"], HUMAN) is not None
    assert likely_reason(["Actb", "BRCA2", "TP53"], HUMAN) is None


def test_names_that_are_missing_are_the_reason():
    assert "no names" in str(likely_reason(["", ""], HUMAN))
