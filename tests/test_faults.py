"""A few of the kills and bad files of ``make test-fault``, and the page that names the promises."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from faults.damage import DAMAGES, damaged
from faults.page import fill

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reliability.md"


def start(module, *words):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", f"faults.{module}", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


@pytest.mark.fault
@pytest.mark.slow
def test_work_that_is_killed_comes_to_the_same_outcome():
    lines = start("kills", "--kills", "1", "--seed", "1")
    assert len(lines) == 5
    assert all(line.endswith("1 kills, 1 survived") for line in lines)


@pytest.mark.fault
def test_no_reader_is_troubled_by_bad_files():
    lines = start("inputs", "--count", "300", "--seed", "1")
    assert len(lines) > 30
    assert all(re.search(r": \d+ refused, \d+ read$", line) for line in lines)


def test_damage_always_changes_something():
    generator = np.random.default_rng(0)
    for content in (b"", b"a", bytes(100), b"one two\nthree"):
        assert all(damaged(content, generator) != content for _ in range(50))
    assert len({damage.__name__ for damage in DAMAGES}) == len(DAMAGES)


def test_the_page_names_tests_that_exist():
    named = re.findall(r"`(\w+)/(test_\w+\.py)::(test_\w+)`", PAGE.read_text(encoding="utf-8"))
    assert len(named) > 25
    for package, file, test in named:
        folder = ROOT / "tests"
        if package != "tests":
            folder = ROOT / "packages" / f"sclong-{package}" / "tests"
        text = (folder / file).read_text(encoding="utf-8")
        assert re.search(rf"def {test}\(", text), f"{package}/{file}::{test}"


def test_the_tables_of_the_page_are_those_that_were_written():
    page = PAGE.read_text(encoding="utf-8")
    assert fill(page) == page
