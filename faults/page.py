"""The tables of a page from the numbers that were written: ``python -m faults.page PAGE``."""

import json
import sys
from pathlib import Path
from typing import Any

from sclong_core.files import atomic_file
from sclong_tasks.tables import fill_page

RESULTS = Path(__file__).parent / "results"


def kill_table(found: dict[str, Any]) -> str:
    """A line for each kind of work."""
    lines = [
        "| work | killed at a file | killed at a random time | survived |",
        "|---|---|---|---|",
    ]
    for row in found["jobs"]:
        kills = row["at_files"] + row["at_times"]
        counts = f"{row['at_files']} | {row['at_times']} | {row['survived']} of {kills}"
        lines.append(f"| {row['job']} | {counts} |")
    return "\n".join(lines) + "\n"


def input_table(found: dict[str, Any]) -> str:
    """A line for each reader, and their sum."""
    names = ("inputs", "refused", "read", "looped")
    head = "| reader | bad inputs | refused | read without harm | HDF5 library looped | trouble |"
    lines = [head, "|---|---|---|---|---|---|"]
    totals = dict.fromkeys((*names, "troubles"), 0)
    for row in found["readers"]:
        counts = {name: row[name] for name in names} | {"troubles": len(row["troubles"])}
        totals = {name: totals[name] + counts[name] for name in totals}
        lines.append(f"| {row['reader']} | " + " | ".join(map(_number, counts.values())) + " |")
    lines.append("| all | " + " | ".join(map(_number, totals.values())) + " |")
    return "\n".join(lines) + "\n"


def fill(page: str) -> str:
    """A page with the tables of those numbers that are there."""
    for name, block, table in (
        ("kills", "kills", kill_table),
        ("inputs", "bad inputs", input_table),
    ):
        path = RESULTS / f"{name}.json"
        if path.is_file():
            found = json.loads(path.read_text(encoding="utf-8"))
            page = fill_page(page, block, table(found))
    return page


def _number(count: int) -> str:
    return f"{count:,}"


if __name__ == "__main__":
    place = Path(sys.argv[1])
    filled = fill(place.read_text(encoding="utf-8"))
    with atomic_file(place) as temporary:
        temporary.write_text(filled, encoding="utf-8")
