"""The model of a run in its folder: written with checksums, and checked before it is read."""

import json
from pathlib import Path
from typing import Any, TypeVar

from sclong_core.errors import InputError, ScLongError
from sclong_core.files import sha256_file, write_json
from sclong_tasks.task import RunContext, TaskModel

CHECKSUMS = "checksums.json"
ModelT = TypeVar("ModelT", bound=TaskModel[Any])


def save_model(model: TaskModel[Any], folder: Path) -> None:
    """Write a model into a new folder, and the SHA-256 of each of its files."""
    folder.mkdir()
    model.save(folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sums = {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}
    write_json(folder / CHECKSUMS, sums)


def load_model(kind: type[ModelT], folder: Path, context: RunContext) -> ModelT:
    """Read what :func:`save_model` wrote.

    Raises:
        InputError: a file is missing or damaged, or is not part of such a model.
    """
    _check(folder)
    try:
        return kind.load(folder, context)
    except ScLongError:
        raise
    except Exception as error:  # of any kind: the files decide what goes wrong
        raise InputError(
            f"{folder} holds no model of the kind {kind.__name__} that can be read ({error!r}): "
            "run the task again"
        ) from error


def _check(folder: Path) -> None:
    """Compare files with their checksums; runs of earlier versions have none."""
    listed = folder / CHECKSUMS
    if not listed.is_file():
        return
    try:
        sums: dict[str, str] = dict(json.loads(listed.read_text(encoding="utf-8")))
        for name, expected in sums.items():
            if sha256_file(folder / name) != expected:
                raise InputError(f"{folder / name} is damaged: run the task again")
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{folder} is incomplete ({error}): run the task again") from error
