"""When checkpoints are saved and removed, with a trainer that writes plain files."""

import errno
from types import SimpleNamespace

import pytest

from sclong_core.errors import CheckpointError, ConfigError
from sclong_core.pretraining.checkpointing import CheckpointPolicy, SaveCheckpoints


class Trainer:
    """What the callback asks of Lightning's."""

    is_global_zero = True

    def __init__(self, folder, full=()):
        self.folder, self.full, self.global_step = folder, set(full), 0
        self.waited = 0
        self.strategy = SimpleNamespace(
            barrier=self.barrier, broadcast=lambda said: said, remove_checkpoint=self.remove
        )

    def barrier(self, name):
        self.waited += 1

    def remove(self, path):
        path.with_name(f"{path.name}.json").unlink()
        path.unlink()

    def save_checkpoint(self, path):
        if self.global_step in self.full:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")
        path.write_text("x")
        path.with_name(f"{path.name}.json").write_text("{}")

    def steps(self):
        return sorted(int(path.stem[5:]) for path in self.folder.glob("*.ckpt"))

    def run(self, callback, *steps):
        for step in steps:
            self.global_step = step
            callback.on_train_batch_end(self, None)


def callback(folder, start=0, **policy):
    found = SaveCheckpoints(folder, CheckpointPolicy(**{"every_n_steps": 2, **policy}))
    found.on_train_start(SimpleNamespace(global_step=start), None)
    return found


def test_the_newest_are_kept_and_batches_amid_a_step_save_nothing(tmp_path):
    trainer = Trainer(tmp_path)
    trainer.run(callback(tmp_path, start=2, keep=2), 2, 2, 3, 4, 5, 6, 8, 8, 9)
    assert trainer.steps() == [6, 8]


def test_what_is_newer_than_the_run_is_left_alone(tmp_path):
    trainer = Trainer(tmp_path)
    trainer.run(callback(tmp_path), 20)  # of a run that somebody went back behind
    trainer.run(callback(tmp_path, keep=1), 4, 6)
    assert trainer.steps() == [6, 20]


def test_failures_in_a_row_are_said_and_end_the_run(tmp_path, caplog):
    trainer = Trainer(tmp_path, full=(4, 6, 10, 12, 14))
    saving = callback(tmp_path, keep=1)
    trainer.run(saving, 2, 4, 6)
    assert trainer.steps() == [2]
    assert "step=4.ckpt could not be written: Disk quota exceeded" in caplog.messages[0]
    assert caplog.messages[1].endswith("stops if 1 more in a row cannot be written")
    trainer.run(saving, 8, 10, 12)
    assert trainer.steps() == [8]
    said = r"step=14.*stopping after 3 in a row.*repeat the command"
    with pytest.raises(CheckpointError, match=said):
        trainer.run(saving, 14)
    assert trainer.steps() == [8]
    assert trainer.waited == 5  # with the ranks that wrote nothing


@pytest.mark.parametrize("failures", [1, 2, 21, 22])
def test_a_run_stops_after_as_many_as_its_policy_says(tmp_path, failures):
    trainer = Trainer(tmp_path, full=range(2, 100, 2))
    saving = callback(tmp_path, stop_after_failures=failures)
    trainer.run(saving, *range(2, 2 * failures, 2))
    with pytest.raises(CheckpointError, match=f"stopping after {failures} in a row"):
        trainer.run(saving, 2 * failures)


@pytest.mark.parametrize(
    "wrong", [{"every_n_steps": 0}, {"keep": 0}, {"keep": -2}, {"stop_after_failures": 0}]
)
def test_a_policy_that_keeps_nothing_is_refused(wrong):
    with pytest.raises(ConfigError, match=f"checkpoints.{next(iter(wrong))} must be"):
        CheckpointPolicy(**wrong)
