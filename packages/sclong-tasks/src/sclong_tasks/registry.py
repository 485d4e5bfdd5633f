"""Tasks by name. Adding a task is a folder and one line here."""

from importlib import import_module
from typing import Any

from sclong_core.errors import ConfigError
from sclong_tasks.encoders.names import VARIANT
from sclong_tasks.task import Task, TaskModel

TASKS: dict[str, str] = {
    "drug_response": "sclong_tasks.drug_response",
    "drug_combination": "sclong_tasks.drug_combination",
    "genetic_perturbation": "sclong_tasks.genetic_perturbation",
    "batch_integration": "sclong_tasks.batch_integration",
    "chemical_perturbation": "sclong_tasks.chemical_perturbation",
    "grn": "sclong_tasks.grn",
    "genetic_interactions": "sclong_tasks.genetic_interactions",
    "marker_clustering": "sclong_tasks.marker_clustering",
}
"""Name -> module that holds an object ``task``; imported when it is asked for."""


def get_task(name: str) -> Task[Any]:
    """The task of this name.

    Raises:
        ConfigError: there is none.
    """
    if name not in TASKS:
        raise ConfigError(f"there is no task {name!r}: choose one of {', '.join(TASKS)}")
    found = import_module(TASKS[name]).task
    assert isinstance(found, Task)
    return found


def get_model(task: Task[Any], name: str) -> type[TaskModel[Any]]:
    """The class of a task's model.

    Raises:
        ConfigError: there is no such model.
    """
    if name not in task.models:
        raise ConfigError(
            f"{task.name} has no model {name!r}: choose one of {', '.join(task.models)}"
        )
    target, _, variant = task.models[name].partition(VARIANT)
    module, _, attribute = target.partition(":")
    found = getattr(import_module(module), attribute)
    if variant:
        from sclong_tasks.encoders.variants import variant_of  # noqa: PLC0415  # loads PyTorch

        found = variant_of(found, variant)
    assert isinstance(found, type)
    assert issubclass(found, TaskModel)
    return found
