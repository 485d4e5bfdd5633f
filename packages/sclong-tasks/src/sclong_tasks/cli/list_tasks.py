"""``sclong task list``: tasks, their models and splits, and whether their data are there."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sclong_core.cli.terminal import print_facts, print_table, print_text
from sclong_tasks.cli.places import DATA

if TYPE_CHECKING:
    from sclong_tasks.task import Task


class ListCommand:
    """Says what can be run, and what is missing for it."""

    help = "list tasks, their models, protocols and data, and whether the data are present"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare what to look at."""
        parser.add_argument("task", nargs="?", metavar="TASK", help="show one task in detail")
        parser.add_argument(
            "--data",
            type=Path,
            default=DATA,
            metavar="FOLDER",
            help=f"that holds a folder of prepared data for each task (default: {DATA})",
        )

    def run(self, args: argparse.Namespace) -> int:
        """Print one table, or everything about one task."""
        from sclong_tasks.models import models_of  # noqa: PLC0415  # keeps --help fast
        from sclong_tasks.registry import get_task, task_names  # noqa: PLC0415

        if args.task is not None:
            _print_task(get_task(args.task), args.data / args.task)
            return 0
        rows = []
        for name in task_names():
            task = get_task(name)
            rows.append((name, task.title, str(len(models_of(task))), _state(args.data / name)))
        print_table(("task", "what it is", "models", f"data in {args.data}"), rows)
        print_text("Use sclong task list TASK for details of one of them.")
        return 0


def _state(folder: Path) -> str:
    return "there" if (folder / "data.json").is_file() else "not there"


def _print_task(task: "Task[Any]", folder: Path) -> None:
    from sclong_tasks.models import models_of  # noqa: PLC0415  # keeps --help fast

    facts = [("task", task.name), ("what it is", task.title)]
    facts += [(f"{name} splits", ", ".join(splits)) for name, splits in task.scenarios.items()]
    facts += [(f"predict reads {name}", what) for name, what in task.inputs.items()]
    facts.append(("data", f"{_state(folder)}: {folder}"))
    facts.append(("baselines", ", ".join(task.baselines)))
    print_facts([(name, value) for name, value in facts if value])
    print_table(
        ("model", "role", "what it is"),
        ((name, spec.role, spec.summary) for name, spec in models_of(task).items()),
    )
    print_table(
        ("file", "for", "needed", "licence", "fetched from"),
        (
            (
                file.name,
                file.purpose,
                "yes" if file.required else "no",
                file.licence,
                file.url or "nowhere: pass it with --source",
            )
            for file in task.data_files
        ),
    )


command = ListCommand()
