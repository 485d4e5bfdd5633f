"""Which data module reads what ``data.path`` names: core's own, or one of an installed package."""

from collections.abc import Iterator, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sclong_core.errors import ConfigError, ScLongError
from sclong_core.settings import load_settings, parsed_settings

if TYPE_CHECKING:
    from lightning.pytorch import LightningDataModule

GROUP = "sclong.data_modules"
"""Entry-point group: each entry is a :class:`DataChoice`."""
_CORPUS = "corpus.json"
_CONFIGS = ("-c", "--config")
_PATH, _DATA = "--data.path", "--data"


class DataChoice(Protocol):
    """A kind of data that can be trained on. Loading it imports nothing heavy."""

    def accepts(self, path: Path) -> bool:
        """Whether the path is of this kind."""
        ...

    def load(self) -> "type[LightningDataModule]":
        """The class whose arguments are the options ``data``."""
        ...

    def size(self, data: Any) -> tuple[int, int]:
        """Cells and genes of the data that parsed options name; for plans."""
        ...


class OneFile:
    """Cells of one file: core's own."""

    def accepts(self, path: Path) -> bool:
        """Anything: what is not a file of cells is refused when it is opened."""
        return True

    def load(self) -> "type[LightningDataModule]":
        """The module."""
        from sclong_core.pretraining.data import AnnDataModule  # noqa: PLC0415  # loads Lightning

        return AnnDataModule

    def size(self, data: Any) -> tuple[int, int]:
        """Cells and genes of the file."""
        from sclong_core.expression import open_cells  # noqa: PLC0415  # only for plans
        from sclong_core.expression.features import types_as_they_are  # noqa: PLC0415  # the same

        with types_as_they_are(), open_cells(data.path, matrix=data.matrix) as source:
            return source.n_cells, source.n_genes


def choose_data(path: str | Path | None) -> DataChoice:
    """The kind of data that a path names.

    Raises:
        ConfigError: it is a corpus, and the package that reads it is not installed.
    """
    if path is None:
        return OneFile()
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        choice: DataChoice = entry.load()
        if choice.accepts(Path(path)):
            return choice
    if (Path(path) / _CORPUS).is_file():
        raise ConfigError(
            f"{path} is a corpus, which the package sclong-data reads: pip install sclong-data"
        )
    return OneFile()


def data_path(words: Sequence[str]) -> str | None:
    """The value of ``data.path`` among the arguments of a command and its configuration files.

    The last one counts, as it does for the parser, which cannot be asked: its options depend on
    the answer.
    """
    found = None
    for option, value in _options(words):
        if option == _PATH:
            found = value
        elif option in _CONFIGS:
            found = _selected(value, "data.path") or found
        elif option == _DATA:
            found = _selected(value, "path") or found
    return found


def _options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Options with their values, given as two words or with an equals sign."""
    for place, word in enumerate(words):
        option, equals, value = word.partition("=")
        if equals:
            yield option, value
        elif word.startswith("-") and place + 1 < len(words):
            yield word, words[place + 1]


def _selected(text: str, key: str) -> str | None:
    """A value of a configuration, which is a file or YAML itself; None where it has none."""
    try:
        config = load_settings(text) if Path(text).is_file() else parsed_settings(text, "--config")
        value = OmegaConf.select(config, key)
    except (OSError, OmegaConfBaseException, ScLongError, ValueError):
        return None  # the parser says what is wrong
    return None if value is None else str(value)
