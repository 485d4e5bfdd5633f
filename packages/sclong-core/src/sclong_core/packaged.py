"""Models that come with the package: there is always one, whether there is a network or not."""

from os import PathLike
from pathlib import Path
from typing import Final

from sclong_core.errors import CheckpointError

DEFAULT: Final = "mini"
"""What is meant where no checkpoint is named."""
_FOLDER: Final = Path(__file__).parent / "models"


def packaged_names() -> tuple[str, ...]:
    """Names of the models that come with the package."""
    if not _FOLDER.is_dir():
        return ()
    return tuple(sorted(path.name for path in _FOLDER.iterdir() if path.is_dir()))


def packaged_checkpoint(name: str = DEFAULT) -> Path:
    """The folder of a model that comes with the package.

    Raises:
        CheckpointError: there is no such model.
    """
    if name not in packaged_names():
        listed = ", ".join(packaged_names()) or "none"
        raise CheckpointError(
            f"no model {name!r} comes with this sclong-core (there is: {listed}): install "
            "sclong-core again, or name a checkpoint folder"
        )
    return _FOLDER / name


def checkpoint_folder(text: str) -> Path:
    """The folder that a command's or a file's ``checkpoint`` means.

    The name of a model that comes with the package is that model, unless a folder of this name
    stands where the command is run; anything else is a folder, whether it exists or not.
    """
    path = Path(text)
    return packaged_checkpoint(text) if text in packaged_names() and not path.is_dir() else path


def checkpoint_word(folder: str | PathLike[str]) -> str:
    """How to name a folder again for :func:`checkpoint_folder`, on this machine or another."""
    path = Path(folder)
    return path.name if path.parent == _FOLDER else str(folder)


def packaged_source(folder: str | PathLike[str]) -> str | None:
    """What to call a model that comes with the package; None for any other folder."""
    path = Path(folder)
    if path.parent != _FOLDER:
        return None
    from sclong_core import __version__  # noqa: PLC0415  # this module is imported by it

    return f"sclong-{path.name}, which comes with sclong-core {__version__}"
