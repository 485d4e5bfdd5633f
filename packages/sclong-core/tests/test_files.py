"""Files and folders that appear whole, and never take away what is there."""

import itertools
import os
import threading
from contextlib import suppress
from functools import partial

import pytest

from sclong_core import renaming
from sclong_core.files import TakenError, atomic_file, atomic_folder, leftovers, missing


def _refuses(number):
    def call(*_):
        renaming.ctypes.set_errno(number)
        return -1

    return call


@pytest.fixture(params=["here", "no such call", "not on this file system"])
def system(request, monkeypatch):
    """This machine, a C library without the call, a file system without the flags."""
    if request.param == "no such call":
        monkeypatch.setattr(renaming, "_system_rename", lambda: None)
    elif request.param != "here":
        call = _refuses(renaming.errno.EINVAL)
        monkeypatch.setattr(renaming, "_system_rename", lambda: call)
    return request.param


def _write_file(final, *, overwrite=False, meanwhile=lambda: None):
    with atomic_file(final, overwrite=overwrite) as temporary:
        temporary.write_text("ours")
        meanwhile()


def _write_folder(final, *, overwrite=False, meanwhile=lambda: None):
    with atomic_folder(final, overwrite=overwrite) as temporary:
        (temporary / "content").write_text("ours")
        meanwhile()


def _folder(path, text):
    path.mkdir()
    (path / "content").write_text(text)
    return path


@pytest.mark.usefixtures("system")
def test_a_file_that_appears_meanwhile_is_kept(tmp_path):
    final = tmp_path / "out.npy"
    with pytest.raises(TakenError, match=r"out\.npy already exists"):
        _write_file(final, meanwhile=lambda: final.write_text("theirs"))
    assert final.read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [final]


@pytest.mark.usefixtures("system")
def test_a_dangling_link_is_a_name_that_is_taken(tmp_path):
    final = tmp_path / "out.npy"
    final.symlink_to(tmp_path / "nowhere")
    with pytest.raises(TakenError), atomic_file(final, overwrite=False) as temporary:
        temporary.write_text("ours")
    with pytest.raises(TakenError), atomic_folder(final):
        pass
    assert final.is_symlink()
    assert list(tmp_path.iterdir()) == [final]


@pytest.mark.usefixtures("system")
def test_a_file_is_new_or_replaces_if_asked_to(tmp_path):
    for text, overwrite in (("one", False), ("two", True)):
        with atomic_file(tmp_path / "out.npy", overwrite=overwrite) as temporary:
            temporary.write_text(text)
        assert (tmp_path / "out.npy").read_text() == text
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.usefixtures("system")
@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_folder_that_appears_meanwhile_is_kept(tmp_path, kind):
    final = tmp_path / "out.zarr"
    made = partial(_folder, final) if kind == "folder" else final.write_text
    with pytest.raises(TakenError):
        _write_folder(final, meanwhile=lambda: made("theirs"))
    assert (final / "content" if kind == "folder" else final).read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [final]


@pytest.mark.usefixtures("system")
def test_a_folder_is_replaced(tmp_path):
    final = _folder(tmp_path / "out.zarr", "old")
    with atomic_folder(final, overwrite=True) as temporary:
        (temporary / "content").write_text("new")
    assert (final / "content").read_text() == "new"
    assert list(tmp_path.iterdir()) == [final]


class _KilledError(BaseException):
    """Stands for the end of the process."""


def _end_at_rename(monkeypatch, at):
    """End at one of the moments at which a name changes; a killed process changes none after it."""
    moments = []
    real = renaming.Path.rename

    def rename(*words):
        moments.append(words)
        if len(moments) >= at:
            raise _KilledError
        return real(*words)

    monkeypatch.setattr(renaming.Path, "rename", rename)


@pytest.mark.parametrize("at", [1, 2])
def test_an_old_folder_that_was_set_aside_comes_back(tmp_path, monkeypatch, caplog, at):
    """Where names cannot be exchanged: killed before the first rename, and before the second."""
    final = _folder(tmp_path / "checkpoint", "old")
    with monkeypatch.context() as patched:
        patched.setattr(renaming, "_system_rename", lambda: None)
        _end_at_rename(patched, at)
        with pytest.raises(_KilledError):
            _write_folder(final, overwrite=True)
    assert final.exists() == (at == 1)
    with pytest.raises(TakenError), atomic_folder(final):
        pass
    assert (final / "content").read_text() == "old"
    assert ("is restored" in caplog.text) == (at == 2)


def test_a_replaced_folder_is_under_its_name_at_every_moment(tmp_path, monkeypatch):
    final = _folder(tmp_path / "checkpoint", "old")
    seen = []
    real = renaming._system_rename()
    if real is None or not renaming._exchange(
        _folder(tmp_path / "a", ""), _folder(tmp_path / "b", "")
    ):
        pytest.skip("names cannot be exchanged here")

    def watched(*words):
        seen.append((final / "content").read_text())
        failed = real(*words)
        seen.append((final / "content").read_text())
        return failed

    monkeypatch.setattr(renaming, "_system_rename", lambda: watched)
    monkeypatch.setattr(renaming.Path, "rename", None)
    with atomic_folder(final, overwrite=True) as temporary:
        (temporary / "content").write_text("new")
    assert seen == ["old", "new"]


def test_names_as_long_as_may_be(tmp_path):
    final = tmp_path / ("o" * 250 + ".h5ad")
    with atomic_file(final, overwrite=False) as temporary:
        temporary.write_text("text")
        assert leftovers(final) == [temporary]
        assert leftovers(tmp_path / "other.h5ad") == []
    assert list(tmp_path.iterdir()) == [final]


def test_what_a_killed_process_of_the_same_number_left_is_no_matter(tmp_path):
    final = tmp_path / "out.zarr"
    left = _folder(tmp_path / f".out.tmp-{os.getpid()}.zarr", "half")
    assert leftovers(final) == [left]
    with atomic_folder(final) as temporary:
        assert list(temporary.iterdir()) == []
    assert list(tmp_path.iterdir()) == [final]


def test_a_folder_is_removed_though_a_thread_still_writes_into_it(tmp_path):
    begun, end = threading.Event(), threading.Event()

    def write(folder):
        for number in itertools.count():
            begun.set()
            with suppress(FileNotFoundError):
                (folder / str(number)).touch()
            if end.is_set():
                return

    def fail():
        with atomic_folder(tmp_path / "out.zarr") as folder:
            (folder / "obs").mkdir()
            threading.Thread(target=write, args=(folder / "obs",)).start()
            begun.wait()
            threading.Timer(0.1, end.set).start()
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_why_nothing_is_under_a_path(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "pool")
    (tmp_path / "pool").symlink_to(tmp_path / "loop")
    (tmp_path / "nowhere").symlink_to("gone.h5ad")
    assert missing(tmp_path / "x") == "does not exist"
    assert missing(tmp_path / "loop") == "is a loop of links"
    assert missing(tmp_path / "nowhere") == "is a link that leads nowhere (to gone.h5ad)"
    for name in ("loop", "nowhere"):
        words = missing(tmp_path / name)
        said = f"does not exist: its folder {tmp_path / name} {words}"
        assert missing(tmp_path / name / "x.h5ad") == said
