"""What each model is in a comparison: the reference, a floor, a ceiling, ...

A number can only be read beside what is reached without any model, and beside what can be reached
at most. The role stands in the column "role" of the results; else tasks declare it of their models,
and this file of what tables from elsewhere hold.
"""

from collections.abc import Mapping
from functools import cache

import pandas as pd

from sclong_bench.published.numbers import key
from sclong_bench.results.schema import LABEL
from sclong_core.errors import InputError
from sclong_tasks.models import models_of
from sclong_tasks.registry import get_task, task_names

ROLES = ("reference", "model", "ablation", "simple", "floor", "ceiling")
"""In the order of tables; :data:`sclong_tasks.task.Role` says what each is."""
_ELSEWHERE: Mapping[str, str] = {
    # the paper's names of what is an ablation or a baseline here
    "ALM": "simple",
    "w/o LEG": "ablation",
    "Random LEG": "ablation",
    "w/o GO": "ablation",
    "Random GO": "ablation",
    # what no task here has, by its usual name
    "ceiling": "ceiling",
    "oracle": "ceiling",
    "technical_duplicate": "ceiling",
    "truth": "ceiling",
    "majority": "floor",
    "constant": "floor",
    "chance": "floor",
    "identity": "floor",
    "global_mean": "floor",
    "line_mean": "floor",
    "cell_line_mean": "floor",
    "untrained": "floor",
    "untrained_sclong": "floor",
    "permuted_embedding": "floor",
    "shuffled_embedding": "floor",
    "permuted_cells": "floor",
    "shuffled_cells": "floor",
    "shuffled_labels": "floor",
    "permuted_labels": "floor",
    "random_labels": "floor",
    "ridge": "simple",
    "lasso": "simple",
    "elastic_net": "simple",
    "logistic": "simple",
    "boosting": "simple",
    "grnboost2": "simple",
}


def baselines_of(task: str) -> tuple[str, ...]:
    """The simple methods that a task declares for its reference, the first choice first.

    The order stands before any result is read: one by results would be a selection on test data.

    Args:
        task: its name, in any spelling; empty for a task that is not known.
    """
    name = _task_named(task)
    return get_task(name).baselines if name else ()


def published_splits(task: str) -> tuple[str, ...]:
    """Splits that the paper's numbers of a task are about."""
    name = _task_named(task)
    found = get_task(name).published if name else ()
    return tuple(dict.fromkeys(number.scenario for number in found))


def headline_of(task: str) -> tuple[str, ...]:
    """Metrics that a task declares for its headline, all of them together."""
    name = _task_named(task)
    return get_task(name).headline if name else ()


def role_of(model: str, task: str = "") -> str:
    """The role that is declared of a model.

    Args:
        model: its name, in any spelling.
        task: where it was run. What this task does not have, another task may have.

    Returns:
        "model" where nothing is declared.
    """
    wanted = key(model)
    named = _task_named(task)
    if named and wanted in _declared(named):
        return _declared(named)[wanted]
    return _everywhere().get(wanted, "model")


@cache
def _declared(task: str) -> dict[str, str]:
    """Roles of a task's models."""
    return {key(name): spec.role for name, spec in models_of(get_task(task)).items()}


@cache
def _everywhere() -> dict[str, str]:
    """Roles of the models of all tasks, and of names from elsewhere."""
    found = {key(name): role for name, role in _ELSEWHERE.items()}
    for task in task_names():
        for name, role in _declared(task).items():
            found.setdefault(name, role)
    return found


def _task_named(task: str) -> str:
    return next((name for name in task_names() if key(name) == key(task)), "")


def roles(rows: pd.DataFrame, declared: Mapping[str, str] | None = None) -> dict[str, str]:
    """The role of each label in a table of results, whether or not others are compared with it.

    Args:
        rows: the table.
        declared: roles by model, which come first; then those of the table, then of the tasks.

    Raises:
        InputError: a role that there is not.
    """
    found: dict[str, str] = {}
    tasks: dict[str, str] = {}
    for _, row in rows.drop_duplicates([LABEL, "role", "task"]).iterrows():
        name = row[LABEL]
        role = (declared or {}).get(row["model"]) or (declared or {}).get(name) or row["role"]
        if role and role not in ROLES:
            raise InputError(
                f"the role {role!r} of {name} is unknown: choose one of {', '.join(ROLES)}"
            )
        found[name] = found.get(name) or role
        tasks.setdefault(name, row["task"])
    return {
        name: role or role_of(name.partition(" (")[0], tasks[name]) for name, role in found.items()
    }
