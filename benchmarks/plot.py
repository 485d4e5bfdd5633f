"""One figure: how much faster than the baseline, and how much memory."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

_COLOURS = {
    ("reference", "float32"): "#b9b2a8",
    ("reference", "bfloat16"): "#8d857a",
    ("performer-pytorch", "float32"): "#b9b2a8",
    ("performer-pytorch", "bfloat16"): "#8d857a",
    ("ours", "float32"): "#7fb2d6",
    ("ours", "bfloat16"): "#1f6aa5",
}
_BASELINES = ("reference", "performer-pytorch")


def plot_results(found: Sequence[dict[str, Any]], path: Path) -> None:
    """Bars by task and size, written as SVG: left speed, right memory."""
    import matplotlib as mpl  # noqa: PLC0415  # after the measurements, not before
    from matplotlib.figure import Figure  # noqa: PLC0415

    groups: dict[str, list[dict[str, Any]]] = {}
    for row in found:
        groups.setdefault(f"{row['subject']['task']} {row['subject']['size']}", []).append(row)
    with mpl.rc_context({"svg.hashsalt": "sclong", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(9, 1 + 0.75 * max(1, len(groups))), layout="constrained")
        speed, memory = figure.subplots(1, 2, sharey=True)
        for position, rows in enumerate(groups.values()):
            _draw_group(speed, memory, position, rows)
        speed.set_yticks(range(len(groups)), list(groups))
        speed.invert_yaxis()
        speed.set_xlabel("times as fast as the baseline in float32")
        memory.set_xlabel("peak memory of the process, GB")
        for axes in (speed, memory):
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(axis="x", linewidth=0.4, alpha=0.6)
            axes.set_axisbelow(True)
        handles, labels = memory.get_legend_handles_labels()
        unique = dict(zip(labels, handles, strict=True))
        figure.legend(unique.values(), unique.keys(), loc="outside upper center", ncols=4)
        figure.savefig(path, format="svg", metadata={"Date": None})


def _draw_group(speed: Any, memory: Any, position: int, rows: Sequence[dict[str, Any]]) -> None:
    height = 0.8 / 4
    bases = {
        row["subject"]["precision"]: row["median"]
        for row in rows
        if row["subject"]["candidate"] in _BASELINES
    }
    base = bases.get("float32")
    for number, row in enumerate(rows):
        subject = row["subject"]
        baseline = subject["candidate"] in _BASELINES
        label = f"{'baseline' if baseline else 'ours'}, {subject['precision']}"
        style = {
            "y": position + (number - (len(rows) - 1) / 2) * height,
            "height": 0.9 * height,
            "color": _COLOURS[subject["candidate"], subject["precision"]],
            "label": label,
        }
        if base is not None:
            speed.barh(width=base / row["median"], **style)
        if "peak" in row["memory"]:
            memory.barh(width=row["memory"]["peak"] / 1e9, **style)
