"""Names without what tools leave on them."""

import numpy as np
import pandas as pd
import pytest

from sclong_core.expression.genes import match_genes
from sclong_core.expression.names import clean_name, genome_prefix
from sclong_core.testing import synthetic_gene_ids
from sclong_core.vocabulary import GeneVocabulary

IDS = synthetic_gene_ids(6)
VOCABULARY = GeneVocabulary.from_ids(IDS, [f"ZNF{n}" for n in range(6)])


@pytest.mark.parametrize(
    ("value", "name"),
    [("\ufeffTP53", "TP53"), ("TP53\r", "TP53"), (' "TP53" ', "TP53"), ("TP53\xa0", "TP53"),
     (np.nan, ""), (None, ""), (pd.NA, ""), ("nan", ""), ("<NA>", ""), (7157, "7157"),
     ("HLA-A", "HLA-A"), ("NANOG", "NANOG")],
)  # fmt: skip
def test_names_are_cleaned(value, name):
    assert clean_name(value) == name


@pytest.mark.parametrize(
    ("name", "parts"),
    [("GRCh38_TP53", ("GRCh38", "TP53")), ("GRCh38______ENSG1", ("GRCh38", "ENSG1")),
     ("hg19_TP53", ("hg19", "TP53")), ("mm10---Xkr4", ("mm10", "Xkr4")),
     ("GRCm39_Actb", ("GRCm39", "Actb")), ("HLA-A", ("", "HLA-A")), ("MT-CO1", ("", "MT-CO1"))],
)  # fmt: skip
def test_the_genome_that_a_name_begins_with_is_found(name, parts):
    assert genome_prefix(name) == parts


@pytest.mark.parametrize(
    "names",
    [["\ufeff" + IDS[0], *IDS[1:]], [f"{name}\r" for name in IDS],
     [f"GRCh38_{name}" for name in IDS], [f"hg19_ZNF{n}" for n in range(6)]],
    ids=["byte order mark", "ends of lines", "genome and id", "genome and symbol"],
)  # fmt: skip
def test_genes_are_matched_by_cleaned_names(names):
    assert match_genes(pd.DataFrame(index=names), VOCABULARY).matched == 6


def test_names_in_a_column_named_index_are_found():
    table = pd.DataFrame({"_index": [f"ZNF{n}" for n in range(6)]}, index=list("012345"))
    match = match_genes(table, VOCABULARY)
    assert (match.found_in, match.matched) == ("_index", 6)


def test_missing_names_are_no_genes():
    match = match_genes(pd.DataFrame({"id": [np.nan, *IDS[1:]]}, index=list("abcdef")), VOCABULARY)
    assert (match.matched, match.unknown) == (5, ("a",))
