"""``sclong task``: the benchmarks of the paper, one run at a time."""

from sclong_core.cli.group import CommandGroup

command = CommandGroup(
    help="run the benchmarks of the paper with scLong and its baselines",
    members={
        "list": "sclong_tasks.cli.list_tasks",
        "data": "sclong_tasks.cli.data",
        "run": "sclong_tasks.cli.run",
        "predict": "sclong_tasks.cli.predict",
        "results": "sclong_tasks.cli.results",
        "figures": "sclong_tasks.cli.figures",
    },
)
