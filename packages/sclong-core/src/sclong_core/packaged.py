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


def packaged_source(folder: str | PathLike[str]) -> str | None:
    """What to call a model that comes with the package; None for any other folder."""
    path = Path(folder)
    if path.parent != _FOLDER:
        return None
    from sclong_core import __version__  # noqa: PLC0415  # this module is imported by it

    return f"sclong-{path.name}, which comes with sclong-core {__version__}"
