"""Building vocabularies."""

import numpy as np
import pytest
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from sclong_core.errors import ConfigError, InputError
from sclong_core.vocabulary import GeneVocabulary
from sclong_data.genes.counting import count_nonzeros, read_counts
from sclong_data.genes.merging import merge
from sclong_data.genes.naming import with_symbols
from sclong_data.genes.records import GeneRecord
from sclong_data.genes.table import GeneTable
from sclong_data.genes.vocabulary import REASONS, build_vocabulary


def ensembl(number):
    return f"ENSG{number:011d}"


RECORDS = [
    GeneRecord(ensembl(1), "ONE", "protein_coding", ("EINS",), ("SHARED",), "11"),
    GeneRecord(ensembl(2), "TWO", "protein_coding", (), ("SHARED",), "12"),
    GeneRecord(ensembl(3), "THREE", "lncRNA"),
    GeneRecord(ensembl(4), "FOUR", "lncRNA"),
    GeneRecord(ensembl(5), "FIVE", "lncRNA"),
]
TABLE = GeneTable(merge([], RECORDS, {ensembl(9): [ensembl(5)]}))
NONZEROS = {"THREE": 5, "EINS": 2, "11": 2, "FOUR": 4, "FIVE": 0, "SHARED": 99, "nothing": 3}


def build(**changes):
    options = {
        "nonzeros": NONZEROS,
        "annotated": ["TWO", ensembl(9)],
        "with_vector": ["ONE", "nothing"],
        "top": 2,
    }
    return build_vocabulary(TABLE, **{**options, **changes})


def test_every_gene_has_its_reasons():
    built = build()
    assert built.vocabulary.ids == tuple(ensembl(number) for number in (1, 2, 3, 5))
    assert dict(zip(built.vocabulary.symbols, built.reasons, strict=True)) == {
        # Its two names have 4 non-zeros together, as FOUR has; its id comes first.
        "ONE": {"expressed", "protein_coding", "gene2vec"},
        "TWO": {"protein_coding", "go"},
        "THREE": {"expressed"},
        "FIVE": {"go"},
    }
    assert built.sizes == {"expressed": 2, "protein_coding": 2, "go": 2, "gene2vec": 1}
    assert built.only() == {"expressed": 1, "protein_coding": 0, "go": 1, "gene2vec": 0}
    assert built.nonzeros == (4, 0, 5, 0)
    assert built.sources["expressed"].ambiguous == ("SHARED",)
    assert built.sources["expressed"].unknown == ("nothing",)
    assert built.sources["gene2vec"].genes == 1


@pytest.mark.parametrize(("top", "genes"), [(1, {3}), (2, {3, 1}), (3, {3, 1, 4}), (99, {3, 1, 4})])
def test_the_number_of_expressed_genes_is_a_parameter(top, genes):
    built = build(top=top, annotated=None, with_vector=None, protein_coding=False)
    assert set(built.vocabulary.ids) == {ensembl(number) for number in genes}


def test_sources_can_be_left_out():
    built = build(nonzeros=None, annotated=None, with_vector=None)
    assert set(built.vocabulary.symbols) == {"ONE", "TWO"}
    assert built.nonzeros == (None, None)
    assert set(built.sources) == set()


@given(st.permutations(list(NONZEROS)), st.permutations(["TWO", ensembl(9), "ONE"]))
def test_the_order_in_which_sources_name_genes_does_not_matter(names, annotated):
    nonzeros = {name: NONZEROS[name] for name in names}
    built = build(nonzeros=nonzeros, annotated=annotated)
    expected = build(annotated=["TWO", ensembl(9), "ONE"])
    assert built == expected
    assert built.vocabulary.digest == expected.vocabulary.digest


def test_reasons_are_written_beside(tmp_path):
    build().write_reasons(tmp_path / "reasons.tsv")
    lines = (tmp_path / "reasons.tsv").read_text().splitlines()
    assert lines[0].split("\t") == ["gene_id", "symbol", "biotype", "nonzeros", *REASONS]
    assert lines[1].split("\t") == [ensembl(1), "ONE", "protein_coding", "4", "1", "1", "0", "1"]
    assert len(lines) == 5


def test_what_gives_no_vocabulary_is_refused():
    with pytest.raises(InputError, match="no source gives a gene"):
        build_vocabulary(TABLE, annotated=["nothing"], protein_coding=False)
    with pytest.raises(ConfigError, match="top must be 1 or more"):
        build(top=0)
    with pytest.raises(InputError, match="'ONE' has -1 non-zeros"):
        build(nonzeros={"ONE": -1})


def test_a_symbol_of_two_genes_names_neither():
    twins = [GeneRecord(ensembl(n), "TWIN", "protein_coding") for n in (1, 2)]
    built = build_vocabulary(GeneTable(merge([twins], [], {})))
    assert built.vocabulary.symbols == ("", "")


def cells(path, values, names, **columns):
    adata = AnnData(sparse.csr_matrix(np.array(values, dtype=np.float32)))
    adata.var_names = names
    for name, values_ in columns.items():
        adata.var[name] = values_
    adata.write_h5ad(path)
    return path


def test_nonzeros_are_counted_over_files_and_columns_of_one_gene_together(tmp_path):
    one = cells(
        tmp_path / "a.h5ad", [[1, 0, 2, 1], [1, 3, 0, 1]], ["ONE", "EINS", "THREE", "nothing"]
    )
    two = cells(
        tmp_path / "b.h5ad", [[0, 4], [0, 5]], ["u", "v"], ids=[ensembl(1), f"{ensembl(3)}.2"]
    )
    assert count_nonzeros([one, two], TABLE) == {ensembl(1): 2, ensembl(3): 3}


def test_cells_without_any_gene_of_the_table_are_refused(tmp_path):
    path = cells(tmp_path / "a.h5ad", [[1.0]], ["Actb"])
    with pytest.raises(InputError, match=r"a\.h5ad names no gene of the gene table"):
        count_nonzeros([path], TABLE)


@pytest.mark.parametrize("separator", ["\t", ","])
@pytest.mark.parametrize("header", [True, False])
def test_counts_are_read_from_a_table(tmp_path, separator, header):
    lines = [*(["gene", "nonzeros"],) * header, ["ONE", "5"], ["TWO", "0"]]
    path = tmp_path / "counts"
    path.write_text("\n".join(separator.join(line) for line in lines))
    assert read_counts(path) == {"ONE": 5, "TWO": 0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no counts"),
        ("ONE\t1\nTWO\t-3\n", "line 2.*not a gene and a count"),
        ("ONE\t1\t3\n", "line 1"),
        ("ONE\t1\nONE\t1\n", "'ONE' is there twice"),
    ],
)
def test_bad_counts_are_refused(tmp_path, text, message):
    path = tmp_path / "counts"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_counts(path)


def test_an_imported_list_keeps_its_ids_and_gets_symbols():
    vocabulary = GeneVocabulary.from_ids([ensembl(9), ensembl(2), ensembl(77), ensembl(1)])
    named = with_symbols(vocabulary, TABLE)
    assert named.vocabulary.ids == vocabulary.ids
    assert named.vocabulary.digest == vocabulary.digest
    assert named.vocabulary.symbols == ("FIVE", "TWO", "", "ONE")
    assert (named.symbols, named.retired, named.unknown) == (3, 1, 1)
