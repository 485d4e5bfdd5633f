import os

import numpy as np
import pytest

from sclong_core.errors import InputError
from sclong_data.corpus import shards
from sclong_data.corpus.layout import shard_path
from sclong_data.corpus.shard_reader import ShardReader
from tests.support.corpora import shard_parts, write_shards


def rows_of(reader, rows):
    rows = np.asarray(rows)
    spans = reader.spans(rows)
    ends = np.cumsum(spans[1] - spans[0])
    values = np.empty(ends[-1], np.float32)
    positions = np.empty(ends[-1], np.int32)
    reader.fill(spans, np.concatenate([[0], ends[:-1]]), values, positions)
    return [part.tolist() for part in np.split(values, ends[:-1])], positions


@pytest.fixture(params=[5, 16_384])
def shard(request, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "CHUNK", request.param)
    (record,) = write_shards(tmp_path, {"a.0": 50})
    return shard_path(tmp_path, "a.0"), record


def test_cells_come_in_the_order_that_is_asked_for(shard):
    path, record = shard
    reader = ShardReader(path, record)
    assert (len(reader), reader.genes, reader.vocabulary) == (50, 40, None)
    expression = shard_parts(50)[0]
    for rows in ([0], [49, 0, 7, 7], list(range(50))):
        values, positions = rows_of(reader, rows)
        expected = expression[rows]
        assert values == [part.tolist() for part in np.split(expected.data, expected.indptr[1:-1])]
        assert np.array_equal(positions, expected.indices)


def test_only_chunks_that_are_needed_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "CHUNK", 5)
    (record,) = write_shards(tmp_path, {"a.0": 50})
    reader = ShardReader(shard_path(tmp_path, "a.0"), record)
    reads = []
    read = os.pread
    monkeypatch.setattr(os, "pread", lambda *args: reads.append(args) or read(*args))
    rows_of(reader, [3])
    span = int(reader.pointers[4] - reader.pointers[3])
    assert 0 < len(reads) <= 2 * (span // 5 + 2)


def test_a_shard_of_another_corpus_is_refused(tmp_path):
    record, other = write_shards(tmp_path, {"a.0": 50, "a.1": 50})
    with pytest.raises(InputError, match=r"a\.1\.zarr\.zip .* not the shard that the index"):
        ShardReader(shard_path(tmp_path, other.name), record)
    with pytest.raises(InputError, match=r"a\.2\.zarr\.zip is missing"):
        ShardReader(shard_path(tmp_path, "a.2"))


def test_a_shard_of_another_version_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "FORMAT_VERSION", 2)
    (record,) = write_shards(tmp_path, {"a.0": 5})
    with pytest.raises(InputError, match="format version 2 is not 1"):
        ShardReader(shard_path(tmp_path, "a.0"), record)
