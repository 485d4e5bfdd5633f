import json

import numpy as np
import pytest

from sclong_core.errors import InputError
from sclong_data.corpus.index import read_index, write_corpus
from sclong_data.corpus.layout import INDEX
from sclong_data.corpus.shards import read_digests
from tests.support.corpora import VOCABULARY, shard_parts, write_shards


def test_an_index_says_what_the_corpus_consists_of(tmp_path):
    shards = write_shards(tmp_path, {"b.0": 5, "a.10": 4, "a.2": 3})
    kept = {record.name: np.ones(record.cells, dtype=bool) for record in shards}
    kept["b.0"][[0, 3]] = False
    index = write_corpus(
        tmp_path,
        vocabulary=VOCABULARY,
        rules={"maximum": 10.0},
        shards=shards,
        kept=kept,
        datasets=[{"dataset": "a"}, {"dataset": "b"}],
    )
    assert [record.name for record in index.shards] == ["a.2", "a.10", "b.0"]
    assert index.kept == (3, 4, 3)
    assert index.cells == 10
    assert index.vocabulary == VOCABULARY.digest
    assert read_index(tmp_path) == index
    keys = np.load(tmp_path / "cells" / "keys.npy")
    assert keys[-3:].tolist() == read_digests(tmp_path, "b.0")[[1, 2, 4], 0].tolist()


def test_reports_that_are_there_belong_to_the_corpus(tmp_path):
    (tmp_path / "datasets").mkdir()
    for name in ("datasets/a.json", "report.tsv", "notes.txt"):
        (tmp_path / name).write_text("x")
    index = write_corpus(tmp_path, vocabulary=VOCABULARY, rules={}, shards=[], kept={}, datasets=[])
    beside = {"cells/kept.npy", "cells/keys.npy", "vocabulary.tsv"}
    assert set(index.files) == beside | {"datasets/a.json", "report.tsv"}


def test_the_order_of_shards_changes_nothing(tmp_path):
    shards = write_shards(tmp_path, {"b.0": 5, "a.0": 4})
    settings = {
        "vocabulary": VOCABULARY,
        "rules": {},
        "kept": {record.name: np.ones(record.cells, dtype=bool) for record in shards},
        "datasets": [],
    }
    first = write_corpus(tmp_path, shards=shards, **settings)
    before = (tmp_path / INDEX).read_bytes()
    assert write_corpus(tmp_path, shards=shards[::-1], **settings) == first
    assert (tmp_path / INDEX).read_bytes() == before
    with pytest.raises(InputError, match="occurs twice"):
        write_corpus(tmp_path, shards=[*shards, shards[0]], **settings)
    with pytest.raises(InputError, match="booleans"):
        write_corpus(tmp_path, shards=shards, **{**settings, "kept": {}})


def test_an_index_that_is_not_one_of_this_version_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no corpus"):
        read_index(tmp_path)
    write_corpus(tmp_path, vocabulary=VOCABULARY, rules={}, shards=[], kept={}, datasets=[])
    path = tmp_path / INDEX
    good = json.loads(path.read_text())
    for change, message in (
        ({"format": 2}, "format version 2"),
        ({"rules": {"maximum": 5}}, "its digest is"),
        ({"digest": "0"}, "its digest is 0"),
    ):
        path.write_text(json.dumps({**good, **change}))
        with pytest.raises(InputError, match=message):
            read_index(tmp_path)
    for text in ("{", "[]"):
        path.write_text(text)
        with pytest.raises(InputError, match="damaged"):
            read_index(tmp_path)


def test_parts_are_as_they_are_said_to_be():
    expression, obs, digests = shard_parts(6, seed=3)
    assert expression.shape == (6, len(VOCABULARY))
    assert len(obs) == len(digests) == 6
