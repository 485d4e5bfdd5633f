"""Ctrl-C ends a command whatever it is at, in one line, with what it has started."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMAND = """
import sys, time, ctypes, threading
from types import SimpleNamespace as N
from importlib.metadata import EntryPoint
from sclong_core.cli import interrupts, main as cli
import subprocess

def swallow():
    while True:
        try:
            time.sleep(600)
        except BaseException:
            pass

def native():
    while True:
        ctypes.CDLL(None).sleep(600)

def wait():
    thread = threading.Thread(target=swallow)
    thread.start()
    thread.join()

def plain():
    time.sleep(600)

def run(args):
    deaf = 'import signal, time; signal.signal(2, signal.SIG_IGN); time.sleep(600)'
    child = subprocess.Popen([sys.executable, '-c', deaf])
    print(child.pid, flush=True)
    WAY()
command = N(help='h', add_arguments=lambda parser: None, run=run)
sys.modules['fake'] = N(command=command)
cli.entry_points = lambda group: [EntryPoint('work', 'fake:command', 'g')]
sys.argv = ['sclong', 'work']
interrupts._PATIENCE = 0.5
sys.exit(cli.main())
"""


@pytest.mark.parametrize("way", ["plain", "swallow", "native", "wait"])
def test_a_command_ends_with_all_that_it_started(way):
    command = [sys.executable, "-c", COMMAND.replace("WAY", way)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        child = int(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
        assert process.stderr.read() == b"error: interrupted\n"
    end = time.monotonic() + 10  # it was sent SIGKILL, which a busy machine carries out later
    while _lives(child) and time.monotonic() < end:
        time.sleep(0.05)
    assert not _lives(child)


def _lives(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
