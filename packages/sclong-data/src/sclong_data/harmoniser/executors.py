"""Where the work is done: here one piece after the other, or by the workers of a Dask cluster."""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sclong_core.errors import ConfigError, ScLongError

_LOG = logging.getLogger("sclong")
_ADDRESS = re.compile(r"(tcp|tls|ucx)://\S+")
_RETRIES = 2
_POLL_SECONDS = 0.05
_SUBMISSIONS = 3
"""Jobs in a row that SLURM refuses before it is given up."""
_AGAIN_SECONDS = 2.0
"""Between them."""
Task = TypeVar("Task")
Result = TypeVar("Result")


class Executor(Protocol):
    """Does pieces of work, in any order."""

    def run(
        self, work: Callable[[Task], Iterable[Result]], tasks: Sequence[Task]
    ) -> Iterator[Result]:
        """The results of all tasks, as they come.

        Args:
            work: gives the results of a task. What it does must be safe to do again.
            tasks: pieces of work that do not depend on each other.
        """
        ...


class Serial:
    """In this process, one task after the other."""

    def run(
        self, work: Callable[[Task], Iterable[Result]], tasks: Sequence[Task]
    ) -> Iterator[Result]:
        """The results in order."""
        for task in tasks:
            yield from work(task)


class DaskExecutor:
    """On the workers of a Dask cluster, which see the same files.

    Args:
        client: of ``distributed``.
        refused: why the cluster gives no workers, None while it may.
    """

    def __init__(self, client: Any, refused: Callable[[], str | None] = lambda: None) -> None:
        self._client, self._refused = client, refused

    def run(
        self, work: Callable[[Task], Iterable[Result]], tasks: Sequence[Task]
    ) -> Iterator[Result]:
        """The results as they come.

        Raises:
            ScLongError: workers died over a task again and again.
        """
        distributed = _optional("distributed")
        if not tasks:
            return
        # Sent once, and sent again by the scheduler if the workers that hold it end.
        shared = self._client.submit(_held, work, pure=False, retries=_RETRIES)
        futures = {
            self._client.submit(_listed, shared, task, pure=False, retries=_RETRIES): task
            for task in tasks
        }
        finished = distributed.as_completed(futures)
        while not finished.is_empty():
            if not finished.has_ready():
                self._require_workers()
                time.sleep(_POLL_SECONDS)
                continue
            future = next(finished)
            with _lost_workers(distributed, _name(futures[future])):
                results: list[Result] = future.result()
            future.release()
            yield from results

    def _require_workers(self) -> None:
        """End the wait for workers that will never come.

        Raises:
            ScLongError: the cluster refuses to start any.
        """
        reason = self._refused()
        if reason is not None:
            raise ScLongError(
                f"the cluster rejects workers ({reason}): correct the settings and "
                "repeat the command; finished shards are kept"
            )


@contextmanager
def _lost_workers(distributed: Any, what: str) -> Iterator[None]:
    """Say in one line that the machines failed, and not the data."""
    try:
        yield
    except distributed.KilledWorker as error:
        raise ScLongError(
            f"workers ended repeatedly on {what}: give them more memory, or make shards "
            "smaller with the rule cells_per_shard; finished shards are kept"
        ) from error
    except (distributed.CancelledError, distributed.comm.CommClosedError) as error:
        raise ScLongError(
            f"the cluster was lost during {what}: start it and repeat the command; "
            "finished shards are kept"
        ) from error


def _name(task: Any) -> str:
    """What a task is about, for messages."""
    entry = getattr(task, "entry", None)
    return str(task)[:100] if entry is None else f"data set {entry.dataset}"


def _held(work: Callable[[Task], Iterable[Result]]) -> Callable[[Task], Iterable[Result]]:
    """What a worker keeps for the tasks that it will be given."""
    return work


def _listed(work: Callable[[Task], Iterable[Result]], task: Task) -> list[Result]:
    """What a worker does."""
    return list(work(task))


def _optional(module: str) -> Any:
    """A module of the extra "cluster".

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ConfigError(
            "a cluster needs Dask: pip install 'sclong-data[cluster]', or omit --cluster"
        ) from error


@contextmanager
def executor_for(cluster: str | None) -> Iterator[Executor]:
    """The executor that a setting asks for, and its cluster while the body runs.

    Args:
        cluster: None for this process; "local" for a process on each core, or "local:4"; the
            address of a Dask scheduler, ``tcp://...``; or a YAML file of settings for
            ``dask_jobqueue.SLURMCluster``, with the number of ``jobs`` to ask for beside them.

    Raises:
        ConfigError: anything else, or Dask is not installed.
    """
    if cluster is None:
        yield Serial()
        return
    distributed = _optional("distributed")
    refusals = _Refusals()
    with _cluster(cluster, refusals) as address, distributed.Client(address) as client:
        _LOG.info("cluster: %s, dashboard at %s", client.scheduler.address, client.dashboard_link)
        yield DaskExecutor(client, refusals.reason)


@contextmanager
def _cluster(asked: str, refusals: "_Refusals") -> Iterator[Any]:
    """The cluster, or its address."""
    local = re.fullmatch(r"local(?::([1-9][0-9]{0,3}))?", asked)
    if local:
        workers = int(local.group(1)) if local.group(1) else None
        with _optional("distributed").LocalCluster(
            n_workers=workers, threads_per_worker=1, dashboard_address=None
        ) as cluster:
            yield cluster
    elif _ADDRESS.fullmatch(asked):
        yield asked
    elif asked.endswith((".yaml", ".yml")):
        with _slurm(Path(asked), refusals) as cluster:
            yield cluster
    else:
        raise ConfigError(
            f"cluster {asked!r} is neither local, nor an address like tcp://host:8786, nor a YAML "
            "file for SLURM"
        )


class _Refusals:
    """Counts how often in a row SLURM did not take a job."""

    def __init__(self) -> None:
        self._count, self._last = 0, ""

    def reason(self) -> str | None:
        """What SLURM said the last time, once that is often enough to believe it."""
        return self._last if self._count >= _SUBMISSIONS else None

    def watched(self, job: type) -> type:
        """The class of jobs, counting; a job that was not taken is tried again after a while."""
        refusals = self

        class Watched(job):  # type: ignore[misc]  # a class of dask_jobqueue
            async def _submit_job(self, script: str) -> Any:
                while refusals.reason() is None:
                    try:
                        answer = await super()._submit_job(script)
                    except (RuntimeError, OSError) as error:
                        refusals._count += 1
                        refusals._last = " ".join(str(error).split())[-300:]
                        _LOG.warning("SLURM did not take a job: %s", refusals._last)
                        await asyncio.sleep(_AGAIN_SECONDS)
                    else:
                        refusals._count = 0
                        return answer
                raise asyncio.CancelledError  # said once, by the executor

        return Watched


@contextmanager
def _slurm(path: Path, refusals: _Refusals) -> Iterator[Any]:
    """Jobs of a SLURM cluster."""
    settings = slurm_settings(path)
    jobs = settings.pop("jobs")
    kind = _optional("dask_jobqueue").SLURMCluster
    watched = type(kind.__name__, (kind,), {"job_cls": refusals.watched(kind.job_cls)})
    try:
        cluster = watched(**settings)
    except (TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"{path}: dask_jobqueue does not take these settings: {reason}"
        ) from error
    with cluster:
        cluster.scale(jobs=jobs)
        yield cluster


def slurm_settings(path: Path) -> dict[str, Any]:
    """Settings for ``SLURMCluster``, and ``jobs``: how many to ask for.

    Raises:
        ConfigError: the file is no YAML of settings, or lacks cores, memory or jobs.
    """
    from sclong_core.settings import read_settings  # noqa: PLC0415  # only where a file is read

    read = read_settings(path)
    if not isinstance(read, dict) or not {"jobs", "cores", "memory"} <= set(read):
        raise ConfigError(
            f"{path} must set jobs, cores and memory (and may set queue, walltime, ...)"
        )
    if not isinstance(read["jobs"], int) or read["jobs"] < 1:
        raise ConfigError(f"{path}: jobs must be a positive number, not {read['jobs']!r}")
    return {str(key): value for key, value in read.items()}
