"""All tasks: what the package does beside the original's way; one report.

``python -m benchmarks.tasks`` runs :mod:`benchmarks.response` and :mod:`benchmarks.combination`,
and writes their reports end to end into ``tasks.md``.
"""

import argparse
from pathlib import Path

from benchmarks import combination, response
from benchmarks.machine import ROOT
from sclong_core.files import atomic_file, write_json

PARTS = {"response": response, "combination": combination}


def main(arguments: list[str] | None = None) -> None:
    """Measure, and write ``tasks.md`` and a file of numbers for each task."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--tasks", nargs="+", choices=tuple(PARTS), default=list(PARTS))
    parser.add_argument("--rows", type=int, help="of each task; by default as many as it takes")
    parser.add_argument("--turns", type=int, default=response.TURNS)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results")
    args = parser.parse_args(arguments)
    args.output.mkdir(parents=True, exist_ok=True)
    written = []
    for name in args.tasks:
        part = PARTS[name]
        found = part.run(part.ROWS if args.rows is None else args.rows, turns=args.turns)
        write_json(args.output / f"{name}.json", found)
        written.append("\n".join(part.lines(found)) + "\n")
    with atomic_file(args.output / "tasks.md") as temporary:
        temporary.write_text("\n".join(written), encoding="utf-8")


if __name__ == "__main__":
    main()
