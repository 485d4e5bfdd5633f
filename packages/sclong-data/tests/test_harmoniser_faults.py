"""Runs that are killed, or run out of disk, end with the bytes of a run that was not."""

import errno
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from sclong_core.errors import InputError
from sclong_data.corpus import shards
from sclong_data.dataset_manifest import Manifest
from sclong_data.harmoniser.run import harmonise
from tests.support.datasets import (
    SMALL_RULES,
    corpus_bytes,
    made_up_vocabulary,
    write_datasets,
)

pytestmark = pytest.mark.fault
NOTES = (
    "finished.json",
    "sources.json",
    "surveys/a.json",
    "surveys/a.npz",
    "units/a.00000.json",
    "../datasets/a.json",
)
KILLS = 54

KILLER = r'''
"""Starts runs that kill themselves: each is a copy of this process, which has loaded everything.

A run is killed by the system, without any chance to clean up, in the middle of the n-th thing that
it does to the file system: opening, making, renaming or removing something in the corpus.
"""
import json, os, signal, sys
from pathlib import Path

import anndata, zarr  # slow to load
from sclong_data.harmoniser.run import harmonise
from tests.support.datasets import SMALL_RULES, made_up_vocabulary
from sclong_data.dataset_manifest import Manifest

WATCHED = {"open", "os.rename", "os.mkdir", "os.remove", "os.truncate", "shutil.rmtree"}


def run(manifest, corpus, limit, seen):
    """One run in a copy of this process; gives how it ended."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    count = 0

    def watch(event, arguments):
        nonlocal count
        if event in WATCHED and str(arguments[0]).startswith(str(corpus)):
            count += 1
            if count == limit:
                os.write(seen, f"{event} {Path(arguments[0]).relative_to(corpus)}\n".encode())
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    status = 1
    try:
        harmonise(
            Manifest.read(manifest), corpus, vocabulary=made_up_vocabulary(), rules=SMALL_RULES
        )
        os.write(seen, f"done {count}\n".encode())
        status = 0
    finally:
        os._exit(status)


for line in sys.stdin:
    task = json.loads(line)
    reader, writer = os.pipe()
    status = run(Path(task["manifest"]), Path(task["corpus"]), task["limit"], writer)
    os.close(writer)
    with os.fdopen(reader) as handle:
        said = handle.read().strip()
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    print(json.dumps({"killed": killed, "status": status, "said": said}), flush=True)
'''


class Killer:
    """Asks the other process for runs."""

    def __init__(self, folder):
        script = folder / "killer.py"
        script.write_text(KILLER)
        self._folder = folder
        self._process = subprocess.Popen(  # a browser, with flags that stand here
            [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, corpus, limit, manifest="raw.tsv"):
        """A run that is killed at the limit; 0 for one that is not."""
        task = {"manifest": str(self._folder / manifest), "corpus": str(corpus), "limit": limit}
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self):
        self._process.stdin.close()
        assert self._process.wait(60) == 0
        self._process.stdout.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults")
    manifest = write_datasets(folder, cells=30)
    manifest.write(folder / "manifest.tsv")
    Manifest(manifest.entries[:2], folder).write(folder / "raw.tsv")
    return folder


@pytest.fixture(scope="module")
def killer(folder):
    killer = Killer(folder)
    yield killer
    killer.close()


@pytest.fixture(scope="module")
def undisturbed(killer, folder):
    """A run that nothing disturbed, and how many things it did to the file system."""
    ended = killer.run(folder / "undisturbed", 0)
    assert ended["status"] == 0, ended
    assert (folder / "undisturbed" / "corpus.json").is_file()
    return folder / "undisturbed", int(ended["said"].removeprefix("done "))


def test_a_run_killed_at_any_moment_is_taken_up_to_the_same_bytes(killer, folder, undisturbed):
    expected, steps = corpus_bytes(undisturbed[0]), undisturbed[1]
    touched = set()
    for limit in (np.random.default_rng(20).permutation(steps)[:KILLS] + 1).tolist():
        corpus = folder / f"killed-{limit}"
        ended = killer.run(corpus, limit)
        assert ended["killed"], (limit, ended)
        touched.add(ended["said"].partition(" ")[2].partition("/")[0])
        assert killer.run(corpus, 0)["status"] == 0, (limit, ended)
        assert corpus_bytes(corpus) == expected, (limit, ended)
        assert not list(corpus.rglob("*.tmp-*")), (limit, ended)
    assert {"shards", ".work"} <= touched


def test_a_run_killed_again_and_again_gets_done(killer, folder, undisturbed):
    generator = np.random.default_rng(21)
    corpus = folder / "again"
    kills = 0
    while killer.run(corpus, int(generator.integers(10, 90)))["killed"]:
        kills += 1
        assert kills < 100
    assert kills > 3
    assert corpus_bytes(corpus) == corpus_bytes(undisturbed[0])


def test_a_data_set_added_by_a_run_that_is_killed(killer, folder, undisturbed):
    assert killer.run(folder / "whole", 0, "manifest.tsv")["status"] == 0
    for limit in (np.random.default_rng(22).permutation(109)[:6] + 1).tolist():
        corpus = folder / f"added-{limit}"
        shutil.copytree(undisturbed[0], corpus)
        assert killer.run(corpus, limit, "manifest.tsv")["killed"]
        assert killer.run(corpus, 0, "manifest.tsv")["status"] == 0
        assert corpus_bytes(corpus) == corpus_bytes(folder / "whole")


@pytest.mark.parametrize("place", [0, 1, 4])
def test_a_full_disk_is_said_and_leaves_nothing_half_written(folder, tmp_path, monkeypatch, place):
    settings = {"vocabulary": made_up_vocabulary(), "rules": SMALL_RULES}
    write = shards.write_archive
    written = []

    def full(path, store):
        if len(written) == place:
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        written.append(path)
        write(path, store)

    monkeypatch.setattr(shards, "write_archive", full)
    with pytest.raises(InputError, match=r"the disk of .* is full: .* repeat the command"):
        harmonise(folder / "manifest.tsv", tmp_path / "corpus", **settings)
    assert len(list((tmp_path / "corpus" / "shards").glob("*.zip"))) == place
    assert not list(tmp_path.rglob("*.tmp-*"))
    assert not (tmp_path / "corpus" / "corpus.json").exists()
    monkeypatch.undo()
    harmonise(folder / "manifest.tsv", tmp_path / "corpus", **settings)
    harmonise(folder / "manifest.tsv", tmp_path / "fresh", **settings)
    assert corpus_bytes(tmp_path / "corpus") == corpus_bytes(tmp_path / "fresh")


@pytest.fixture
def small_disk(disk_of):
    """A file system of 4 MB."""
    return disk_of("4m")


def test_a_disk_that_really_is_full(folder, small_disk, tmp_path):
    settings = {"vocabulary": made_up_vocabulary(), "rules": SMALL_RULES}
    filler = small_disk / "filler"
    filler.write_bytes(bytes(3_900_000))
    with pytest.raises(InputError, match="is full: free some space"):
        harmonise(folder / "manifest.tsv", small_disk / "corpus", **settings)
    assert not [path for path in small_disk.rglob("*.tmp-*") if path.is_file()]
    filler.unlink()
    harmonise(folder / "manifest.tsv", small_disk / "corpus", **settings)
    harmonise(folder / "manifest.tsv", tmp_path / "fresh", **settings)
    assert corpus_bytes(small_disk / "corpus") == corpus_bytes(tmp_path / "fresh")


def another_number(content):
    places = [place for place, byte in enumerate(content) if byte in b"01234567"]
    place = places[len(places) // 2]
    return content[:place] + bytes([content[place] + 1]) + content[place + 1 :]


def cut(content):
    return content[: len(content) // 2]


def nested(content):
    return b"[" * 100_000


@pytest.mark.parametrize("damage", [another_number, cut, nested])
def test_damaged_notes_are_made_again_to_the_same_bytes(tmp_path, damage):
    manifest, corpus = write_datasets(tmp_path), tmp_path / "corpus"

    def run():
        return harmonise(manifest, corpus, vocabulary=made_up_vocabulary(), rules=SMALL_RULES)

    rows, expected = run().rows, corpus_bytes(corpus)
    assert run().unchanged
    for name in NOTES:
        note = corpus / ".work" / name
        note.write_bytes(damage(note.read_bytes()))
        again = run()
        assert again.rows == rows, name
        assert corpus_bytes(corpus) == expected, name
        assert run().unchanged
