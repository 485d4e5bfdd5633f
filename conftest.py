"""What holds for all tests."""

import signal
from collections.abc import Generator

import pytest

_LONG = {"slow", "fault"}


def pytest_configure() -> None:
    """Listen to SIGINT.

    A shell that starts something in the background has it ignore SIGINT, and so does all that it
    starts; tests that interrupt a process would then wait for ever.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


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
