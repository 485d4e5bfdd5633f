"""Names of human genes that sclong-core ships."""

import pandas as pd
import pytest

from sclong_core.expression.genes import match_genes
from sclong_core.human_genes import (
    HumanGenes,
    human_genes,
    symbols_of_other_species,
    vocabulary_of_symbols,
    with_symbols,
)
from sclong_core.vocabulary import GeneVocabulary

TP53, SEPTIN9, BRCA1 = "ENSG00000141510", "ENSG00000184640", "ENSG00000012048"
VOCABULARY = GeneVocabulary.from_ids([TP53, SEPTIN9, BRCA1])


def test_the_table_knows_symbols_earlier_symbols_and_aliases():
    genes = human_genes()
    assert len(genes) > 38_000
    assert genes.symbols[TP53] == "TP53"
    assert genes.by_symbol("TP53") == TP53
    assert genes.by_other_name("SEPT9") == SEPTIN9
    assert genes.by_other_name("TP53") is None
    assert genes.by_symbol("SEPT9") is None
    assert genes.by_symbol("C1ORF43") == genes.by_symbol("C1orf43") != None  # noqa: E711
    assert not genes.knows("CD45RA_TotalSeqB")


def test_names_of_several_genes_and_of_genes_without_an_id_are_not_guessed():
    genes = HumanGenes(
        [
            ("ENSG1", "A", ["OLD"], ["SHARED", "TAKEN"]),
            ("ENSG2", "B", [], ["SHARED", "OLD2"]),
            ("", "TAKEN", [], ["NOWHERE"]),
        ]
    )
    found = {name: genes.by_other_name(name) for name in ("OLD", "SHARED", "TAKEN", "NOWHERE")}
    assert found == {"OLD": "ENSG1", "SHARED": None, "TAKEN": None, "NOWHERE": None}
    assert genes.by_symbol("TAKEN") is None
    assert genes.knows("TAKEN")


def test_genes_of_a_model_without_symbols_are_found_by_their_symbols():
    match = match_genes(pd.DataFrame(index=["TP53", "BRCA1", "unheard-of"]), VOCABULARY)
    assert (match.matched, match.kind, match.by_other_name) == (2, "symbol", ())


def test_genes_are_found_by_earlier_symbols_and_that_is_reported(caplog):
    with caplog.at_level("INFO", "sclong"):
        match = match_genes(pd.DataFrame(index=["TP53", "SEPT9"]), VOCABULARY)
    assert match.positions.tolist() == [0, 1]
    assert match.by_other_name == ("SEPT9",)
    assert "1 of them found by an earlier symbol or an alias: SEPT9" in caplog.text


@pytest.mark.parametrize("names", [["SEPT9", "SEPTIN9", "TP53"], ["SEPT9", "MSF1", "TP53"]])
def test_another_name_of_a_gene_that_is_there_already_is_no_second_column_of_it(names):
    genes = human_genes()
    assert genes.by_other_name("SEPT9") == SEPTIN9
    match = match_genes(pd.DataFrame(index=names), VOCABULARY)
    assert not match.repeated
    assert "SEPT9" in match.unknown or "MSF1" in match.unknown


def test_symbols_of_the_model_come_first():
    own = GeneVocabulary.from_ids([TP53, SEPTIN9], ["SEPT9", ""])
    assert match_genes(pd.DataFrame(index=["SEPT9"]), own).positions.tolist() == [0]


def test_missing_symbols_are_filled_in_and_given_once():
    ids = [TP53, SEPTIN9, BRCA1, "ENSMUSG00000000001"]
    named = with_symbols(GeneVocabulary.from_ids(ids, ["", "mine", "", ""]))
    assert (named.ids, named.symbols) == (tuple(ids), ("TP53", "mine", "BRCA1", ""))
    taken = with_symbols(GeneVocabulary.from_ids(ids[:2], ["", "TP53"]))
    assert taken.symbols == ("", "TP53")


def test_symbols_become_ids_in_their_order_and_what_has_none_is_named():
    found = vocabulary_of_symbols(["BRCA1", "AL627309.1", "SEPT9", "TP53", "MSF1", "CD4"])
    assert found is not None
    vocabulary, lost = found
    assert vocabulary.ids[:3] == (BRCA1, SEPTIN9, TP53)
    assert vocabulary.symbols[1] in {"SEPTIN9", "SEPT9"}
    assert lost[0] == "AL627309.1"
    assert vocabulary_of_symbols(["Actb", "Gapdh", "TP53"]) is None
    assert vocabulary_of_symbols(["one", "two"]) is None


def test_all_names_of_a_gene_lead_back_to_it():
    genes = HumanGenes(
        [("ENSG1", "A", ["OLD"], ["SHARED"]), ("ENSG2", "B", [], ["SHARED"]), ("", "C", ["D"], [])]
    )
    assert genes.names_of("ENSG1") == ("A", "OLD")
    assert genes.names_of("ENSG2") == ("B",)
    assert genes.names_of("ENSG3") == ()
    assert {"SEPTIN9", "SEPT9"} <= set(human_genes().names_of(SEPTIN9))


def test_few_symbols_among_names_of_clones_become_ids_and_ids_stay():
    clones = [f"AL{n:06d}.1" for n in range(7)]
    found = vocabulary_of_symbols(["TP53", *clones, f"{BRCA1}.12", "BRCA2"])
    assert found is not None
    assert found[0].ids[:2] == (TP53, BRCA1)
    assert found[0].symbols == ("TP53", "BRCA1", "BRCA2")
    assert found[1] == tuple(clones)


def test_symbols_of_other_species_are_seen_by_their_capitals():
    names = ["Cd3e", "actb", "TP53", "C1orf43", "gene1", "mt-Nd1"]
    assert symbols_of_other_species(names) == ("Cd3e", "actb", "mt-Nd1")
