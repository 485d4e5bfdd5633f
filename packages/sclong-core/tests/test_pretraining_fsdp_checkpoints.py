"""Checkpoint folders without ranks: what is in them, what is refused, nothing executed."""

import pickle

import pytest
import torch

from sclong_core.errors import CheckpointError
from sclong_core.pretraining.checkpoint_io import (
    AtomicCheckpointIO,
    clean_checkpoints,
    newest_valid_checkpoint,
    write_record,
)
from sclong_core.pretraining.fsdp_checkpoints import VALUES, PlainReader, read_whole, write_sharded


class Code:
    def __reduce__(self):
        return (print, ("executed",))


def checkpoint(step=3):
    moments = {"exp_avg": torch.ones(2), "step": torch.tensor(3.0)}
    return {
        "global_step": step,
        "epoch": 0,
        "state_dict": {"weight": torch.arange(2.0), "index": torch.tensor(4)},
        "optimizer_states": [
            {"state": {"weight": moments}, "param_groups": [{"lr": 0.1, "params": ["weight"]}]}
        ],
    }


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "step=3.ckpt"
    path.mkdir()
    write_sharded(checkpoint(), path)
    write_record(path, checkpoint())
    return path


def test_the_whole_is_what_was_written_with_parameters_by_number(folder):
    found = AtomicCheckpointIO().load_checkpoint(folder)
    assert found["global_step"] == 3
    assert torch.equal(found["state_dict"]["weight"], torch.arange(2.0))
    assert int(found["state_dict"]["index"]) == 4
    [state] = found["optimizer_states"]
    assert state["param_groups"] == [{"lr": 0.1, "params": [0]}]
    assert torch.equal(state["state"][0]["exp_avg"], torch.ones(2))
    assert float(state["state"][0]["step"]) == 3


@pytest.mark.parametrize("name", [".metadata", VALUES, "__0_0.distcp"])
def test_damage_is_found_in_every_file_and_the_one_before_is_taken(folder, name):
    before = folder.with_name("step=2.ckpt")
    before.mkdir()
    write_sharded(checkpoint(2), before)
    write_record(before, checkpoint(2))
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(CheckpointError, match="SHA-256"):
        AtomicCheckpointIO().load_checkpoint(folder)
    assert newest_valid_checkpoint(folder.parent) == before


@pytest.mark.parametrize("name", [".metadata", VALUES])
def test_code_in_a_pickle_is_refused(folder, name, capsys):
    (folder / name).write_bytes(pickle.dumps(Code()))
    with pytest.raises(CheckpointError):
        read_whole(folder)
    assert "executed" not in capsys.readouterr().out


def larger(found):
    kind = found.state_dict_metadata["model/weight"]
    kind.size = torch.Size([2**40])


def elsewhere(found):
    for place in found.storage_data.values():
        place.relative_path = "../other.distcp"


def none(found):
    found.state_dict_metadata = ["model/weight"]


@pytest.mark.parametrize(
    ("lie", "said"),
    [(larger, "more tensors than there are"), (elsewhere, "not the list"), (none, "not the list")],
)
def test_a_list_that_lies_is_refused(folder, lie, said):
    path = folder / ".metadata"
    found = PlainReader(folder).read_metadata()
    lie(found)
    path.write_bytes(pickle.dumps(found))
    with pytest.raises(CheckpointError, match=said):
        read_whole(folder)


def test_a_shard_that_is_none_is_refused_by_rank_and_reason(folder):
    (folder / "__0_0.distcp").write_bytes(b"none")
    with pytest.raises(CheckpointError, match="cannot be read: rank 0: "):
        read_whole(folder)


def test_a_shard_that_cannot_be_written_is_an_error_of_the_system(tmp_path):
    (tmp_path / "__0_0.distcp").mkdir()
    with pytest.raises(OSError, match=r"rank 0: .*Is a directory"):
        write_sharded(checkpoint(), tmp_path)


def test_folders_are_removed_and_what_an_interrupted_run_left_too(folder):
    stray = folder.with_name(".step=4.tmp-1.ckpt")
    stray.mkdir()
    (stray / "__0_0.distcp").touch()
    clean_checkpoints(folder.parent, keep=1)
    assert not stray.exists()
    AtomicCheckpointIO().remove_checkpoint(folder)
    assert list(folder.parent.iterdir()) == []
