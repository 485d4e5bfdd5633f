import contextlib
import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys

import pytest

from sclong_core.lock import LockedError, locked

HOLDER = """
import subprocess, sys, time
from sclong_core.lock import locked

with locked(sys.argv[1], "it", inherited=sys.argv[2] != "own") as descriptor:
    if sys.argv[2] != "alone":
        subprocess.Popen(
            [sys.executable, "-c", "import time; print('child', flush=True); time.sleep(60)"],
            pass_fds=(descriptor,),
        )
    else:
        print("alone", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    started = []

    def start(kind="alone"):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, tmp_path / "lock", kind],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        process.stdout.readline()
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def test_the_second_is_refused_and_told_who_holds_it(tmp_path, holder):
    process = holder()
    said = f"the run is being written by process {process.pid} on {socket.gethostname()}"
    with pytest.raises(LockedError, match=said), locked(tmp_path / "lock", "the run"):
        pass


def test_a_lock_is_free_after_its_body_even_if_that_failed(tmp_path):
    with pytest.raises(RuntimeError), locked(tmp_path / "lock", "it"):
        raise RuntimeError
    with locked(tmp_path / "lock", "it"):
        pass


@pytest.mark.fault
def test_the_lock_of_a_killed_process_is_free_at_once(tmp_path, holder):
    process = holder()
    process.kill()
    process.wait()
    with locked(tmp_path / "lock", "it"):
        assert f"process {os.getpid()} " in (tmp_path / "lock").read_text()


@pytest.mark.fault
def test_a_child_that_inherits_the_lock_holds_it_when_its_parent_is_killed(tmp_path, holder):
    process = holder("inherited")
    process.kill()
    process.wait()
    with pytest.raises(LockedError), locked(tmp_path / "lock", "it"):
        pass


@pytest.mark.fault
def test_a_lock_that_is_not_inherited_ends_with_its_process_whoever_lives_on(tmp_path, holder):
    process = holder("own")
    with pytest.raises(LockedError), locked(tmp_path / "lock", "it", inherited=False):
        pass
    process.kill()
    process.wait()
    with locked(tmp_path / "lock", "it", inherited=False):
        pass


@pytest.mark.fault
def test_a_file_system_without_locks_is_said_and_used(tmp_path, monkeypatch, caplog):
    def unable(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", unable)
    with locked(tmp_path / "lock", "the run"):
        pass
    assert "the run cannot be locked" in caplog.text
