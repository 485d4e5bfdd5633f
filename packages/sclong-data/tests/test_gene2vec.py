"""Gene2vec's vectors in the order of a vocabulary."""

import gzip

import numpy as np
import pytest

from sclong_core.errors import ConfigError, InputError
from sclong_core.vocabulary import GeneVocabulary
from sclong_data.gene2vec import read_gene2vec
from sclong_data.genes.merging import merge
from sclong_data.genes.records import GeneRecord
from sclong_data.genes.table import GeneTable


def ensembl(number):
    return f"ENSG{number:011d}"


IDS = [ensembl(number) for number in range(1, 7)]
VOCABULARY = GeneVocabulary.from_ids(IDS)
TABLE = GeneTable(
    merge(
        [],
        [
            GeneRecord(ensembl(1), "ONE", "", ("EINS",), ("UNO", "SHARED")),
            GeneRecord(ensembl(2), "TWO", "", (), ("SHARED",)),
            GeneRecord(ensembl(3), "THREE", "", ("DREI",)),
        ],
        {},
    )
)
ROWS = {"EINS": [9, 9, 9], "ONE": [1, 2, 3], "DREI": [3, 4, 7], "SHARED": [5, 5, 5], "?": [0, 0, 0]}


def write(path, rows=ROWS, header="", separator=" "):
    lines = [f"{name}\t{separator.join(map(str, row))} " for name, row in rows.items()]
    text = "\n".join([header, *lines] if header else lines) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("header", ["", "5 3"])
@pytest.mark.parametrize("name", ["v.txt", "v.txt.gz"])
def test_vectors_go_to_their_genes_by_the_best_name(tmp_path, header, name):
    path = write(tmp_path / name, header=header)
    aligned = read_gene2vec(path, VOCABULARY, TABLE, dimensions=3, missing="zeros")
    assert aligned.vectors.dtype == np.float32
    assert aligned.vectors[[0, 2]].tolist() == [[1, 2, 3], [3, 4, 7]]
    assert not aligned.vectors[[1, 3, 4, 5]].any()
    assert aligned.known.tolist() == [True, False, True, False, False, False]
    assert (aligned.names, aligned.unused, aligned.repeated) == (5, ("SHARED", "?"), ("EINS",))


def test_genes_without_vector_get_the_mean_and_noise_of_their_own(tmp_path):
    path = write(tmp_path / "v.txt")
    options = {"dimensions": 3, "noise": 0.5}
    aligned = read_gene2vec(path, VOCABULARY, TABLE, **options)
    missing = aligned.vectors[~aligned.known]
    assert np.abs(missing - [2, 3, 5]).max() < 0.5 * 2 * 5
    assert np.unique(missing, axis=0).shape == missing.shape
    other = GeneVocabulary.from_ids(IDS[::-1])
    again = read_gene2vec(path, other, TABLE, **options)
    np.testing.assert_array_equal(again.vectors[::-1], aligned.vectors)
    seeded = read_gene2vec(path, VOCABULARY, TABLE, **options, seed=1)
    assert (seeded.vectors[1] != aligned.vectors[1]).all()
    without = read_gene2vec(path, VOCABULARY, TABLE, dimensions=3, noise=0)
    assert (without.vectors[~without.known] == [2, 3, 5]).all()


def test_the_order_of_the_file_does_not_matter(tmp_path):
    one = read_gene2vec(write(tmp_path / "a"), VOCABULARY, TABLE, dimensions=3)
    two = read_gene2vec(
        write(tmp_path / "b", dict(reversed(ROWS.items()))), VOCABULARY, TABLE, dimensions=3
    )
    np.testing.assert_array_equal(one.vectors, two.vectors)


def test_without_a_table_the_vocabulary_s_own_names_count(tmp_path):
    vocabulary = GeneVocabulary.from_ids(IDS[:2], ["ONE", "TWO"])
    aligned = read_gene2vec(write(tmp_path / "v"), vocabulary, dimensions=3)
    assert aligned.known.tolist() == [True, False]


def test_the_array_is_plain_npy(tmp_path):
    aligned = read_gene2vec(write(tmp_path / "v"), VOCABULARY, TABLE, dimensions=3)
    aligned.write(tmp_path / "v.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "v.npy", allow_pickle=False), aligned.vectors)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has 0 vectors"),
        ("ONE 1 2\n", "line 1: gene 'ONE' has 2 numbers, not 3"),
        ("ONE 1 2 3 4\n", "gene 'ONE' has 4 numbers, not 3"),
        ("ONE 1 2 3\nTWO 1 nan 3\n", "line 2: gene 'TWO' has a number that is NaN"),
        ("ONE 1 2 inf\n", "NaN or infinite"),
        ("ONE 1 2 x\n", "has text among its numbers"),
        ("ONE 1 2 3\nONE 1 2 3\n", "line 2: gene 'ONE' occurs twice"),
        ("9 3\nONE 1 2 3\n", "has 1 vectors where 9 were expected"),
        ("1 200\nONE 1 2 3\n", "vectors of 200, not 3"),
        ("Actb 1 2 3\n", "no vector for any of the 6 genes"),
    ],
)
def test_bad_files_are_refused(tmp_path, text, message):
    path = tmp_path / "v.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_gene2vec(path, VOCABULARY, TABLE, dimensions=3)


@pytest.mark.parametrize("setting", [{"missing": "nothing"}, {"noise": -1}, {"seed": -1}])
def test_bad_settings_are_refused(tmp_path, setting):
    with pytest.raises(ConfigError, match="missing must be"):
        read_gene2vec(write(tmp_path / "v"), VOCABULARY, TABLE, dimensions=3, **setting)
