"""Mapping genes of data sets to a vocabulary."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sclong_core.errors import InputError
from sclong_core.vocabulary import GeneVocabulary
from sclong_data.genes.mapping import map_genes
from sclong_data.genes.merging import merge
from sclong_data.genes.records import GeneRecord
from sclong_data.genes.table import GeneTable


def ensembl(number):
    return f"ENSG{number:011d}"


GENCODE = [GeneRecord(ensembl(n), f"GENE{n}", "protein_coding") for n in range(1, 9)]
HGNC = [
    GeneRecord(ensembl(1), "GENE1", "protein_coding", ("OLD1", "BOTH"), ("ALIAS1",), "101"),
    GeneRecord(ensembl(2), "GENE2", "protein_coding", (), ("ALIAS2", "BOTH"), "102"),
    GeneRecord(ensembl(77), "GENE3", "protein_coding", ("OLD3",), (), "103"),
    GeneRecord(None, "NOWHERE", "protein_coding"),
]
TABLE = GeneTable(merge([GENCODE], HGNC, {}))
VOCABULARY = GeneVocabulary.from_ids([ensembl(n) for n in (5, 3, 1, 2, 6)])
MEANT = {
    ensembl(1): (1, "id"),
    f"{ensembl(1)}.4": (1, "id"),
    ensembl(5): (5, "id"),
    ensembl(77): (3, "retired"),
    f"{ensembl(77)}.4": (3, "retired"),
    "GENE1": (1, "symbol"),
    "OLD1": (1, "previous"),
    "OLD3": (3, "previous"),
    "ALIAS2": (2, "alias"),
    "101": (1, "ncbi"),
    "LOC102": (2, "ncbi"),
    ensembl(8): (None, "outside"),
    "GENE8": (None, "outside"),
    "BOTH": (None, "ambiguous"),
    ensembl(99): (None, "unknown"),
    "NOWHERE": (None, "unknown"),
    "": (None, "unknown"),
    "Gene1": (None, "unknown"),
}
NAMES = tuple(MEANT)
names = st.lists(st.sampled_from(NAMES), min_size=1, max_size=30)


def var(index, **columns):
    return pd.DataFrame(columns, index=pd.Index(index))


def positions_by_column(mapping, columns):
    found = np.full(columns, -1)
    found[mapping.match.columns] = mapping.match.positions
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_kind_of_name_is_mapped_to_its_gene_or_to_none(name):
    mapping = map_genes(var([name, ensembl(6)]), VOCABULARY, TABLE)
    gene, how = MEANT[name]
    at = positions_by_column(mapping, 2)[0]
    assert (VOCABULARY.ids[at] if at >= 0 else None) == (ensembl(gene) if gene else None)
    assert mapping.counts == Counter([how, "id"])
    assert mapping.ambiguous == ((name,) if how == "ambiguous" else ())
    assert mapping.lost == ((name,) if how in ("outside", "unknown") else ())


def test_columns_are_counted_and_those_of_one_gene_to_be_summed():
    mapping = map_genes(var(NAMES), VOCABULARY, TABLE)
    assert mapping.counts == Counter(how for _, how in MEANT.values())
    genes = [gene for gene, _ in MEANT.values() if gene]
    assert mapping.summed == len(genes) - len(set(genes))
    assert mapping.match.kind == "mixed"


def test_without_a_table_ids_and_the_symbols_of_the_vocabulary_are_known():
    vocabulary = GeneVocabulary.from_ids([ensembl(1), ensembl(2)], ["A", "B"])
    mapping = map_genes(var(["B", f"{ensembl(1)}.2", "OLD1"]), vocabulary, None)
    assert mapping.match.positions.tolist() == [1, 0]
    assert mapping.lost == ("OLD1",)


def test_a_vocabulary_of_retired_ids_is_found_by_current_names():
    vocabulary = GeneVocabulary.from_ids([ensembl(77), ensembl(1)])
    mapping = map_genes(var(["GENE3", ensembl(3), ensembl(77), "GENE1"]), vocabulary, TABLE)
    assert mapping.match.positions.tolist() == [0, 0, 0, 1]


def test_two_genes_of_a_vocabulary_that_became_one_are_only_found_by_their_own_ids():
    table = GeneTable(merge([GENCODE], [], {ensembl(n): [ensembl(4)] for n in (91, 92)}))
    vocabulary = GeneVocabulary.from_ids([ensembl(91), ensembl(92)])
    mapping = map_genes(var([ensembl(91), "GENE4", ensembl(4)]), vocabulary, table)
    assert mapping.match.columns.tolist() == [0]
    assert mapping.lost == ("GENE4", ensembl(4))


def test_a_column_of_ids_is_preferred_to_symbols_that_find_as_many():
    frame = var(["GENE1", "GENE2"], ids=[ensembl(1), ensembl(2)], other=["x", "y"])
    assert map_genes(frame, VOCABULARY, TABLE).match.found_in == "ids"
    chosen = map_genes(frame, VOCABULARY, TABLE, gene_column="var_names")
    assert chosen.match.found_in == "var_names"


def test_missing_names_fall_back_to_the_index_in_what_is_reported():
    frame = var(["a", "b"], ids=[ensembl(1), None])
    mapping = map_genes(frame, VOCABULARY, TABLE)
    assert mapping.lost == ("b",)


@pytest.mark.parametrize(
    ("index", "column", "message"),
    [
        (["ENSMUSG00000000001"], None, "mouse Ensembl ids"),
        (["Actb", "Gapdh"], None, "mouse symbols"),
        (["zzz"], None, "none of the 1 genes in var_names is a gene of the vocabulary"),
        (["GENE1"], "gone", "no gene column 'gone'"),
    ],
)
def test_nothing_in_common_is_refused_with_the_likely_reason(index, column, message):
    with pytest.raises(InputError, match=message):
        map_genes(var(index), VOCABULARY, TABLE, gene_column=column)


@given(names)
def test_mapping_is_idempotent(drawn):
    mapping = map_genes(var([*drawn, ensembl(5)]), VOCABULARY, TABLE)
    again = map_genes(
        var([VOCABULARY.ids[at] for at in mapping.match.positions]), VOCABULARY, TABLE
    )
    assert again.match.positions.tolist() == mapping.match.positions.tolist()
    assert set(again.counts) == {"id"}
    assert not again.lost


@given(names, st.randoms(use_true_random=False))
def test_mapping_does_not_depend_on_the_order_of_the_genes(drawn, random):
    drawn = [*drawn, ensembl(5)]
    order = list(range(len(drawn)))
    random.shuffle(order)
    one = map_genes(var(drawn), VOCABULARY, TABLE)
    two = map_genes(var([drawn[at] for at in order]), VOCABULARY, TABLE)
    np.testing.assert_array_equal(
        positions_by_column(one, len(drawn))[order], positions_by_column(two, len(drawn))
    )
    assert one.counts == two.counts


@given(names)
def test_the_order_of_the_columns_of_var_does_not_matter(drawn):
    drawn = [*drawn, ensembl(5)]
    frame = var(["GENE5", *drawn[1:]], one=drawn, two=drawn[::-1], three=["x"] * len(drawn))
    one = map_genes(frame, VOCABULARY, TABLE)
    two = map_genes(frame[["three", "two", "one"]], VOCABULARY, TABLE)
    assert one.match.found_in == two.match.found_in
    assert one.counts == two.counts
