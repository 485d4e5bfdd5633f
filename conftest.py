"""What holds for all tests."""

import signal


def pytest_configure() -> None:
    """Listen to SIGINT.

    A shell that starts something in the background has it ignore SIGINT, and so does all that it
    starts; tests that interrupt a process would then wait for ever.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
