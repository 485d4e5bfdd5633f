"""What holds for all tests."""

import os
import signal
from collections.abc import Generator
from pathlib import Path

import pytest

_LONG = {"slow", "fault"}


def pytest_configure() -> None:
    """Listen to SIGINT.

    A shell that starts something in the background has it ignore SIGINT, and so does all that it
    starts; tests that interrupt a process would then wait for ever.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.setdefault("TRITON_INTERPRET", "1")  # kernels for a GPU run on a CPU; read at import
    _let_children_import_support()


def _let_children_import_support() -> None:
    """Commands that tests start find the callbacks of ``tests.support``, as this process does."""
    places = (str(Path(__file__).parent), os.environ.get("PYTHONPATH"))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, places))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with files that take minutes: what is begun last, others wait for."""
    long = {item.path for item in items for mark in item.iter_markers() if mark.name in _LONG}
    items.sort(key=lambda item: item.path not in long)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test printed, as text that processes can hand on: names need not be UTF-8."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections
    ]
    return report
