"""A command does its work whether or not someone can read what it says."""

import os
import shlex
import subprocess
import sys

import pytest

WORK = (
    "import sys, argparse; from pathlib import Path; from sclong_core.cli import main as cli;"
    "from types import SimpleNamespace as N; from importlib.metadata import EntryPoint;"
    "from sclong_core.cli.terminal import messages, print_facts, print_table; import logging;\n"
    "def run(args):\n"
    "    with messages():\n"
    "        logging.getLogger('sclong').warning('file %s', '\\x1b[31m\\udcff\\u65e5')\n"
    "        print_facts([('a', '\\u65e5\\udcff')])\n"
    "        print_table(['\\u00b5'], [['\\x1b[31m']] * 5000)\n"
    "        print('raw \\x1b]0;t\\x07', file=sys.stderr)\n"
    "        child = __import__('subprocess').run([sys.executable, '-c', 'print(1)'])\n"
    "    with open('done', 'w') as file: file.write('whole')\n"
    "    return STATUS\n"
    "command = N(help='h', add_arguments=lambda parser: None, run=run)\n"
    "sys.modules['fake'] = N(command=command)\n"
    "cli.entry_points = lambda group: [EntryPoint('work', 'fake:command', 'g')]\n"
    "sys.argv = ['sclong', 'work']; sys.exit(cli.main())\n"
)


def work(folder, redirections="", status=0, **environment):
    """Standard error and the statuses of a pipe that the work is the first part of."""
    words = shlex.join([sys.executable, "-c", WORK.replace("STATUS", str(status))])
    line = f"{words} {redirections}; echo status ${{PIPESTATUS[0]}} >>said"
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        check=False,
    )
    assert (folder / "done").read_text() == "whole", done.stderr
    assert b"Traceback" not in done.stderr
    assert b"\x1b" not in done.stdout + done.stderr
    return int((folder / "said").read_text().split()[-1])


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_cost_words_and_not_the_work(tmp_path, closed):
    assert work(tmp_path, closed) == 0
    assert work(tmp_path, closed, status=3) == 3


def test_a_reader_that_goes_away_does_not_end_the_work(tmp_path):
    assert work(tmp_path, "| true") == 141
    assert work(tmp_path, "2>&1 >/dev/null | true") == 0
    assert work(tmp_path, "| true", status=3) == 3


def test_a_full_disk_under_standard_output_is_told_and_under_standard_error_is_not(tmp_path):
    assert work(tmp_path, ">/dev/full") == 2
    assert work(tmp_path, "2>/dev/full") == 0


@pytest.mark.parametrize(
    "environment",
    [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
)
def test_an_encoding_without_a_letter_shows_its_number(tmp_path, environment):
    assert work(tmp_path, ">out 2>err", **environment) == 0
    assert b"\\u65e5" in (tmp_path / "out").read_bytes()
    assert b"file \\x1b[31m\\xff\\u65e5" in (tmp_path / "err").read_bytes()
    assert b"raw \\x1b]0;t\\x07" in (tmp_path / "err").read_bytes()
