"""What a command may write to: nothing that it reads, and nothing that somebody else wrote."""

from collections.abc import Callable, Iterable
from pathlib import Path

from sclong_core.errors import InputError
from sclong_core.expression.store import store_around


def require_output(
    output: Path, inputs: Iterable[Path] = (), *, ours: Callable[[Path], bool] | None = None
) -> None:
    """Refuse an output that would replace what must stay.

    Args:
        output: the file to write.
        inputs: files and folders that are read; they are never written to, whatever was asked.
        ours: whether a file that is there is one that this command writes, and may replace.

    Raises:
        InputError: it is one of the inputs, inside a zarr store, or a file of another kind.
    """
    for path in inputs:
        if _same(path, output):
            raise InputError(f"{output} is also an input: choose another name for the output")
    if (store := store_around(output.absolute().parent)) is not None:
        raise InputError(f"{output} is inside {store}, which holds cells: choose another folder")
    if output.is_dir():
        raise InputError(f"{output} is a folder: pass the name of a file")
    if ours is not None and output.exists() and not ours(output):
        raise InputError(
            f"{output} already exists and was not written by this command: choose another name"
        )


def begins_with(path: Path, text: str) -> bool:
    """Whether a file begins with a text; false where it cannot be read."""
    expected = text.encode()
    try:
        with path.open("rb") as handle:
            return path.is_file() and handle.read(len(expected)) == expected
    except OSError:
        return False


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
