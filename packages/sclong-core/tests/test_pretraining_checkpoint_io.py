import errno
import json
import os
import zipfile

import pytest
import torch

from sclong_core.errors import CheckpointError
from sclong_core.pretraining import checkpoint_io
from sclong_core.pretraining.checkpoint_io import (
    AtomicCheckpointIO,
    clean_checkpoints,
    newest_valid_checkpoint,
    verify,
)


def save(folder, step, **more):
    path = folder / f"step={step}.ckpt"
    content = {"global_step": step, "epoch": 1, "weights": torch.arange(1000.0), **more}
    AtomicCheckpointIO().save_checkpoint(content, path)
    return path


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path):
    os.truncate(path, path.stat().st_size // 2)


def empty(path):
    path.write_bytes(b"")


def lose_record(path):
    path.with_name(path.name + ".json").unlink()


def spoil_record(path):
    path.with_name(path.name + ".json").write_text("{")


def test_what_is_saved_is_loaded(tmp_path):
    path = save(tmp_path, 7)
    loaded = AtomicCheckpointIO().load_checkpoint(path)
    assert loaded["global_step"] == 7
    assert torch.equal(loaded["weights"], torch.arange(1000.0))
    assert verify(path).step == 7
    assert {item.name for item in tmp_path.iterdir()} == {"step=7.ckpt", "step=7.ckpt.json"}


@pytest.mark.fault
@pytest.mark.parametrize("damage", [flip, cut, empty, lose_record, spoil_record])
def test_a_damaged_checkpoint_is_refused_and_the_one_before_is_found(tmp_path, damage, caplog):
    before, newest = save(tmp_path, 9), save(tmp_path, 10)
    damage(newest)
    with pytest.raises(CheckpointError, match=r"step=10\.ckpt"):
        AtomicCheckpointIO().load_checkpoint(newest)
    assert newest_valid_checkpoint(tmp_path) == before
    assert "step=10.ckpt" in caplog.text


@pytest.mark.fault
@pytest.mark.parametrize("ending", ["", ".json"])
def test_one_that_the_disk_does_not_give_is_refused_and_the_one_before_is_found(
    tmp_path, monkeypatch, ending
):
    before, newest = save(tmp_path, 9), save(tmp_path, 10)
    broken, opened = newest.with_name(newest.name + ending), type(newest).open

    def fail(path, *arguments, **options):
        if path == broken:
            raise OSError(errno.EIO, "Input/output error")
        return opened(path, *arguments, **options)

    monkeypatch.setattr(type(newest), "open", fail)
    with pytest.raises(CheckpointError, match=r"step=10\.ckpt"):
        verify(newest)
    assert newest_valid_checkpoint(tmp_path) == before


def test_checkpoints_that_were_swapped_are_refused(tmp_path):
    one, other = save(tmp_path, 1), save(tmp_path, 2, extra=torch.ones(3))
    other.replace(one)
    with pytest.raises(CheckpointError, match="damaged"):
        verify(one)


def test_the_newest_is_that_with_most_steps(tmp_path):
    assert newest_valid_checkpoint(tmp_path) is None
    assert newest_valid_checkpoint(tmp_path / "absent") is None
    for step in (9, 100, 20):
        save(tmp_path, step)
    assert newest_valid_checkpoint(tmp_path).name == "step=100.ckpt"


@pytest.mark.fault
@pytest.mark.parametrize("target", ["open", "fsync"])
def test_a_full_disk_leaves_earlier_checkpoints_as_they_are(tmp_path, monkeypatch, target):
    path = save(tmp_path, 1)
    before = {item: item.read_bytes() for item in tmp_path.iterdir()}
    fired = []

    def full(*args, **kwargs):
        fired.append(args)
        raise OSError(errno.ENOSPC, "No space left on device")

    if target == "open":
        monkeypatch.setattr(torch, "save", full)
    else:
        monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save(tmp_path, 2)
    with pytest.raises(OSError, match="No space left"):
        save(tmp_path, 1, extra=1)
    assert fired
    assert {item: item.read_bytes() for item in tmp_path.iterdir()} == before
    assert newest_valid_checkpoint(tmp_path) == path


def test_pytorchs_own_complaint_about_a_full_disk_is_said_plainly(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise RuntimeError("[enforce fail at inline_container.cc] . PytorchStreamWriter failed")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="check that the disk is not full"):
        save(tmp_path, 2)


@pytest.mark.fault
def test_no_code_in_a_checkpoint_is_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "pwned"),))

    path = save(tmp_path, 1, evil=Evil())
    with pytest.raises(CheckpointError, match="more than tensors"):
        AtomicCheckpointIO().load_checkpoint(path)
    assert not (tmp_path / "pwned").exists()
    assert zipfile.is_zipfile(path)


def test_what_interrupted_runs_left_is_removed(tmp_path):
    for step in range(1, 6):
        save(tmp_path, step)
    (tmp_path / ".step=9.tmp-123.ckpt").touch()
    clean_checkpoints(tmp_path, keep=2)
    assert {path.name for path in tmp_path.iterdir()} == {
        f"step={step}.ckpt{end}" for step in (4, 5) for end in ("", ".json")
    }


@pytest.mark.fault
def test_the_last_valid_one_is_never_removed(tmp_path):
    paths = [save(tmp_path, step) for step in range(1, 4)]
    for path in paths[1:]:
        flip(path)
    clean_checkpoints(tmp_path, keep=1)
    assert newest_valid_checkpoint(tmp_path) == paths[0]


@pytest.mark.fault
def test_a_checkpoint_that_cannot_be_removed_does_not_end_the_run(tmp_path, monkeypatch, caplog):
    path = save(tmp_path, 1)

    def refuse(self, **options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(type(path), "unlink", refuse)
    AtomicCheckpointIO().remove_checkpoint(path)
    assert "could not be removed: Permission denied" in caplog.text


def test_a_record_is_plain_json(tmp_path):
    record = json.loads((save(tmp_path, 3).parent / "step=3.ckpt.json").read_text())
    assert set(record) == {"bytes", "epoch", "sha256", "step"}
    with pytest.raises(TypeError, match="not take storage options"):
        checkpoint_io.AtomicCheckpointIO().save_checkpoint({}, tmp_path / "x.ckpt", {"a": 1})
