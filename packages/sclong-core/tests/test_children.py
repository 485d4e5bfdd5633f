"""Processes of our own program run our code alone, and end when they are told to."""

import os
import signal
import subprocess
import sys
import threading

from sclong_core import children
from sclong_core.children import descendants, interrupt_children, own_environment, run_child


def test_nothing_of_the_current_folder_is_imported(tmp_path, monkeypatch):
    for name in ("yaml", "json", "sclong_core", "multiprocessing", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text("open('PWNED', 'w').close()")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f":{tmp_path.name}:.")
    monkeypatch.setenv("PYTHONSAFEPATH", "")
    status = run_child(["--version"], env=own_environment(), stdout=subprocess.DEVNULL)
    assert status == 0
    inner = [sys.executable, "-c", "import multiprocessing.spawn, json"]
    assert subprocess.run(inner, env=own_environment(), check=False).returncode == 0
    assert not (tmp_path / "PWNED").exists()


def test_places_of_modules_that_were_named_in_full_stay(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}::x:/b")
    assert own_environment(A="1")["PYTHONPATH"] == f"{tmp_path}:/b"
    assert own_environment(A="1")["A"] == "1"


def test_an_interrupt_ends_children_that_do_not_listen_and_theirs(monkeypatch, tmp_path):
    code = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGINT, signal.SIG_IGN);"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
        "print(child.pid, end='', flush=True); time.sleep(600)"
    )
    monkeypatch.setattr(children, "own_command", lambda words: [sys.executable, "-c", *words])
    monkeypatch.setattr(children, "_PATIENCE", 0.1)
    reader, writer = os.pipe()
    statuses = []
    thread = threading.Thread(target=lambda: statuses.append(run_child([code], stdout=writer)))
    thread.start()
    grandchild = int(os.read(reader, 64))
    interrupt_children()
    thread.join()
    os.close(writer)
    assert os.read(reader, 64) == b""  # nobody holds the other end: both have ended
    os.close(reader)
    assert statuses == [-signal.SIGKILL]
    assert descendants(grandchild) == []
