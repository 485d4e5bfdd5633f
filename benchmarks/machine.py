"""What a measurement was made on, in words that name no particular computer."""

import argparse
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
BUSY_SHARE = 0.25
"""Of the cores: with a higher load before anything is measured, the machine is busy."""
PACKAGES = ("torch", "torch-geometric", "performer-pytorch", "numpy", "scipy", "safetensors")


def describe_machine() -> dict[str, Any]:
    """Cores, instruction set, memory, accelerator and versions."""
    import torch  # noqa: PLC0415  # what only asks for memory() needs no torch

    accelerator = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "cores": available_cores(),
        "threads": torch.get_num_threads(),
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
        "bfloat16_instructions": _bfloat16_instructions(),
        "memory_bytes": _memory_figures().get("MemTotal"),
        "accelerator": accelerator,
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def machine_in_words(machine: dict[str, Any], packages: Iterable[str]) -> str:
    """A line of what :func:`describe_machine` found, with the versions that matter."""
    instructions = ", ".join([machine["instruction_set"], *machine["bfloat16_instructions"]])
    parts = [f"{machine['cores']} cores ({machine['architecture']}, {instructions})"]
    if machine["memory_bytes"]:
        parts.append(f"{machine['memory_bytes'] / 1e9:.0f} GB of memory")
    if machine["accelerator"]:
        parts.append(machine["accelerator"])
    parts.append(", ".join(f"{name} {machine[name]}" for name in packages))
    return "; ".join(parts) + "."


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def available_memory() -> int | None:
    """Bytes that new processes may take without swapping, None where the system does not say."""
    return _memory_figures().get("MemAvailable")


def load_average() -> float | None:
    """Processes that wanted a core during the last minute, None where the system does not say."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def was_busy(results: Mapping[str, Any]) -> bool:
    """Whether other processes ran when these results were begun, as far as is known."""
    return float(results["load_at_start"] or 0) > BUSY_SHARE * int(results["machine"]["cores"])


def add_output(parser: argparse.ArgumentParser) -> None:
    """Let a user of a benchmark say where its results go, and insist on a busy machine."""
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument(
        "--busy", action="store_true", help="measure on a busy machine too; the results say so"
    )


def require_quiet(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End the command where its results would replace kept ones though the machine is busy.

    What goes elsewhere than to :data:`RESULTS` is measured all the same, and marked.
    """
    load, cores = load_average() or 0.0, available_cores()
    kept = options.output.resolve() == RESULTS.resolve()
    if kept and not options.busy and load > BUSY_SHARE * cores:
        parser.error(
            f"other processes are running (load {load:.1f} on {cores} cores): wait, or use "
            "--output FOLDER, or --busy to keep results that are marked as such"
        )


def memory() -> dict[str, int]:
    """Memory of this process in bytes: its peak, and what is resident now.

    ``anonymous`` is its own; ``file`` is mapped from files, and shared with whoever maps them too.
    The peak is the system's high-water mark of this process. ``getrusage`` would say the same, but
    may count the process that started this one.
    """
    status = _figures(Path("/proc/self/status"))
    if "VmHWM" not in status:
        unit = 1 if sys.platform == "darwin" else 1024
        return {"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}
    names = {"peak": "VmHWM", "resident": "VmRSS", "anonymous": "RssAnon", "file": "RssFile"}
    return {name: status[figure] for name, figure in names.items() if figure in status}


def current_commit() -> str | None:
    """The commit of the tree measured, with "+changes" where files differ from it."""
    try:
        commit = _git("rev-parse", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", "packages")
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{commit}+changes" if changed else commit


def _git(*words: str) -> str:
    command = ["git", "-C", str(ROOT), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _memory_figures() -> dict[str, int]:
    return _figures(Path("/proc/meminfo"))


def _figures(path: Path) -> dict[str, int]:
    """The lines ``name: number kB`` of a file of Linux, in bytes; none on other systems."""
    if not path.exists():
        return {}
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        words = value.split()
        if len(words) == 2 and words[1] == "kB":
            found[name] = int(words[0]) * 1024
    return found


def _bfloat16_instructions() -> list[str]:
    """Instructions for bfloat16 products that the processor has, as Linux names them."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return []
    words = set(info.read_text(encoding="utf-8").split())
    return sorted(words & {"amx_bf16", "avx512_bf16", "bf16"})
