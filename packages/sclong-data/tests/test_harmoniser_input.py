"""A corpus is made of the files that its record names, as they were when they were identified."""

import os
import shutil

import h5py
import pytest

from sclong_core.errors import InputError
from sclong_data.dataset_manifest import DatasetEntry, Manifest
from sclong_data.harmoniser import run as running
from sclong_data.harmoniser.run import harmonise
from tests.support.datasets import SMALL_RULES, made_up_vocabulary, write_datasets


@pytest.fixture
def manifest(tmp_path):
    (tmp_path / "data").mkdir()
    return write_datasets(tmp_path / "data")


def _run(manifest, corpus):
    return harmonise(manifest, corpus, vocabulary=made_up_vocabulary(), rules=SMALL_RULES)


def _path(manifest, name):
    return next(manifest.expected_path(entry) for entry in manifest if entry.dataset == name)


def _rewritten(path, other):
    """Other bytes of the same size and time of change."""
    state = path.stat()
    content = other.read_bytes()[: state.st_size].ljust(state.st_size, b"\0")
    with path.open("r+b") as handle:
        handle.write(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def _replaced(path, other):
    shutil.copyfile(other, path.with_name("new"))
    path.with_name("new").replace(path)


@pytest.mark.parametrize("change", [_replaced, _rewritten])
@pytest.mark.parametrize("stage", ["do_survey", "do_shards"])
def test_a_file_that_is_replaced_is_not_in_the_corpus(
    tmp_path, manifest, monkeypatch, change, stage
):
    real = getattr(running, stage)

    def changed(shared, task):
        if task.entry.dataset == "a":
            change(task.path, _path(manifest, "b"))
        yield from real(shared, task)

    monkeypatch.setattr(running, stage, changed)
    made = _run(manifest, tmp_path / "corpus")
    assert made.failed == ("a",)
    reason = next(row["reason"] for row in made.rows if row["dataset"] == "a")
    assert "changed while it was being read" in reason or "cannot be read" in reason
    assert str(tmp_path) not in reason


def test_a_file_that_changes_while_a_shard_is_made_is_not_in_the_corpus(
    tmp_path, manifest, monkeypatch
):
    from sclong_data.harmoniser import units  # noqa: PLC0415  # patched here only

    real = units.blocks

    def changed(source, start, stop):
        yield from real(source, start, stop)
        if source.name.endswith("a.h5ad"):
            with _path(manifest, "a").open("ab") as handle:
                handle.write(b"more")

    monkeypatch.setattr(units, "blocks", changed)
    assert _run(manifest, tmp_path / "corpus").failed == ("a",)


def test_a_file_of_the_same_size_and_time_is_read_again(tmp_path, manifest):
    first = _run(manifest, tmp_path / "corpus")
    _rewritten(_path(manifest, "a"), _path(manifest, "b"))
    second = _run(manifest, tmp_path / "corpus")
    assert not second.unchanged
    assert second.rows != first.rows


def test_a_file_that_is_only_touched_changes_nothing(tmp_path, manifest):
    _run(manifest, tmp_path / "corpus")
    _path(manifest, "a").touch()
    assert _run(manifest, tmp_path / "corpus").unchanged


@pytest.mark.parametrize("place", ["X", "obs", "uns/note", "layers/far"])
def test_a_data_set_that_leads_to_another_file_fails_alone(tmp_path, manifest, place):
    os.mkfifo(tmp_path / "pipe.h5")
    with h5py.File(_path(manifest, "a"), "r+") as file:
        if place in file:
            del file[place]
        file[place] = h5py.ExternalLink(str(tmp_path / "pipe.h5"), "/X")
    made = _run(manifest, tmp_path / "corpus")
    assert made.failed == ("a",)
    assert f"{place} is a link to" in next(row["reason"] for row in made.rows if row["reason"])


@pytest.mark.filterwarnings("ignore:Writing zarr v2 data:UserWarning")
def test_a_store_that_leads_out_fails_and_no_corpus_is_made_in_one(tmp_path, manifest):
    from anndata import read_h5ad  # noqa: PLC0415  # slow

    store = tmp_path / "data" / "z.zarr"
    read_h5ad(_path(manifest, "a")).write_zarr(store)
    entry = DatasetEntry("z", location="z.zarr")
    every = Manifest((entry, *manifest), manifest.folder)
    for place in (store / "corpus", store):
        with pytest.raises(InputError, match="lies in the data set"):
            _run(every, place)
    assert not (store / "corpus").exists()
    (store / "uns" / "home").symlink_to(tmp_path)
    assert _run(every, tmp_path / "corpus").failed == ("z",)
