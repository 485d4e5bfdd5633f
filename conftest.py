"""What holds for all tests."""

import signal
from collections.abc import Generator

import pytest


def pytest_configure() -> None:
    """Listen to SIGINT.

    A shell that starts something in the background has it ignore SIGINT, and so does all that it
    starts; tests that interrupt a process would then wait for ever.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test printed, as text that processes can hand on: names need not be UTF-8."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections
    ]
    return report
