import errno
import zipfile

import anndata
import numpy as np
import pandas as pd
import pytest
import zarr
from scipy import sparse

from sclong_core.errors import InputError
from sclong_core.testing import synthetic_gene_ids
from sclong_core.vocabulary import GeneVocabulary
from sclong_data.corpus import archive, shards
from sclong_data.corpus.layout import record_path, shard_path
from sclong_data.corpus.shards import read_digests, read_shard_record, write_shard

GENES = 50
VOCABULARY = GeneVocabulary.from_ids(synthetic_gene_ids(GENES), [f"S{n}" for n in range(GENES)])


def parts(cells=40, seed=0):
    random = np.random.default_rng(seed)
    expression = sparse.random_array(
        (cells, GENES), density=0.3, format="csr", dtype=np.float32, rng=random
    )
    expression.sort_indices()
    obs = pd.DataFrame(
        {
            "tissue": pd.Categorical(random.choice(["lung", "blood"], cells)),
            "donor": pd.Series(random.choice(["a", None], cells), dtype=object).to_numpy(),
            "age": random.integers(1, 90, cells),
            "is_primary_data": random.random(cells) < 0.5,
        },
        index=[f"cell{number}" for number in range(cells)],
    )
    digests = random.integers(0, 1 << 62, (cells, 2)).astype(np.uint64)
    return expression, obs, digests


@pytest.mark.parametrize("cells", [0, 1, 40])
def test_anndata_reads_what_was_written(tmp_path, cells):
    expression, obs, digests = parts(cells)
    record = write_shard(tmp_path, "set.0", expression, obs, digests, vocabulary=VOCABULARY)
    assert (record.dataset, record.cells, record.values) == ("set", cells, expression.nnz)
    with zarr.storage.ZipStore(shard_path(tmp_path, "set.0")) as store:
        read = anndata.read_zarr(store)
    assert (expression != read.X).nnz == 0
    assert read.X.dtype == np.float32
    assert read.obs_names.tolist() == obs.index.tolist()
    assert read.var_names.tolist() == list(VOCABULARY.ids)
    assert read.var["symbol"].tolist() == list(VOCABULARY.symbols)
    assert read.obs["donor"].astype(object).fillna("").tolist() == obs["donor"].fillna("").tolist()
    assert read.obs["age"].tolist() == obs["age"].tolist()
    assert np.array_equal(read_digests(tmp_path, "set.0"), digests)


def test_chunks_of_many_sizes_come_back(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "CHUNK", 7)
    expression, obs, digests = parts()
    expression.indices[:14] = 0  # a chunk of nothing but zarr's fill value
    write_shard(tmp_path, "set.0", expression, obs, digests)
    with zarr.storage.ZipStore(shard_path(tmp_path, "set.0")) as store:
        read = anndata.read_zarr(store)
    assert np.array_equal(read.X.indices, expression.indices)
    assert np.array_equal(read.X.data, expression.data)


def test_equal_arguments_give_equal_bytes(tmp_path):
    first = write_shard(tmp_path, "a.0", *parts(), vocabulary=VOCABULARY)
    again = write_shard(tmp_path / "b", "a.0", *parts(), vocabulary=VOCABULARY)
    other = write_shard(tmp_path, "a.1", *parts(seed=1), vocabulary=VOCABULARY)
    assert first == again
    assert first.sha256 != other.sha256
    with zipfile.ZipFile(shard_path(tmp_path, "a.0")) as stored:
        assert {member.date_time[0] for member in stored.infolist()} == {1980}


def test_texts_become_categories_in_one_order(tmp_path):
    expression, obs, digests = parts()
    moved = obs.assign(tissue=obs["tissue"].cat.reorder_categories(["lung", "blood"]))
    plain = obs.assign(tissue=obs["tissue"].astype(object))
    hashes = {
        write_shard(tmp_path, "a.0", expression, frame, digests).sha256
        for frame in (obs, moved, plain)
    }
    assert len(hashes) == 1


def test_a_record_is_there_only_for_a_whole_shard(tmp_path):
    assert read_shard_record(tmp_path, "a.0") is None
    record = write_shard(tmp_path, "a.0", *parts())
    assert read_shard_record(tmp_path, "a.0", verify=True) == record
    path = shard_path(tmp_path, "a.0")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert read_shard_record(tmp_path, "a.0") == record
    assert read_shard_record(tmp_path, "a.0", verify=True) is None
    path.write_bytes(content[:-1])
    assert read_shard_record(tmp_path, "a.0") is None
    assert write_shard(tmp_path, "a.0", *parts()) == record
    record_path(tmp_path, "a.0").write_text("{}")
    assert read_shard_record(tmp_path, "a.0") is None


@pytest.mark.fault
def test_a_full_disk_leaves_no_part_of_a_shard(tmp_path, monkeypatch):
    record = write_shard(tmp_path, "a.0", *parts())

    def full(path, store):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(shards, "write_archive", full)
    with pytest.raises(OSError, match="No space"):
        write_shard(tmp_path, "a.0", *parts(seed=1))
    monkeypatch.undo()
    assert sorted(path.name for path in (tmp_path / "shards").iterdir()) == ["a.0.zarr.zip"]
    assert read_shard_record(tmp_path, "a.0") is None
    assert write_shard(tmp_path, "a.0", *parts()) == record


@pytest.mark.parametrize("name", ["a", "../a.0", "a/b.0", ".a.0", "a.x", "a.0\n", "é.0"])
def test_names_that_leave_the_folder_are_refused(tmp_path, name):
    with pytest.raises(InputError, match="name of a shard"):
        write_shard(tmp_path, name, *parts())


def test_arrays_of_another_form_are_refused(tmp_path):
    expression, obs, digests = parts()
    for bad, message in (
        ((expression.astype(np.float64), obs, digests), "float32"),
        ((expression.tocsc(), obs, digests), "CSR"),
        ((expression, obs[:-1], digests), "rows of obs"),
        ((expression, obs, digests[:, :1]), "digests"),
    ):
        with pytest.raises(InputError, match=message):
            write_shard(tmp_path, "a.0", *bad)
    with pytest.raises(InputError, match="vocabulary of 3"):
        write_shard(tmp_path, "a.0", *parts(), vocabulary=GeneVocabulary.from_ids(["a", "b", "c"]))


def test_digests_of_a_damaged_shard_name_the_shard(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_digests(tmp_path, "a.0")
    write_shard(tmp_path, "a.0", *parts())
    path = shard_path(tmp_path, "a.0")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match=r"a\.0\.zarr\.zip is damaged"):
        read_digests(tmp_path, "a.0")


def test_a_member_is_found_where_it_stands(tmp_path):
    write_shard(tmp_path, "a.0", *parts())
    path = shard_path(tmp_path, "a.0")
    with zipfile.ZipFile(path) as stored:
        for member in stored.infolist():
            start = archive.member_offset(stored, member.filename)
            part = path.read_bytes()[start : start + member.file_size]
            assert part == stored.read(member)
