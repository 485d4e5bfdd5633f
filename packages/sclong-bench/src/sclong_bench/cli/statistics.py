"""Arguments that say how results are compared."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sclong_bench.statistics.comparison import Plan  # keeps --help fast

TESTS = ("student", "welch", "paired", "wilcoxon", "permutation")
"""As in :mod:`sclong_bench.statistics.tests`, which is slow to import."""


def add_statistics(parser: argparse.ArgumentParser) -> None:
    """Declare the test, the family, the correction and the seeds."""
    group = parser.add_argument_group("statistics")
    group.add_argument(
        "--test", choices=TESTS, default="welch", help="two-sided test (default: %(default)s)"
    )
    group.add_argument(
        "--family",
        default="task",
        metavar="COLUMNS",
        help=(
            "family of the correction: results that agree in these comma-separated "
            'columns, or "paper", or "" for all (default: %(default)s)'
        ),
    )
    group.add_argument(
        "--correction",
        choices=("bh", "by"),
        default="bh",
        help="Benjamini-Hochberg or Benjamini-Yekutieli correction (default: %(default)s)",
    )
    group.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        metavar="SEED",
        help="seeds that every model should have (default: all seeds of any model)",
    )


def plan_of(args: argparse.Namespace) -> "Plan":
    """The plan that the arguments make."""
    from sclong_bench.statistics.comparison import Plan  # noqa: PLC0415  # keeps --help fast

    columns = tuple(name.strip() for name in args.family.split(",") if name.strip())
    return Plan(
        test=args.test,
        family="paper" if columns == ("paper",) else columns,
        correction=args.correction,
        seeds=None if args.seeds is None else tuple(args.seeds),
        incomplete="mark",
    )
