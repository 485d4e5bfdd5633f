"""Running what is missing of a suite: processes of this machine, of Dask workers, or SLURM jobs.

Each run has a lock that the system holds for the process that makes it. So any number of runners
may work on one suite at the same time, on all machines that see the folder; each takes what nobody
else is at, and what a killed runner was at is free when the process that made it has ended.
"""

import logging
import os
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial

from sclong_bench.suites.grid import RunOutcome, make, state_of
from sclong_bench.suites.suite import GridRun, Suite
from sclong_core.children import interrupt_children, own_command
from sclong_core.errors import ConfigError
from sclong_data.harmoniser.executors import executor_for

_LOG = logging.getLogger("sclong")


def runs_left(suite: Suite, *, retry_failed: bool = True) -> list[GridRun]:
    """The runs that are to be made."""
    wanted = ("missing", "failed") if retry_failed else ("missing",)
    return [run for run in suite.runs if state_of(run) in wanted]


def run_here(runs: Sequence[GridRun], *, jobs: int) -> Iterator[RunOutcome]:
    """Make runs in processes of this machine, as they come.

    Args:
        runs: the runs.
        jobs: how many at a time; they share the cores.

    Raises:
        ConfigError: no job at all.
        KeyboardInterrupt: interrupted; unfinished runs are ended, and start again next time.
    """
    if jobs < 1:
        raise ConfigError(f"--jobs must be at least 1, not {jobs}")
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(make, run, threads=threads) for run in runs]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            interrupt_children()
            raise


def run_on_dask(runs: Sequence[GridRun], *, cluster: str) -> Iterator[RunOutcome]:
    """Make runs on the workers of a Dask cluster, which see the same folders.

    Args:
        runs: the runs.
        cluster: "local", an address, or a YAML file for SLURM.

    Raises:
        ConfigError: there is no such cluster.
    """
    with executor_for(cluster) as executor:
        yield from executor.run(partial(_one, threads=1), runs)


def submit_to_slurm(suite: Suite, *, jobs: int, options: Sequence[str]) -> str:
    """Submit jobs that each run this suite, one run at a time, and return the number of the array.

    Args:
        suite: the suite.
        jobs: tasks of the array.
        options: words for ``sbatch``: time, partition, GPUs.

    Raises:
        ConfigError: ``sbatch`` is missing or refuses.
    """
    runner = own_command(["bench", "run", str(suite.path.resolve())])
    runner += ["--output", str(suite.output.resolve()), "--jobs", "1"]
    logs = suite.output.resolve() / "slurm"
    logs.mkdir(parents=True, exist_ok=True)
    words = ["sbatch", "--parsable", f"--array=1-{jobs}", "--job-name=sclong-bench", "--requeue"]
    words += [f"--output={logs}/%A-%a.log", *options, f"--wrap={shlex.join(runner)}"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603  # no shell
    except FileNotFoundError:
        raise ConfigError(
            "sbatch was not found: run this on a machine that can submit jobs"
        ) from None
    if done.returncode != 0:
        raise ConfigError(f"sbatch refused: {' '.join(done.stderr.split())}")
    return done.stdout.strip().split(";")[0]


def _one(run: GridRun, *, threads: int) -> list[RunOutcome]:
    return [make(run, threads=threads)]
