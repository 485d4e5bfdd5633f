"""``sclong bench compare``: two result sets, what moved, by how much, is it noise."""

import argparse
import json
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sclong_bench.cli.statistics import add_statistics, plan_of
from sclong_core.cli.terminal import messages, print_table, print_text
from sclong_core.errors import ConfigError
from sclong_core.escaping import table_for_spreadsheet

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = ("moved", "changed", "only in a", "only in b", "not defined")


class CompareCommand:
    """Compares two sets of results; see :mod:`sclong_bench.statistics.movement`."""

    help = "compare two sets of results: what changed, by how much, and whether it is noise"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the two sets and the output."""
        parser.description = (
            "Compare each model of A with the same model in the same setting of B. Differences "
            "are B minus A; a difference is noise where its corrected p-value does not say "
            "otherwise, and the table tells how large one would have had to be."
        )
        parser.add_argument("a", type=Path, metavar="A", help="folder of runs, or table of results")
        parser.add_argument("b", type=Path, metavar="B", help="folder or table to compare it with")
        parser.add_argument(
            *("-o", "--output"),
            type=Path,
            metavar="FILE",
            help="write all columns to this file: .csv, .json or .parquet",
        )
        parser.add_argument(
            "--all",
            action="store_true",
            help="also show differences within noise, and identical results",
        )
        add_statistics(parser)

    def run(self, args: argparse.Namespace) -> int:
        """Read both, compare, print."""
        from sclong_bench.results.reading import read_results  # noqa: PLC0415  # keeps --help fast
        from sclong_bench.statistics.movement import movements  # noqa: PLC0415

        with messages():
            found = movements(read_results(args.a).rows, read_results(args.b).rows, plan_of(args))
            if args.output is not None:
                write_movements(found, args.output, inputs=[args.a, args.b])
        shown = found if args.all else found[found["verdict"].isin(_SHOWN)]
        if len(shown):
            print_table(HEADINGS, map(_line, shown.to_dict("records")))
        counts = found["verdict"].value_counts()
        print_text("; ".join(f"{count} {verdict}" for verdict, count in counts.items()))
        return 0


HEADINGS = ("model, where", "A to B", "B minus A [95 %]", "q", "verdict")
"""Of the table on the terminal."""


def _line(row: dict[str, Any]) -> list[list[str]]:
    from sclong_bench.report.words import (  # noqa: PLC0415  # slow to import
        decimals_for,
        interval,
        p_text,
        plain,
    )

    decimals = max(3, decimals_for(row["mean_a"], row["mean_b"]))
    where = " ".join(filter(None, (row[name] for name in ("protocol", "scenario", "stratum"))))
    sides = [plain(row[f"mean_{side}"], decimals) for side in "ab"]
    span = interval(row["ci_low"], row["ci_high"], decimals)
    verdict = row["verdict"]
    if verdict in ("moved", "changed"):
        verdict += ", better" if row["better"] else ", worse"
    if verdict == "noise" and not math.isnan(row["smallest_detectable"]):
        verdict += f" (n could show {plain(row['smallest_detectable'], decimals)})"
    notes = [f"other {row['changed']}" if row["changed"] else "", row["note"]]
    notes = [note for note in notes if isinstance(note, str) and note]
    return [
        list(filter(None, [row["model"], f"{row['task']} {row['metric']}", where])),
        [" to ".join(sides), f"n {row['n_a']}, {row['n_b']}"],
        [plain(row["difference"], decimals), span],
        [p_text(row["q_value"])],
        [verdict, *notes],
    ]


def write_movements(found: "pd.DataFrame", path: Path, *, inputs: Sequence[Path] = ()) -> None:
    """Write the table, whole or not at all, in place of a former one and of nothing else.

    Raises:
        ConfigError: an ending that is not known.
        InputError: a file is there that holds something else, or is one of ``inputs``.
    """
    from sclong_core.files import atomic_file  # noqa: PLC0415  # keeps --help fast
    from sclong_data.outputs import require_output  # noqa: PLC0415  # keeps --help fast
    from sclong_tasks.written import has_columns  # noqa: PLC0415  # keeps --help fast

    if path.suffix not in (".csv", ".json", ".parquet"):
        raise ConfigError(f"{path}: write a .csv, .json or .parquet file")
    require_output(path, inputs, ours=partial(has_columns, columns=list(found.columns)))
    with atomic_file(path) as temporary:
        if path.suffix == ".csv":
            table_for_spreadsheet(found).to_csv(temporary, index=False)
        elif path.suffix == ".parquet":
            found.to_parquet(temporary, index=False)
        else:
            records = json.loads(found.to_json(orient="records"))
            temporary.write_text(json.dumps(records, indent=2) + "\n", encoding="utf-8")


command = CompareCommand()
