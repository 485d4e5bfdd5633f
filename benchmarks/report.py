"""Writes the results: ``core.json`` as they are, ``core.md`` to read, ``core.svg`` to look at."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.flops import TRAINING_MULTIPLE, forward_flops, peak_bfloat16
from benchmarks.machine import machine_in_words, was_busy
from benchmarks.plot import plot_results
from benchmarks.previous import beside_previous, read_previous
from sclong_core.config import ScLongConfig
from sclong_core.files import atomic_file, write_json

BASELINES = ("reference", "performer-pytorch")
_NOTES = {
    "forward": "Gene representations and reconstruction of one cell, 27,874 genes.",
    "training": "Forward, backward and a step of Adam with one cell; random features kept. "
    "bfloat16: float32 weights, bfloat16 products.",
    "attention": "One attention module of the paper's model without its LayerNorm, one cell: "
    "large encoder (4,096 positions, width 1,280, 32 heads) and full encoder (27,875 positions, "
    "width 200, 8 heads), beside performer-pytorch's `SelfAttention` with the same weights.",
}


def write_report(results: dict[str, Any], folder: Path) -> None:
    """Write the three files into ``folder``, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    before = read_previous(folder / "core.json")
    write_json(folder / "core.json", results)
    with atomic_file(folder / "core.md") as temporary:
        temporary.write_text("\n".join(_lines(results, before)) + "\n", encoding="utf-8")
    with atomic_file(folder / "core.svg") as temporary:
        plot_results(results["measurements"], temporary)


def _lines(results: dict[str, Any], before: dict[str, Any] | None) -> Iterable[str]:
    yield "# Speed and memory of the model"
    yield ""
    yield f"{results['date']}, commit {results['commit'] or 'unknown'}. {_machine(results)}"
    if was_busy(results):
        yield ""
        yield (
            f"**Other processes were running (load {results['load_at_start']:.1f} at the start): "
            "these times, and even their ratios, say little.**"
        )
    yield ""
    yield (
        "Subjects of a table ran in turn, each in a process of its own. Times are medians; "
        "`x float32` is the baseline's float32 time over this one, `x same` the baseline's in the "
        "same precision. Memory is resident: after loading, and the peak of the whole process. "
        "Weights mapped from a file count."
    )
    yield ""
    yield "![speed and memory](core.svg)"
    for task, note in _NOTES.items():
        found = [row for row in results["measurements"] if row["subject"]["task"] == task]
        if found:
            yield from ["", f"## {task.capitalize()}", "", note, "", *_comparison_table(found)]
    yield from _agreement(results["agreement"])
    yield from _loading(results["loading"])
    yield from _accelerator(results)
    key = [f"subject.{name}" for name in ("task", "size", "precision", "candidate")]
    yield from beside_previous(before, results, key=key, value="median")
    if results["left_out"]:
        yield from ["", "## Left out", "", *(f"- {reason}" for reason in results["left_out"])]


def _machine(results: dict[str, Any]) -> str:
    return machine_in_words(
        results["machine"], ("torch", "performer-pytorch", "torch-geometric", "python")
    )


def _comparison_table(found: Sequence[dict[str, Any]]) -> Iterable[str]:
    yield from _header(
        "size", "precision", "what", "s", "runs", "x float32", "x same", "GB loaded", "GB peak"
    )
    for row in found:
        subject = row["subject"]
        yield _row(
            subject["size"],
            subject["precision"],
            subject["candidate"],
            f"{row['median']:.3g}",
            str(len(row["seconds"])),
            _ratio(row, found, "float32"),
            _ratio(row, found, subject["precision"]),
            _gigabytes(row["resident_after_loading"], "resident"),
            _gigabytes(row["memory"], "peak"),
        )


def _ratio(row: dict[str, Any], found: Sequence[dict[str, Any]], precision: str) -> str:
    """Time of the size's baseline in ``precision`` over this one's."""
    wanted = (row["subject"]["size"], precision)
    for other in found:
        subject = other["subject"]
        if subject["candidate"] in BASELINES and (subject["size"], subject["precision"]) == wanted:
            return f"{other['median'] / row['median']:.2f}"
    return ""


def _agreement(rows: Sequence[dict[str, Any]]) -> Iterable[str]:
    if not rows:
        return
    yield from ["", "## Agreement", ""]
    yield "Gene representations of the same cell beside those of the reference in float32."
    yield ""
    yield from _header("size", "precision", "what", "largest difference", "smallest cosine")
    for row in rows:
        yield _row(
            row["size"],
            row["precision"],
            row["candidate"],
            f"{row['largest_difference']:.1e}",
            f"{row['smallest_cosine']:.6f}",
        )


def _loading(found: Sequence[dict[str, Any]]) -> Iterable[str]:
    if not found:
        return
    yield from ["", "## Loading", ""]
    yield (
        f"`ScLong.from_pretrained` at size {found[0]['subject']['size']} in a fresh process, the "
        "files in the system's cache: every file is read once to verify it, then mapped. Medians."
    )
    yield ""
    yield from _header("precision", "s from start of process", "s to load", "GB own", "GB mapped")
    for row in found:
        yield _row(
            row["subject"]["precision"],
            f"{row['median']:.3g}",
            f"{row['seconds_to_prepare']:.3g}",
            _gigabytes(row["memory"], "anonymous"),
            _gigabytes(row["memory"], "file"),
        )


def _accelerator(results: dict[str, Any]) -> Iterable[str]:
    found = results["accelerator"]
    if not found:
        return
    device = results["machine"]["accelerator"]
    peak = peak_bfloat16(device)
    yield from ["", "## Training on an accelerator", ""]
    yield (
        f"{device}, bfloat16 products, float32 weights, Adam; `recomputed`: activation "
        "checkpointing. Operations are three times those of forward, without what is recomputed; "
        + (f"the share is of {peak / 1e12:.0f} TFLOP/s." if peak else "its peak is not known here.")
    )
    yield ""
    yield from _header("size", "cells", "recomputed", "s a step", "TFLOP/s", "share", "GB peak")
    for row in found:
        subject = row["subject"]
        work = TRAINING_MULTIPLE * subject["cells"]
        work *= forward_flops(ScLongConfig.preset(subject["size"]))
        rate = work / row["median"]
        yield _row(
            subject["size"],
            str(subject["cells"]),
            "yes" if subject["checkpointing"] else "no",
            f"{row['median']:.3f}",
            f"{rate / 1e12:.0f}",
            f"{100 * rate / peak:.0f} %" if peak else "",
            f"{row['accelerator_peak'] / 1e9:.1f}",
        )


def _gigabytes(memory: dict[str, int], figure: str) -> str:
    return f"{memory[figure] / 1e9:.2f}" if figure in memory else ""


def _header(*names: str) -> list[str]:
    return [_row(*names), _row(*("---" for _ in names))]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
