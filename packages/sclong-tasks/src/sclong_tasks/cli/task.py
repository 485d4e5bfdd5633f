"""``sclong task``: the benchmarks of the paper, one run at a time."""

from sclong_core.cli.group import CommandGroup

command = CommandGroup(
    help="run the benchmarks of the paper with scLong and with what it is compared to",
    members={},
)
