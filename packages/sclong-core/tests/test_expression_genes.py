"""Matching genes of the data to a vocabulary."""

import numpy as np
import pandas as pd
import pytest

from sclong_core.errors import InputError
from sclong_core.expression import match_genes
from sclong_core.vocabulary import GeneVocabulary

IDS = [f"ENSG{n:011d}" for n in range(1, 21)]
SYMBOLS = [f"GENE{n}" for n in range(1, 21)]
VOCABULARY = GeneVocabulary.from_ids(IDS, SYMBOLS)
ONLY_IDS = GeneVocabulary.from_ids(IDS)


def var(index, **columns):
    return pd.DataFrame(columns, index=pd.Index(index))


def test_ids_match_in_any_order_with_and_without_version():
    match = match_genes(var([f"{IDS[4]}.7", "other", IDS[2]]), VOCABULARY)
    assert match.columns.tolist() == [0, 2]
    assert match.positions.tolist() == [4, 2]
    assert match.unknown == ("other",)
    assert (match.found_in, match.kind, match.matched) == ("var_names", "id", 2)
    assert match.coverage == pytest.approx(0.1)


@pytest.mark.parametrize("kind", ["object", "category", "string"])
def test_the_column_with_most_genes_is_taken(kind):
    names = pd.Series([*IDS[:3], "x"], dtype=kind, index=list("abcd"))
    match = match_genes(
        var(["GENE1", "b", "c", "d"]).assign(number=1, ids=names.to_numpy()), VOCABULARY
    )
    assert (match.found_in, match.kind, match.matched) == ("ids", "id", 3)


def test_the_index_is_taken_among_equals():
    match = match_genes(var(SYMBOLS[:3], ids=IDS[:3]), VOCABULARY)
    assert (match.found_in, match.kind) == ("var_names", "symbol")


def test_a_mix_of_ids_and_symbols_is_named_so():
    assert match_genes(var([IDS[0], SYMBOLS[1]]), VOCABULARY).kind == "mixed"


def test_missing_names_are_unknown_and_shown_by_the_index():
    match = match_genes(var(["a", "b"], ids=[IDS[0], np.nan]), VOCABULARY)
    assert match.unknown == ("b",)


def test_a_column_can_be_forced():
    table = var(IDS[:5], symbols=["GENE9", "GENE8", "a", "b", "c"])
    match = match_genes(table, VOCABULARY, gene_column="symbols")
    assert match.positions.tolist() == [8, 7]
    assert match_genes(table, VOCABULARY, gene_column="var_names").matched == 5
    with pytest.raises(InputError, match="no gene column 'id': choose one of var_names, symbols"):
        match_genes(table, VOCABULARY, gene_column="id")


def test_two_columns_of_one_gene_are_refused_with_what_to_do():
    with pytest.raises(
        InputError,
        match=r"'ENSG00000000003.1' \(gene 1 .*'GENE3' \(gene 3 .*are both ENSG00000000003; .*sum",
    ):
        match_genes(var([f"{IDS[2]}.1", "x", "GENE3"]), VOCABULARY)


def test_two_columns_of_one_gene_can_be_let_through(caplog):
    caplog.set_level("INFO", "sclong")
    match = match_genes(var([IDS[2], "GENE3", IDS[3]]), VOCABULARY, duplicates="sum")
    assert match.positions.tolist() == [2, 2, 3]
    assert match.repeated
    assert match.matched == 2
    assert "adding the counts of 1 repeated columns" in caplog.text


@pytest.mark.parametrize(
    ("names", "vocabulary", "reason"),
    [
        (["ENSMUSG00000000001", "ENSMUSG00000000003.2"], VOCABULARY, "mouse Ensembl ids"),
        (["ENSDARG00000000001", "ENSDARG00000000002"], VOCABULARY, "ids of another species"),
        (["ENST00000000001.1", "ENST00000000003.2"], VOCABULARY, "transcripts or proteins"),
        (["Actb", "Cd3d", "Trp53", "0610005C13Rik"], VOCABULARY, "mouse symbols"),
        (["7157", "672", "7158"], VOCABULARY, "NCBI .Entrez. ids"),
        (["mm10_Trp53", "mm10___Actb", "GRCh38_TP53"], VOCABULARY, "mouse symbols"),
        (["chr1:100-200", "chr2:5-17"], VOCABULARY, "ATAC peaks"),
        (["200814_at", "222103_s_at"], VOCABULARY, "probes of a microarray"),
        (["ACTB", "CD3D", "C1orf112"], ONLY_IDS, r"look like symbols.*sclong convert --symbols"),
        (IDS[:3], GeneVocabulary.from_ids(SYMBOLS), "Ensembl ids, and the model's genes are not"),
        (["?", "!"], VOCABULARY, r"the first are \?, !"),
    ],
)
def test_no_gene_in_common_is_refused_with_the_likely_reason(names, vocabulary, reason):
    with pytest.raises(InputError, match=rf"none of the {len(names)} genes in var_names.*{reason}"):
        match_genes(var(names), vocabulary)


def test_few_genes_in_common_are_warned_of_with_the_likely_reason(caplog):
    mouse = [f"ENSMUSG{n:011d}" for n in range(30)]
    match_genes(var([IDS[0], *mouse]), VOCABULARY)
    (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "only 1 of 31 are known: they are mouse Ensembl ids" in warning.getMessage()


def test_what_was_found_is_announced(caplog):
    caplog.set_level("INFO", "sclong")
    match_genes(var([*IDS[:10], *"abcdefg"]), VOCABULARY)
    assert "10 of 17 found by id in var_names; 50.0 % of the model's 20 genes" in caplog.text
    assert "7 not known to the model: a, b, c, d, e, ..." in caplog.text
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
