"""New measurements beside the kept ones, where both are of one kind of machine."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import was_busy

KIND = ("system", "architecture", "cores", "instruction_set", "accelerator")
"""What machines of one kind have in common."""
MOVED = 0.1
"""Share by which a figure has to differ before it is named."""


def read_previous(path: Path) -> dict[str, Any] | None:
    """What an earlier run wrote; None without one."""
    if not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def beside_previous(
    before: Mapping[str, Any] | None,
    now: Mapping[str, Any],
    *,
    key: Sequence[str],
    value: str,
) -> Iterable[str]:
    """Lines of a report: what takes longer or shorter than in the previous results.

    Args:
        before: the previous results, with ``machine`` and ``measurements``.
        now: the new ones.
        key: columns of a measurement that name it; a dot goes one level down.
        value: column that is compared.
    """
    yield from ("", "## Beside the previous results", "")
    if before is None:
        yield "There were none."
        return
    when = f"{before['date']}, commit {before['commit'] or 'unknown'}"
    if other := [name for name in KIND if before["machine"].get(name) != now["machine"].get(name)]:
        yield f"Not compared: those of {when} are of another machine ({', '.join(other)})."
        return
    if was_busy(before) or was_busy(now):
        yield "Other processes ran during one of the two: differences may be theirs."
        yield ""
    old = {_name(row, key): float(row[value]) for row in before["measurements"]}
    new = {_name(row, key): float(row[value]) for row in now["measurements"]}
    both = [name for name in new if name in old]
    moved = {name: new[name] / old[name] - 1 for name in both}
    moved = {name: change for name, change in moved.items() if abs(change) > MOVED}
    yield f"Of {len(both)} figures of {when}, {len(moved)} moved by more than {MOVED:.0%}."
    yield ""
    for name, change in moved.items():
        yield f"- {' '.join(name)}: {old[name]:.2f} s, now {new[name]:.2f} s ({change:+.0%})"


def _name(row: Mapping[str, Any], key: Sequence[str]) -> tuple[str, ...]:
    parts = []
    for column in key:
        value: Any = row
        for step in column.split("."):
            value = value[step]
        parts.append(str(value))
    return tuple(parts)
