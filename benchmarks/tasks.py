"""All tasks: what the package does beside the original's way; one report.

``python -m benchmarks.tasks`` runs :mod:`benchmarks.response`, :mod:`benchmarks.combination`,
:mod:`benchmarks.perturbation`, :mod:`benchmarks.grn` and :mod:`benchmarks.encoders`, and writes
their reports end to end into ``tasks.md``.
"""

import argparse
import json
from pathlib import Path

from benchmarks import combination, encoders, grn, perturbation, response
from benchmarks.machine import add_output, require_quiet
from benchmarks.turns import TURNS
from sclong_core.files import atomic_file, write_json

PARTS = {
    "response": response,
    "combination": combination,
    "perturbation": perturbation,
    "grn": grn,
    "encoders": encoders,
}


def main(arguments: list[str] | None = None) -> None:
    """Measure, and write ``tasks.md`` and a file of numbers for each task."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--tasks", nargs="+", choices=tuple(PARTS), default=list(PARTS))
    parser.add_argument("--rows", type=int, help="of each task; by default as many as it takes")
    parser.add_argument("--turns", type=int, default=TURNS)
    add_output(parser)
    args = parser.parse_args(arguments)
    require_quiet(parser, args)
    args.output.mkdir(parents=True, exist_ok=True)
    for name in args.tasks:
        part = PARTS[name]
        rows = part.ROWS if args.rows is None else args.rows
        write_json(args.output / f"{name}.json", part.run(rows, turns=args.turns))
        write_report(args.output)


def write_report(folder: Path) -> None:
    """Write ``tasks.md`` from the numbers that are in ``folder``; each part has its date."""
    texts = []
    for name, part in PARTS.items():
        path = folder / f"{name}.json"
        if path.is_file():
            found = json.loads(path.read_text(encoding="utf-8"))
            texts.append("\n".join(part.lines(found)) + "\n")
    with atomic_file(folder / "tasks.md") as temporary:
        temporary.write_text("\n".join(texts), encoding="utf-8")


if __name__ == "__main__":
    main()
