import json
import os
import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sclong_core.errors import ConfigError, InputError
from sclong_data.corpus import corpus as corpus_module
from sclong_data.corpus.annotation import joined_column, tidy_obs
from sclong_data.corpus.corpus import CellCorpus
from sclong_data.corpus.index import write_corpus
from sclong_data.corpus.layout import KEPT, KEYS, VOCABULARY, shard_path
from sclong_data.corpus.shards import read_digests
from tests.support.corpora import shard_parts, write_made_up_corpus, write_shards

CELLS = {"a.0": 40, "a.1": 23, "b.0": 50}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    write_made_up_corpus(folder, CELLS)
    return folder


@pytest.fixture(scope="module")
def expected():
    """Expression of the corpus: all cells but the first three of each shard."""
    return np.concatenate(
        [shard_parts(count, seed=n)[0].toarray()[3:] for n, count in enumerate(CELLS.values())]
    )


@settings(max_examples=30, deadline=None)
@given(numbers=st.lists(st.integers(0, 103), max_size=60))
def test_cells_are_read_by_their_numbers(folder, expected, numbers):
    corpus = CellCorpus(folder)
    assert len(corpus) == 104
    assert np.array_equal(corpus.read(numbers).toarray(), expected[numbers])


def test_blocks_are_all_cells(folder, expected):
    blocks = list(CellCorpus(folder).blocks(30))
    assert [start for start, _ in blocks] == [0, 30, 60, 90]
    assert np.array_equal(np.concatenate([block.toarray() for _, block in blocks]), expected)


def test_no_other_cell_is_to_be_had(folder):
    for number in (-1, 104):
        with pytest.raises(IndexError, match="0 to 103"):
            CellCorpus(folder).read([number])


def test_keys_are_those_of_the_cells_that_are_kept(folder):
    keys = CellCorpus(folder).keys
    digests = [read_digests(folder, name)[3:, 0] for name in CELLS]
    assert np.array_equal(keys, np.concatenate(digests))


def test_annotation_is_that_of_the_cells(folder):
    corpus = CellCorpus(folder)
    obs = corpus.obs()
    assert list(obs) == ["cell_type", "dataset", "donor_id"]
    assert obs["dataset"].tolist() == ["a"] * 57 + ["b"] * 47
    assert corpus.datasets().tolist() == obs["dataset"].tolist()
    parts = [shard_parts(count, seed=n)[1][3:] for n, count in enumerate(CELLS.values())]
    assert obs.index.tolist() == [name for part in parts for name in part.index]
    assert obs["donor_id"].tolist() == [name for part in parts for name in part["donor_id"]]
    assert corpus.obs(["donor_id"])["donor_id"].tolist() == obs["donor_id"].tolist()
    with pytest.raises(ConfigError, match=r"no obs column 'age': it has cell_type, dataset"):
        corpus.obs(["age"])


def test_a_selection_becomes_anndata(folder, expected):
    cells = CellCorpus(folder).to_anndata([100, 3])
    assert np.array_equal(cells.X.toarray(), expected[[100, 3]])
    assert cells.obs_names.tolist() == ["2-46", "0-6"]
    assert cells.var_names.tolist() == list(CellCorpus(folder).vocabulary.ids)


def test_few_shards_stay_open(folder, expected, monkeypatch):
    monkeypatch.setattr(corpus_module, "_OPEN_SHARDS", 1)
    corpus = CellCorpus(folder)
    numbers = np.random.default_rng(0).permutation(104)
    assert np.array_equal(corpus.read(numbers).toarray(), expected[numbers])
    assert len(corpus._open) == 1
    sent = pickle.loads(pickle.dumps(corpus))  # noqa: S301, TID251  # what a worker is sent
    assert not sent._open
    assert np.array_equal(sent.read([5]).toarray(), expected[[5]])


def test_a_corpus_may_be_empty(tmp_path):
    write_made_up_corpus(tmp_path, {"a.0": 2}, duplicates=5)
    corpus = CellCorpus(tmp_path)
    assert len(corpus) == len(corpus.obs()) == len(corpus.keys) == 0
    assert corpus.read([]).shape == (0, 40)
    assert list(corpus.blocks()) == []


@pytest.mark.fault
@pytest.mark.parametrize("name", [KEPT, KEYS, VOCABULARY, "shards/a.1.zarr.zip"])
def test_missing_and_short_files_are_found_when_a_corpus_is_opened(tmp_path, name):
    write_made_up_corpus(tmp_path)
    path = tmp_path / name
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(InputError, match=path.name):
        CellCorpus(tmp_path)
    path.unlink()
    with pytest.raises(InputError, match=rf"{path.name} is missing"):
        CellCorpus(tmp_path)


@pytest.mark.fault
def test_another_vocabulary_of_the_same_length_is_refused(tmp_path):
    write_made_up_corpus(tmp_path)
    path = tmp_path / VOCABULARY
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[2], lines[1], *lines[3:]]) + "\n")
    with pytest.raises(InputError, match=r"vocabulary\.tsv has SHA-256"):
        CellCorpus(tmp_path)


def test_shards_of_another_vocabulary_are_refused(tmp_path):
    shards = write_shards(tmp_path, {"a.0": 5})
    small = shard_parts(5, genes=12)
    from sclong_core.vocabulary import GeneVocabulary  # noqa: PLC0415

    genes = GeneVocabulary.from_ids([f"g{n}" for n in range(12)])
    write_corpus(
        tmp_path,
        vocabulary=genes,
        rules={},
        shards=shards,
        kept={"a.0": np.ones(5, dtype=bool)},
        datasets=[],
    )
    with pytest.raises(InputError, match="of 40 genes"):
        CellCorpus(tmp_path).read([0])
    assert small[0].shape == (5, 12)


@pytest.mark.fault
def test_a_swapped_shard_is_refused_before_a_cell_is_read(tmp_path):
    write_made_up_corpus(tmp_path, {"a.0": 20})
    write_shards(tmp_path / "other", {"x.0": 1, "a.0": 20})
    swapped = shard_path(tmp_path / "other", "a.0").read_bytes()
    path = shard_path(tmp_path, "a.0")
    size = json.loads((tmp_path / "corpus.json").read_text())["shards"][0]["bytes"]
    path.write_bytes(swapped)
    with pytest.raises(InputError, match=r"a\.0\.zarr\.zip"):
        CellCorpus(tmp_path).read([0])
    assert size > 0


def test_columns_of_many_frames_are_joined():
    first = tidy_obs(pd.DataFrame({"n": [1, 2], "t": ["b", None], "x": [1, 2]}))
    second = tidy_obs(pd.DataFrame({"t": ["a"], "x": ["1"], "m": [True]}))
    frames = [first, second]
    joined = joined_column(frames, "t")
    assert joined.categories.tolist() == ["a", "b"]
    assert joined.codes.tolist() == [1, -1, 0]
    assert joined_column(frames, "x").tolist() == ["1", "2", "1"]
    assert np.array_equal(joined_column(frames, "n"), [1, 2, np.nan], equal_nan=True)
    assert np.array_equal(joined_column(frames, "m"), [np.nan, np.nan, 1], equal_nan=True)
    assert joined_column([first], "n").dtype == np.int64


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="this system knows no such hint")
def test_the_system_fetches_all_shards_while_the_first_is_read(folder, expected, monkeypatch):
    said, wanted, advise, read = [], set(), os.posix_fadvise, os.pread

    def announced(file, start, size, advice):
        said.append("announced")
        wanted.update(range(start, start + size))
        advise(file, start, size, advice)

    def fetched(file, size, start):
        said.append("read")
        assert wanted.issuperset(range(start, start + size))
        return read(file, size, start)

    monkeypatch.setattr(os, "posix_fadvise", announced)
    monkeypatch.setattr(os, "pread", fetched)
    numbers = [103, 0, 50]
    assert np.array_equal(CellCorpus(folder).read(numbers).toarray(), expected[numbers])
    first = said.index("read")
    assert said[:first].count("announced") == 2 * len(CELLS)  # values and positions of each
    assert "announced" not in said[first:]


def test_cells_are_read_where_the_system_knows_no_hint(folder, expected, monkeypatch):
    monkeypatch.delattr(os, "posix_fadvise", raising=False)
    assert np.array_equal(CellCorpus(folder).read([7, 99]).toarray(), expected[[7, 99]])
