"""The table and the figure of the storage benchmark."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import was_busy
from benchmarks.storage_loaders import BATCH, BLOCK, CANDIDATES, POOL
from sclong_core.files import atomic_file

_BASELINE = "npz"


def write_report(results: Mapping[str, Any], folder: Path) -> None:
    """Write ``storage.md`` and ``storage.svg``."""
    _plot(results, folder / "storage.svg")
    with atomic_file(folder / "storage.md") as temporary:
        temporary.write_text("\n".join(_lines(results)) + "\n", encoding="utf-8")


def _lines(results: Mapping[str, Any]) -> list[str]:
    prepared = results["prepared"]
    gzip = prepared["gzip_bytes_per_cell"]
    workers = sorted({row["workers"] for row in results["measurements"]})
    rates = [f"cells/s, {count} worker{'s' * (count != 1)}" for count in workers]
    heads = ["", "bytes a cell", "of gzip -9", *rates, "first batch, s", "shuffle", "memory, GB"]
    lines = [
        "# Storage and loaders",
        "",
        (
            f"{prepared['cells']:,} made-up cells of {prepared['genes']:,} genes, "
            f"{prepared['values_per_cell']:,.0f} of them expressed; batches of {BATCH} cells as "
            f"dense float32 in the main process, read for {results['seconds']:.0f} s after the "
            "first batch, from files that the system had dropped from its cache. "
            f"Measured {results['date']} at `{results['commit']}` on "
            f"{results['machine_in_words']} Load before the start: {results['load_at_start']:.1f}."
        ),
        "",
        "| " + " | ".join(heads) + " |",
        "|" + "---|" * len(heads),
        *(_row(name, results, workers, gzip) for name in _measured(results)),
        "",
        *_notes(results, gzip),
        "",
        "![cells a second](storage.svg)",
    ]
    if was_busy(results):
        lines[4:4] = ["**The machine was doing other work: rates are too low, and uneven.**", ""]
    if results["absent"]:
        lines += ["", "Not measured: " + "; ".join(_absent(results["absent"])) + "."]
    return lines


def _row(name: str, results: Mapping[str, Any], workers: Sequence[int], gzip: float) -> str:
    rows = {row["workers"]: row for row in results["measurements"] if row["candidate"] == name}
    storage = results["prepared"]["storages"][CANDIDATES[name].storage]
    last = rows[max(rows)]
    rates = [f"{rows[n]['cells_per_second']:,.0f}" if n in rows else "failed" for n in workers]
    cells = [
        CANDIDATES[name].name,
        f"{storage['bytes_per_cell']:,.0f}",
        f"{storage['bytes_per_cell'] / gzip:.2f}",
        *rates,
        f"{last['first_seconds']:.2f}",
        f"{last['mixing']:.3f}",
        f"{last['memory_bytes'] / 1e9:.2f}",
    ]
    return "| " + " | ".join(cells) + " |"


def _notes(results: Mapping[str, Any], gzip: float) -> list[str]:
    versions = {
        name: found
        for row in results["measurements"]
        for name, found in row["versions"].items()
        if found and name in ("zarr", "anndata", "scdataset", "annbatch", "litdata", "streaming")
    }
    files = results["prepared"]["storages"].get(_BASELINE, {}).get("cells", 0)
    found = ", ".join(f"{name} {number}" for name, number in sorted(versions.items()))
    notes = f"""
- Bytes a cell: all files of a storage. gzip -9 of the three CSR arrays is {gzip:,.0f} bytes a cell.
- Shuffle: mean entropy of the cell types of a batch, as a share of that of cells drawn at random
  (1 is perfect; reading in order gives 0). Blocks of {BLOCK} cells and pools of {POOL:,} where a
  loader has such; streaming loaders as they are by default.
- First batch: from making the loader, libraries loaded. First batch, shuffle and memory are those
  with most workers. Memory: the main process and its workers, what they share counted once, at the
  peak.
- One file a cell is measured on {files:,} cells; its files are `scipy.sparse.save_npz`, as the
  release makes them.
- annbatch reads with threads in one process, as many as the others have workers.
- Versions: {found}.
"""
    return [*notes.strip().splitlines(), *_times(results)]


def _times(results: Mapping[str, Any]) -> list[str]:
    """How much faster than a file a cell."""
    rates = {
        (row["candidate"], row["workers"]): row["cells_per_second"]
        for row in results["measurements"]
    }
    said = [
        f"{rates['sclong', count] / rates[_BASELINE, count]:.0f} times with {count} "
        f"worker{'s' * (count != 1)}"
        for count in sorted({count for _, count in rates})
        if ("sclong", count) in rates and (_BASELINE, count) in rates
    ]
    return [f"- sclong-data beside one file a cell: {', '.join(said)}."] if said else []


def _measured(results: Mapping[str, Any]) -> list[str]:
    there = {row["candidate"] for row in results["measurements"]}
    return [name for name in CANDIDATES if name in there]


def _absent(absent: Mapping[str, str]) -> list[str]:
    return [f"{CANDIDATES[name].name} ({why})" for name, why in absent.items()]


def _plot(results: Mapping[str, Any], path: Path) -> None:
    import matplotlib as mpl  # noqa: PLC0415  # after the measurements, not before
    from matplotlib.figure import Figure  # noqa: PLC0415

    names = _measured(results)
    with mpl.rc_context({"svg.hashsalt": "sclong", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(7, 0.8 + 0.45 * max(1, len(names))), layout="constrained")
        axes = figure.subplots()
        for row in results["measurements"]:
            place = names.index(row["candidate"]) + (row["workers"] - 1.5) * 0.36
            ours = row["candidate"].startswith("sclong")
            axes.barh(
                place,
                row["cells_per_second"],
                height=0.33,
                color=("#1f6aa5" if ours else "#8d857a"),
                alpha=0.6 if row["workers"] == 1 else 1.0,
            )
            axes.text(row["cells_per_second"], place, f" {row['workers']}", va="center", fontsize=7)
        axes.set_yticks(range(len(names)), [CANDIDATES[name].name for name in names])
        axes.invert_yaxis()
        axes.set_xscale("log")
        axes.set_xlabel("dense cells a second, by number of workers (logarithmic)")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="x", linewidth=0.4, alpha=0.6)
        axes.set_axisbelow(True)
        figure.savefig(path, format="svg", metadata={"Date": None})
