import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sclong_core import GeneVocabulary, InputError

GENE_IDS = st.lists(
    st.from_regex(r"ENSG[0-9]{11}", fullmatch=True), min_size=1, max_size=30, unique=True
)


@given(ids=GENE_IDS, data=st.data())
def test_lookup_finds_each_gene_with_and_without_version(ids, data):
    vocabulary = GeneVocabulary.from_ids(ids)
    versions = data.draw(st.lists(st.integers(1, 99), min_size=len(ids), max_size=len(ids)))
    versioned = [f"{name}.{version}" for name, version in zip(ids, versions, strict=True)]
    np.testing.assert_array_equal(vocabulary.lookup(ids), np.arange(len(ids)))
    np.testing.assert_array_equal(vocabulary.lookup(versioned), np.arange(len(ids)))


@given(ids=GENE_IDS)
def test_file_round_trip_keeps_everything(ids, tmp_path_factory):
    path = tmp_path_factory.mktemp("vocabulary") / "vocabulary.tsv"
    symbols = [f"G{place}" if place % 2 else "" for place in range(len(ids))]
    vocabulary = GeneVocabulary.from_ids(ids, symbols)
    vocabulary.write(path)
    assert GeneVocabulary.read(path) == vocabulary


def test_digest_tells_orders_apart_and_not_symbols():
    vocabulary = GeneVocabulary.from_ids(["A", "B"], ["x", "y"])
    assert vocabulary.digest == GeneVocabulary.from_ids(["A", "B"]).digest
    assert vocabulary.digest != GeneVocabulary.from_ids(["B", "A"]).digest


def test_symbols_are_found_and_never_guessed():
    vocabulary = GeneVocabulary.from_ids(["E1", "E2", "E3"], ["TP53", "DUP", "DUP"])
    np.testing.assert_array_equal(vocabulary.lookup(["TP53", "DUP", "tp53", ""]), [0, -1, -1, -1])


def test_a_dot_is_a_version_only_after_an_ensembl_id():
    vocabulary = GeneVocabulary.from_ids(["AL627309.1", "ENSG00000000003.5"])
    assert vocabulary.ids == ("AL627309.1", "ENSG00000000003")
    np.testing.assert_array_equal(vocabulary.lookup(["AL627309", "AL627309.1"]), [-1, 0])


def test_the_plain_list_of_the_release_is_read(tmp_path):
    path = tmp_path / "genes.txt"
    path.write_text("ENSG00000000003\nENSG00000000005\n\n")
    assert GeneVocabulary.read(path).ids == ("ENSG00000000003", "ENSG00000000005")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "at least one gene"),
        (b"A\nA\n", "A twice"),
        (b"A\tx\ty\n", "not a gene list"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"A\x01\n", "printable"),
    ],
)
def test_a_bad_file_is_refused(tmp_path, content, message):
    path = tmp_path / "genes.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        GeneVocabulary.read(path)


def test_ids_and_symbols_must_pair():
    with pytest.raises(InputError, match="2 ids but 1 symbols"):
        GeneVocabulary(("A", "B"), ("x",))
