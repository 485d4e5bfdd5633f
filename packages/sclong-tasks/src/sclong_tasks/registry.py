"""Tasks by name. Adding a task is a folder and one line here, or an entry point of another package.

Another package adds a task by an entry point of the group ``sclong.tasks`` whose name is the
task's, and which is the module that holds an object ``task``, or that object.
"""

import json
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from sclong_core.errors import ConfigError
from sclong_tasks.models import models_of
from sclong_tasks.task import ModelSpec, Task, TaskModel

GROUP = "sclong.tasks"
TASKS: dict[str, str] = {
    "drug_response": "sclong_tasks.drug_response",
    "drug_combination": "sclong_tasks.drug_combination",
    "genetic_perturbation": "sclong_tasks.genetic_perturbation",
    "batch_integration": "sclong_tasks.batch_integration",
    "chemical_perturbation": "sclong_tasks.chemical_perturbation",
    "grn": "sclong_tasks.grn",
    "genetic_interactions": "sclong_tasks.genetic_interactions",
    "marker_clustering": "sclong_tasks.marker_clustering",
    "cell_type_annotation": "sclong_tasks.cell_type_annotation",
}
"""Name -> module that holds an object ``task``; imported when it is asked for."""


def task_names() -> tuple[str, ...]:
    """Names of all tasks, those of other packages last."""
    return (*TASKS, *(name for name in installed_tasks() if name not in TASKS))


def get_task(name: str) -> Task[Any]:
    """The task of this name.

    Raises:
        ConfigError: there is none, or an installed package does not hold the one that it names.
    """
    if name in TASKS:
        found = import_module(TASKS[name]).task
    elif name in installed_tasks():
        found = _load(name)
    else:
        raise ConfigError(f"there is no task {name!r}: choose one of {', '.join(task_names())}")
    assert isinstance(found, Task)
    return found


def get_model(task: Task[Any], name: str) -> type[TaskModel[Any]]:
    """The class of a task's model.

    Raises:
        ConfigError: there is no such model.
    """
    models = models_of(task)
    if name not in models:
        raise ConfigError(f"{task.name} has no model {name!r}: choose one of {', '.join(models)}")
    return class_of(models[name])


def class_of(spec: ModelSpec) -> type[TaskModel[Any]]:
    """The class that a declaration stands for, with the defaults that it declares."""
    module, _, attribute = spec.target.partition(":")
    found = getattr(import_module(module), attribute)
    assert isinstance(found, type)
    assert issubclass(found, TaskModel)
    return _with_options(found, json.dumps(dict(spec.options))) if spec.options else found


@cache
def _with_options(base: type[TaskModel[Any]], options: str) -> type[TaskModel[Any]]:
    """The class with other defaults; the same one whenever it is asked for."""
    from sclong_tasks.encoders.variants import encoder_of, with_defaults  # noqa: PLC0415  # loads PyTorch

    other = json.loads(options)
    encoder = other.pop("encoder", None)
    make = None if encoder is None else encoder_of(**encoder)
    kind = with_defaults(base.Options, make, **other)
    return type(base.__name__, (base,), {"Options": kind, "__doc__": base.__doc__})


@cache
def installed_tasks() -> dict[str, Any]:
    """Entry points of tasks by name; none of them is loaded."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _load(name: str) -> Task[Any]:
    entry = installed_tasks()[name]
    try:
        loaded = entry.load()
    except Exception as error:  # of any kind: the code is somebody else's
        raise ConfigError(
            f"the task {name!r} ({entry.value}) cannot be imported: {error!r}"
        ) from error
    found = getattr(loaded, "task", loaded)
    if not isinstance(found, Task):
        raise ConfigError(f"the entry point {name!r} ({entry.value}) does not hold a task")
    return found
