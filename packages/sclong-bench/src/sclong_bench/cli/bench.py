"""``sclong bench``: statistics over runs, and reports of them."""

from sclong_core.cli.group import CommandGroup

command = CommandGroup(
    help="compare models over seeds: tests, tables, figures, a report",
    members={
        "plan": "sclong_bench.cli.plan",
        "run": "sclong_bench.cli.run",
        "reproduce": "sclong_bench.cli.reproduce",
        "judge": "sclong_bench.cli.judge",
        "card": "sclong_bench.cli.card",
        "report": "sclong_bench.cli.report",
        "compare": "sclong_bench.cli.compare",
    },
)
