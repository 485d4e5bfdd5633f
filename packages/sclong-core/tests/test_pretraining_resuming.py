"""Who chooses the checkpoint that all ranks load, with a trainer that has no ranks."""

from types import SimpleNamespace

import pytest
from lightning.pytorch.trainer.states import TrainerFn

from sclong_core.errors import CheckpointError
from sclong_core.pretraining.checkpoint_io import AtomicCheckpointIO
from sclong_core.pretraining.checkpointing import NEWEST, SameCheckpoint


class Trainer:
    """What is asked of Lightning's: this rank, the word of the first, and the files."""

    def __init__(self, *, first, said=None, doing=TrainerFn.FITTING):
        self.is_global_zero = first
        self.state = SimpleNamespace(fn=doing)
        self.strategy = SimpleNamespace(
            broadcast=lambda found: found if first else said, load_checkpoint=self.load
        )
        self.loaded = []

    def load(self, path, **options):
        self.loaded.append(path)
        return AtomicCheckpointIO().load_checkpoint(path)


def save(folder, step):
    path = folder / f"step={step}.ckpt"
    content = {"global_step": step, "epoch": 0, "pytorch-lightning_version": "2.5.0", "loops": {}}
    AtomicCheckpointIO().save_checkpoint({**content, "callbacks": {}, "state_dict": {}}, path)
    return path


def test_the_first_rank_takes_the_newest_that_is_whole(tmp_path):
    before, newest = save(tmp_path, 3), save(tmp_path, 4)
    newest.write_bytes(b"damaged")
    trainer = Trainer(first=True)
    loading = SameCheckpoint(trainer, tmp_path)
    loading.resume_start(NEWEST)
    assert trainer.loaded == [before]
    assert loading.begun == 3


def test_another_rank_takes_its_word_and_does_not_look_for_itself(tmp_path, monkeypatch):
    said = save(tmp_path, 3)
    save(tmp_path, 4)
    monkeypatch.setattr(
        "sclong_core.pretraining.checkpointing.newest_valid_checkpoint", lambda folder: 1 / 0
    )
    trainer = Trainer(first=False, said=said)
    SameCheckpoint(trainer, tmp_path).resume_start(NEWEST)
    assert trainer.loaded == [said]


def test_a_run_without_checkpoints_begins_but_measures_nothing(tmp_path):
    trainer = Trainer(first=True)
    loading = SameCheckpoint(trainer, tmp_path)
    loading.resume_start(NEWEST)
    assert trainer.loaded == []
    assert loading.begun is None
    with pytest.raises(CheckpointError, match="holds no checkpoint: give --ckpt_path"):
        SameCheckpoint(Trainer(first=True, doing=TrainerFn.VALIDATING), tmp_path).resume_start(
            NEWEST
        )


def test_a_checkpoint_that_was_asked_for_is_loaded_or_refused(tmp_path):
    asked, newest = save(tmp_path, 3), save(tmp_path, 4)
    trainer = Trainer(first=True)
    SameCheckpoint(trainer, tmp_path).resume_start(asked)
    assert trainer.loaded == [asked]
    newest.write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match=r"step=4\.ckpt has 7 bytes"):
        SameCheckpoint(trainer, tmp_path).resume_start(newest)
