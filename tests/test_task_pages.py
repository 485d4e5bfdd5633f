"""Each page on a task has its figure, drawn from the rows behind the page on results."""

import re

import pytest

from benchmarks.task_figures import FIGURES, FOLDER, ROOT, drawn
from sclong_tasks.registry import task_names

PAGES = ROOT / "docs" / "tasks"


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_drawn_from_the_rows(name):
    assert (FOLDER / f"{name}.svg").read_text(encoding="utf-8") == drawn(name)


def test_every_task_has_a_page_with_a_command_and_its_figure():
    shown, run = set(), set()
    for page in PAGES.glob("*.md"):
        text = page.read_text(encoding="utf-8")
        shown |= set(re.findall(r"images/tasks/([\w-]+)\.svg", text))
        run |= set(re.findall(r"^sclong task run (\w+)", text, re.MULTILINE))
    assert shown == set(FIGURES)
    assert run == set(task_names())
