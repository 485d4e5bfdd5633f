"""The errors of scLong: one line each that says what is wrong and what to do about it."""

from collections.abc import Iterator


class ScLongError(Exception):
    """Base of every error that scLong raises on purpose.

    The message is a single line for the person in front of the terminal. The command line prints
    it without a traceback and exits with status 2.
    """


class InputError(ScLongError):
    """Cells, genes or expression values that cannot be used as they are."""


class CheckpointError(ScLongError):
    """A checkpoint that is incomplete, damaged, or does not belong to what it is used with."""


class ConfigError(ScLongError, ValueError):
    """A setting that is unknown, impossible, or contradicts another one."""


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error, what it came of, what that came of, and so on."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
