"""Configurations of pretraining that ship with the package, by name."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from sclong_core.errors import ConfigError, InputError
from sclong_core.files import atomic_file

_OPTIONS = ("-c", "--config")


def shipped_configs() -> dict[str, Path]:
    """Files of the shipped configurations by name."""
    folder = Path(str(files("sclong_core") / "configs" / "pretrain"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def description(path: Path) -> str:
    """The first comment of a configuration: one line that says what it is for."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.lstrip("# ").strip()


def find_config(name: str) -> Path:
    """A file by its path, or a shipped configuration by its name.

    Args:
        name: a path; or ``tiny``, ``tiny.yaml``, ``configs/pretrain/tiny.yaml``, where no such
            file is there.

    Raises:
        ConfigError: there is neither, or the file is not text.
    """
    if Path(name).is_file():
        try:
            Path(name).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ConfigError(f"{name} is not UTF-8 text: pass a file of settings") from error
        return Path(name)
    shipped = shipped_configs()
    asked = Path(name)
    plain = str(asked.parent) in (".", "configs/pretrain") and asked.suffix in ("", ".yaml")
    if plain and (key := asked.name.removesuffix(".yaml")) in shipped:
        return shipped[key]
    raise ConfigError(
        f"unknown configuration {name!r}: pass a file, or one of {', '.join(shipped)}"
    )


def with_config_paths(words: Sequence[str]) -> list[str]:
    """The arguments of a command with the names after ``--config`` replaced by files."""
    found: list[str] = []
    after_option = False
    for word in words:
        option, equals, name = word.partition("=")
        if after_option:
            found.append(str(find_config(word)))
        elif equals and option in _OPTIONS:
            found.append(f"{option}={find_config(name)}")
        else:
            found.append(word)
        after_option = word in _OPTIONS
    return found


def copy_config(name: str, output: Path) -> None:
    """Write a shipped configuration to a new file.

    Raises:
        ConfigError: there is no such configuration.
        InputError: the file is there already, or its folder is not.
    """
    if output.exists():
        raise InputError(f"{output} already exists: choose another name")
    if not output.absolute().parent.is_dir():
        raise InputError(f"{output.parent} is not a folder: create it first")
    text = find_config(name).read_text(encoding="utf-8")
    with atomic_file(output) as temporary:
        temporary.write_text(text, encoding="utf-8")
