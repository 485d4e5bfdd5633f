"""The tables of docs/results.md are what the commands on the page make of the rows beside it."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from sclong_core.cli.main import main

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "results.md"
BLOCKS = re.findall(r"^<!-- results (\w+) -->$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


def commands() -> dict[str, list[str]]:
    """Words of each ``sclong task results`` command on the page, by the block that it fills."""
    found: dict[str, list[str]] = {}
    names = [""]
    for line in PAGE.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        if loop := re.match(r"for NAME in (.*); do$", line):
            names = loop[1].split()
        elif line.lstrip().startswith("sclong task results"):
            for name in names if "$NAME" in line else [""]:
                words = shlex.split(line.replace("$NAME", name))[1:]
                rows = Path(words[words.index("--csv") + 1])
                found[rows.name.removesuffix(".csv.gz")] = words
    return found


def test_every_table_has_its_command():
    assert sorted(commands()) == sorted(BLOCKS)


@pytest.mark.parametrize("block", BLOCKS)
def test_a_table_is_what_its_command_makes_of_the_rows(block, tmp_path, capsys):
    words = commands()[block]
    rows = ROOT / words[words.index("--csv") + 1]
    page = shutil.copy(PAGE, tmp_path / "results.md")
    for option, value in (("--csv", tmp_path / rows.name), ("--page", page)):
        words[words.index(option) + 1] = str(value)
    words[2] = str(rows)  # in place of the folder of runs, which it was made from
    assert main([*words, *(() if "--block" in words else ("--block", block))]) == 0, (
        capsys.readouterr().err
    )
    assert page.read_text(encoding="utf-8") == PAGE.read_text(encoding="utf-8")
