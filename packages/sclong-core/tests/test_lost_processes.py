"""A process of several that dies is one line, whichever library notices."""

import os
import signal
import subprocess
import sys

import pytest
from torch.utils.data import DataLoader, Dataset

from sclong_core.errors import lost_process

RANKS = """
import os, signal, sys, torch
import torch.distributed as dist
from datetime import timedelta
from sclong_core.errors import lost_process
rank = int(sys.argv[1])
dist.init_process_group("gloo", init_method="file://" + sys.argv[2], rank=rank, world_size=2,
                        timeout=timedelta(seconds=90))
dist.all_reduce(torch.ones(1))
if rank == 1:
    os.kill(os.getpid(), signal.SIGKILL)
try:
    for _ in range(1000):
        dist.all_reduce(torch.ones(1))
except RuntimeError as error:
    print(lost_process(error))
"""


class _Killed(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, place):
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.fault
def test_a_reader_that_is_killed_is_said():
    with pytest.raises(RuntimeError) as caught:
        list(DataLoader(_Killed(), num_workers=1))
    said = lost_process(caught.value)
    assert said is not None
    assert said.startswith("a process that reads cells has died (DataLoader worker (pid")
    assert "\n" not in said


@pytest.mark.fault
def test_a_rank_that_is_killed_is_said_by_the_other(tmp_path):
    words = [sys.executable, "-P", "-c", RANKS]
    ranks = [
        subprocess.Popen(
            [*words, str(rank), str(tmp_path / "meeting")], stdout=subprocess.PIPE, text=True
        )
        for rank in range(2)
    ]
    said = ranks[0].communicate(timeout=240)[0]
    ranks[1].communicate(timeout=240)
    assert said.startswith("another process of this run has died (")
    assert said.count("\n") == 1


def test_other_errors_are_not_taken_for_it():
    assert lost_process(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) is None
    assert lost_process(OSError("Connection closed by peer")) is None
