"""Settings in YAML: plain values, in which nothing of the machine is looked up.

A setting may refer to another one of the same file, ``${trainer.max_epochs}``. What OmegaConf calls
a resolver, ``${oc.env:NAME}`` above all, is refused: a file from elsewhere would otherwise copy
passwords and tokens of this machine into what is written and printed.
"""

import io
import re
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sclong_core.errors import ConfigError, InputError

MOST_BYTES = 4 << 20
"""Of a file: settings are written by people."""
MOST_VALUES = 100_000
"""With each value counted as often as it is referred to by an alias."""
_REFERENCE = re.compile(r"\$\{[^${}:]*\}")
_PARSER_MODE = "sclong"


def read_settings(path: str | PathLike[str]) -> Any:
    """Plain values of a YAML file; references between its settings are followed.

    Raises:
        InputError: the file cannot be read.
        ConfigError: it is not YAML, looks something up, or is larger than settings are.
    """
    return _plain(load_settings(path), str(path))


def load_settings(path: str | PathLike[str]) -> DictConfig | ListConfig:
    """A YAML file as OmegaConf's own kind, to be merged with defaults.

    Raises:
        InputError: the file cannot be read.
        ConfigError: as :func:`read_settings`.
    """
    return parsed_settings(_read(Path(path)), str(path))


def parsed_settings(text: str, where: str) -> DictConfig | ListConfig:
    """YAML as OmegaConf's own kind.

    Args:
        text: the YAML.
        where: it is from, for messages.

    Raises:
        ConfigError: as :func:`read_settings`.
    """
    try:
        _check(yaml.compose(text, Loader=yaml.SafeLoader), where)
        return OmegaConf.load(io.StringIO(text))
    except (yaml.YAMLError, OmegaConfBaseException, ValueError, TypeError, OSError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{where} cannot be read as YAML: {_one_line(error)}") from error
    except RecursionError as error:
        raise ConfigError(f"{where} is nested too deeply to be settings") from error


def refuse_lookups(value: Any, where: str) -> None:
    """Refuse plain values that ask OmegaConf to look something up.

    Args:
        value: text, numbers, lists and dictionaries of them.
        where: they are from, for the message.

    Raises:
        ConfigError: one does.
    """
    if isinstance(value, str):
        _refuse_lookup(value, where)
    elif isinstance(value, Mapping):
        for part in value.values():
            refuse_lookups(part, where)
    elif isinstance(value, list | tuple):
        for part in value:
            refuse_lookups(part, where)


def parser_mode() -> str:
    """The mode for jsonargparse that reads YAML by the rules of this module."""
    from jsonargparse import set_loader  # noqa: PLC0415  # heavy, and only pretraining parses so

    failures = (yaml.YAMLError, OmegaConfBaseException)
    set_loader(_PARSER_MODE, _load_for_parser, exceptions=failures)
    return _PARSER_MODE


def _load_for_parser(text: str) -> Any:
    """A value of the command line, or all of a configuration file."""
    from jsonargparse import get_loader  # noqa: PLC0415  # heavy, and only pretraining parses so

    plain = get_loader("yaml")(text)
    if not isinstance(plain, dict | list):
        return plain  # text stays as it is: nothing is looked up in it
    where = "the configuration"
    settings = _plain(parsed_settings(text, where), where)
    return plain if settings == {text: None} else settings


def _read(path: Path) -> str:
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path} is not a file: pass a YAML file")
        with path.open("rb") as handle:
            content = handle.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise ConfigError(
                f"{path} is larger than {MOST_BYTES:,} bytes: it is not a file of settings"
            )
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not YAML: it is not UTF-8 text") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error


def _plain(settings: DictConfig | ListConfig, where: str) -> Any:
    try:
        return OmegaConf.to_container(settings, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{where}: {_one_line(error)}") from error
    except RecursionError as error:
        raise ConfigError(f"{where} is nested too deeply to be settings") from error


def _check(root: yaml.Node | None, where: str) -> None:
    """Refuse lookups, and aliases that stand for more than anybody writes."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node) -> int:
        if id(node) not in sizes:
            sizes[id(node)] = MOST_VALUES  # a node within itself has no end
            sizes[id(node)] = 1 + sum(map(size, _parts(node)))
            if isinstance(node, yaml.ScalarNode):
                _refuse_lookup(str(node.value), where)
        if sizes[id(node)] > MOST_VALUES:
            raise ConfigError(f"{where} stands for more than {MOST_VALUES:,} values: not read")
        return sizes[id(node)]

    if root is not None:
        size(root)


def _parts(node: yaml.Node) -> Iterable[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else ()


def _refuse_lookup(text: str, where: str) -> None:
    if "${" not in text:
        return
    rest, count = text, 1
    while count:
        rest, count = _REFERENCE.subn("", rest)
    if "${" in rest and ":" in rest:
        raise ConfigError(
            f"{where}: {text[:80]!r} asks for a lookup, such as of an environment variable: write "
            "the value itself, or refer to another setting as ${name}"
        )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
