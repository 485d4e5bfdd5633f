"""Where the work is done: here one piece after the other, or by the workers of a Dask cluster."""

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sclong_core.errors import ConfigError, ScLongError

_LOG = logging.getLogger("sclong")
_ADDRESS = re.compile(r"(tcp|tls|ucx)://\S+")
_RETRIES = 2
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
    """

    def __init__(self, client: Any) -> None:
        self._client = client

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
        for future in distributed.as_completed(futures):
            try:
                results: list[Result] = future.result()
            except distributed.KilledWorker as error:
                raise ScLongError(
                    f"workers ended again and again over {futures[future]}: give them more memory, "
                    "or make shards smaller with the rule cells_per_shard"
                ) from error
            future.release()
            yield from results


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
            "a cluster needs Dask: pip install 'sclong-data[cluster]', or leave --cluster out"
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
    with _cluster(cluster) as address, distributed.Client(address) as client:
        _LOG.info("cluster: %s, dashboard at %s", client.scheduler.address, client.dashboard_link)
        yield DaskExecutor(client)


@contextmanager
def _cluster(asked: str) -> Iterator[Any]:
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
        with _slurm(Path(asked)) as cluster:
            yield cluster
    else:
        raise ConfigError(
            f"cluster {asked!r} is neither local, nor an address like tcp://host:8786, nor a YAML "
            "file for SLURM"
        )


@contextmanager
def _slurm(path: Path) -> Iterator[Any]:
    """Jobs of a SLURM cluster."""
    settings = slurm_settings(path)
    jobs = settings.pop("jobs")
    with _optional("dask_jobqueue").SLURMCluster(**settings) as cluster:
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
