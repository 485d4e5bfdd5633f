"""What the models of each task are compared with: what the user names, else what a rule says.

The rule looks at which models were run and at what was declared of them, never at a value. To
choose the reference by how well it did would be a selection on test data: p-values against a model
that was picked for being weak, or strong, are not what they say they are.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from sclong_bench.published.numbers import key
from sclong_bench.results.roles import baselines_of
from sclong_bench.results.schema import LABEL
from sclong_core.errors import InputError

EVERY_TASK = "*"
"""In place of a task: all tasks that are not named themselves."""
FIRST = "sclong"
"""The reference of every task that has it, where nothing else is named."""
_NAME_ONE = "name one with --reference TASK=MODEL"

Wanted = str | Mapping[str, str] | None
"""A model for all tasks, models by task, or nothing: the rule."""


@dataclass(frozen=True)
class Reference:
    """The model that all others of a task are compared with."""

    label: str
    """As the table spells it; empty where nothing qualifies."""
    why: str
    """Why this one, or why none, as a sentence."""


def find_references(
    rows: pd.DataFrame, wanted: Wanted = None, roles: Mapping[str, str] | None = None
) -> dict[str, Reference]:
    """The reference of each task, in the order of the table.

    A model that is named for a task is taken, and must be there. One that is named for all tasks
    is taken where it was run. Elsewhere the rule holds: scLong where it was run; else, of the
    baselines that the task declares (:attr:`sclong_tasks.task.Task.baselines`), the first that was
    run; else the model with the role "simple", if there is just one. A run that failed
    counts as run.

    Args:
        rows: a table of results. Its values are not looked at.
        wanted: a model for all tasks; or models by task, "*" for all others.
        roles: of each label.

    Raises:
        InputError: a task or model that there is not, or one of several variants without its name.
    """
    tasks = list(dict.fromkeys(rows["task"]))
    named = {EVERY_TASK: wanted} if isinstance(wanted, str) else dict(wanted or {})
    unknown = [task for task in named if task not in (*tasks, EVERY_TASK)]
    if unknown:
        near = difflib.get_close_matches(unknown[0], tasks, n=1)
        hint = f"; is {near[0]!r} meant?" if near else ""
        raise InputError(
            f"a reference is named for the task {unknown[0]!r}, which the results do not have: "
            f"choose among {', '.join(tasks)}{hint}"
        )
    general = named.pop(EVERY_TASK, None)
    if general is not None and not _labels(rows, general):
        raise _unknown(rows, general)
    found: dict[str, Reference] = {}
    for task in tasks:
        mine = rows[rows["task"].eq(task)]
        if task in named:
            label = find_reference(mine, named[task], f" in the task {task!r}")
            found[task] = Reference(label, "It was named for this task.")
        elif general is not None and _labels(mine, general):
            label = find_reference(mine, general, f" in the task {task!r}")
            found[task] = Reference(label, "It was named for all tasks.")
        else:
            found[task] = _by_rule(task, mine, roles or {}, general)
    return found


def find_reference(rows: pd.DataFrame, reference: str, where: str = "") -> str:
    """The label of a model, as the table spells it.

    Args:
        rows: a table of results.
        reference: a model or a label; upper and lower case are the same.
        where: follows the name in messages.

    Raises:
        InputError: there is none, or there are several variants of it.
    """
    found = _labels(rows, reference)
    if not found:
        raise _unknown(rows, reference, where)
    if len(found) > 1:
        raise InputError(
            f"{reference} has several variants{where}: choose one of {', '.join(found)}"
        )
    return found[0]


def _unknown(rows: pd.DataFrame, name: str, where: str = "") -> InputError:
    labels = ", ".join(dict.fromkeys(rows[LABEL]))
    return InputError(f"no model is called {name!r}{where}: choose a reference among {labels}")


def _labels(rows: pd.DataFrame, name: str) -> list[str]:
    """The label that is spelt so, if need be in other letters; else the variants of the model."""
    models = rows.drop_duplicates(LABEL)
    ways = (
        models[LABEL] == name,
        models[LABEL].str.casefold() == name.casefold(),
        models["model"].str.casefold() == name.casefold(),
    )
    found = next((way for way in ways if way.any()), ways[0])
    return [str(label) for label in models[LABEL][found]]


def _by_rule(
    task: str, rows: pd.DataFrame, roles: Mapping[str, str], general: str | None
) -> Reference:
    """What the rule says, which knows names and roles alone."""
    models = rows.drop_duplicates(LABEL)
    by_key: dict[str, list[str]] = {}
    for model, label in zip(models["model"], models[LABEL], strict=True):
        by_key.setdefault(key(model), []).append(label)
    absent = f"{general} was not run here. " if general is not None else ""
    if FIRST in by_key:
        return _one(by_key[FIRST], FIRST, f"{absent}It is the reference of every task that has it.")
    absent = absent if key(general or "") == FIRST else f"{absent}{FIRST} was not run here. "
    declared = baselines_of(task)
    there = [name for name in declared if key(name) in by_key]
    if there:
        order = ", ".join(declared)
        place = "first" if there[0] == declared[0] else "first that was run"
        because = f"{absent}Of the baselines declared for this task ({order}) it is the {place}."
        return _one(by_key[key(there[0])], there[0], because)
    simple = [str(label) for label in models[LABEL] if roles.get(label) == "simple"]
    if declared:
        absent += f"Neither was any baseline declared for this task ({', '.join(declared)}). "
    if len(simple) == 1:
        return Reference(simple[0], f"{absent}It is the only simple baseline here.")
    several = f"There are several simple baselines here ({', '.join(simple)})"
    lacking = several if simple else "There is no simple baseline here"
    return Reference("", f"{absent}{lacking}: {_NAME_ONE}.")


def _one(labels: list[str], name: str, why: str) -> Reference:
    """Of the variants of a model the one that is called as it is, or the only one."""
    plain = [label for label in labels if key(label) == key(name)] or labels
    if len(plain) == 1:
        return Reference(plain[0], why)
    return Reference("", f"There are several variants ({', '.join(labels)}): {_NAME_ONE}.")
