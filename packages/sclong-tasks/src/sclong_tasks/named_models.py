"""Models as a user names them: a task's own, one under another name, or a function in a file."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from sclong_core.errors import ConfigError
from sclong_tasks.encoders.functions import EncoderFunction, names_function, read_function
from sclong_tasks.models import FUNCTION, function_model
from sclong_tasks.registry import class_of, get_model
from sclong_tasks.settings import resolve
from sclong_tasks.task import ProtocolName, Task, TaskModel

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_RESERVED = ("task", "model", FUNCTION)


@dataclass(frozen=True)
class NamedModel:
    """A model under the name that it has in folders, tables and settings."""

    name: str
    base: str = ""
    """Name of the task's model that it is; the same where empty."""
    function: EncoderFunction | None = None
    """Of the user, in place of a model of the task."""

    def kind(self, task: Task[Any]) -> type[TaskModel[Any]]:
        """Its class.

        Raises:
            ConfigError: the task has no such model, or takes no encoder.
        """
        if self.function is not None:
            return class_of(function_model(task))
        return get_model(task, self.base or self.name)

    def options(
        self, task: Task[Any], protocol: ProtocolName, changes: Mapping[str, Any]
    ) -> tuple[type[TaskModel[Any]], Any]:
        """Its class, and its options: those for all models, then those for this name.

        Args:
            task: whose model it is.
            protocol: whose defaults.
            changes: below "model", and below the name.

        Raises:
            ConfigError: an unknown model or setting.
        """
        kind = self.kind(task)
        changed = model_changes(changes, self.name)
        if self.function is not None:
            encoder = {
                "name": FUNCTION,
                "path": Path(self.function.source).name,
                "options": dict(self.function.identity),
            }
            changed = _merged(changed, {"encoder": encoder})
        return kind, resolve(kind.Options, protocol, changed, "model")


def name_models(words: Sequence[str], names: Sequence[str] = ()) -> list[NamedModel]:
    """Models by the words of a command line.

    Args:
        words: names of a task's models, or "FILE.py:FUNCTION".
        names: one for each word, or one for each function; without any, a function has the name
            that it has in its file.

    Raises:
        ConfigError: names do not fit, two models have one name, or a function cannot be read.
    """
    functions = [number for number, word in enumerate(words) if names_function(word)]
    given = dict.fromkeys(range(len(words)), "")
    if names:
        takers = range(len(words)) if len(names) == len(words) else functions
        if len(names) != len(takers):
            raise ConfigError(
                f"--name gives {len(names)} names for {len(words)} models: give one for each model"
                " of --model, or one for each function in a file"
            )
        given.update(zip(takers, names, strict=True))
    found = [named(word, given[number]) for number, word in enumerate(words)]
    twice = [one.name for number, one in enumerate(found) if one.name in names_of(found[:number])]
    if twice:
        raise ConfigError(
            f"two models are called {twice[0]!r}: give each a name of its own with --name"
        )
    return found


def named(word: str, name: str = "") -> NamedModel:
    """A model by a word of a command line or a suite, under a name.

    Raises:
        ConfigError: the name cannot be one, or a function cannot be read.
    """
    if name and (not _NAME.fullmatch(name) or name in _RESERVED):
        raise ConfigError(
            f"{name!r} cannot be the name of a model: use letters, digits, - and _, and none of "
            f"{', '.join(_RESERVED)}"
        )
    if names_function(word):
        return NamedModel(name or word.rpartition(":")[2], function=read_function(word))
    return NamedModel(name or word, "" if name in ("", word) else word)


def names_of(models: Sequence[NamedModel]) -> list[str]:
    """Names of models."""
    return [one.name for one in models]


def model_changes(changes: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Settings for all models, changed by those for one of this name."""
    common, own = changes.get("model") or {}, changes.get(name) or {}
    return _merged(common, own) if own else common


def _merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> Mapping[str, Any]:
    both = OmegaConf.merge(OmegaConf.create(dict(first)), OmegaConf.create(dict(second)))
    found = OmegaConf.to_container(both)
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}
