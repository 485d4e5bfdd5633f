"""The work is the same wherever it is done."""

import logging
import os
import signal
import sys

import pytest

from sclong_core.errors import ConfigError, ScLongError
from sclong_data.corpus.shards import write_shard
from sclong_data.harmoniser import executors, units
from sclong_data.harmoniser.executors import DaskExecutor, Serial, executor_for, slurm_settings
from sclong_data.harmoniser.run import harmonise
from tests.support.datasets import (
    SMALL_RULES,
    corpus_bytes,
    made_up_vocabulary,
    write_datasets,
)


def doubled(number):
    yield number
    yield number


def ended(number):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def client():
    distributed = pytest.importorskip("distributed")
    settings = {"processes": False, "n_workers": 2, "threads_per_worker": 1, "protocol": "tcp"}
    with distributed.Client(
        dashboard_address=None, silence_logs=logging.CRITICAL, **settings
    ) as client:
        yield client


def test_serial_work_is_done_in_order():
    assert list(Serial().run(doubled, [1, 2])) == [1, 1, 2, 2]


def test_dask_does_all_of_it(client):
    executor = DaskExecutor(client)
    assert sorted(executor.run(doubled, [3, 1, 2])) == [1, 1, 2, 2, 3, 3]
    assert list(executor.run(doubled, [])) == []


@pytest.mark.slow
@pytest.mark.fault
def test_workers_that_end_again_and_again_are_said():
    distributed = pytest.importorskip("distributed")
    settings = {"dashboard_address": None, "silence_logs": logging.CRITICAL}
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, **settings) as cluster,
        distributed.Client(cluster) as client,
        pytest.raises(ScLongError, match="give them more memory"),
    ):
        list(DaskExecutor(client).run(ended, ["a"]))


@pytest.mark.slow
def test_processes_of_a_cluster_give_the_same_bytes(tmp_path):
    pytest.importorskip("distributed")
    manifest = write_datasets(tmp_path)
    settings = {"vocabulary": made_up_vocabulary(), "rules": SMALL_RULES}
    harmonise(manifest, tmp_path / "serial", **settings)
    result = harmonise(manifest, tmp_path / "cluster", cluster="local:2", **settings)
    assert result.shards_made == 9
    assert corpus_bytes(tmp_path / "cluster") == corpus_bytes(tmp_path / "serial")


def test_an_address_is_a_cluster(client):
    with executor_for(client.scheduler.address) as executor:
        assert list(executor.run(doubled, [1])) == [1, 1]


@pytest.mark.parametrize("asked", ["cloud", "local:0", "http://host:8786"])
def test_other_clusters_are_refused(asked):
    with pytest.raises(ConfigError, match="neither local"), executor_for(asked):
        pass


def test_without_dask_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigError, match=r"sclong-data\[cluster\]"), executor_for("local"):
        pass


def test_slurm_is_set_by_a_file(tmp_path):
    path = tmp_path / "slurm.yaml"
    path.write_text("jobs: 4\ncores: 1\nmemory: 8GB\nqueue: long\n")
    assert slurm_settings(path) == {"jobs": 4, "cores": 1, "memory": "8GB", "queue": "long"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cores: 1\n", "must set jobs, cores and memory"),
        ("jobs: many\ncores: 1\nmemory: 8GB\n", "jobs must be a positive number"),
        ("jobs: [", "cannot be read as YAML"),
    ],
)
def test_a_file_that_does_not_set_slurm_is_refused(tmp_path, text, said):
    path = tmp_path / "slurm.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said), executor_for(str(path)):
        pass


def test_slurm_jobs_are_asked_for(tmp_path, monkeypatch):
    asked = {}

    class Cluster:
        job_cls = object

        def __init__(self, **settings):
            asked.update(settings)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            asked["closed"] = True

        def scale(self, jobs):
            asked["scaled"] = jobs

    class Client:
        scheduler = type("Scheduler", (), {"address": "tcp://nowhere:1"})
        dashboard_link = ""

        def __init__(self, cluster):
            assert isinstance(cluster, Cluster)

        __enter__, __exit__ = Cluster.__enter__, lambda self, *error: None

    stand_in = type(sys)("dask_jobqueue")
    stand_in.SLURMCluster = Cluster
    distributed = type(sys)("distributed")
    distributed.Client = Client
    monkeypatch.setitem(sys.modules, "dask_jobqueue", stand_in)
    monkeypatch.setitem(sys.modules, "distributed", distributed)
    path = tmp_path / "slurm.yaml"
    path.write_text("jobs: 4\ncores: 1\nmemory: 8GB\n")
    with executor_for(str(path)):
        pass
    assert asked == {"cores": 1, "memory": "8GB", "scaled": 4, "closed": True}


def test_a_job_queue_that_refuses_is_an_error_after_a_few_tries(tmp_path, monkeypatch):
    pytest.importorskip("dask_jobqueue")
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "sbatch").write_text(
        f"#!/bin/sh\necho x >> {tmp_path}/tries\necho no account >&2\nexit 1\n"
    )
    (tools / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setattr(executors, "_AGAIN_SECONDS", 0.05)
    path = tmp_path / "slurm.yaml"
    path.write_text("jobs: 2\ncores: 1\nmemory: 1GB\ninterface: lo\n")
    with (
        pytest.raises(ScLongError, match=r"rejects workers .*no account") as caught,
        executor_for(str(path)) as executor,
    ):
        list(executor.run(doubled, [1]))
    assert "\n" not in str(caught.value)
    assert len((tmp_path / "tries").read_text().split()) <= 6


# What Dask could not finish making complains when it is removed.
@pytest.mark.filterwarnings("ignore:unclosed cluster:ResourceWarning")
def test_settings_that_a_job_queue_does_not_know_are_one_line(tmp_path):
    pytest.importorskip("dask_jobqueue")
    path = tmp_path / "slurm.yaml"
    path.write_text("jobs: 2\ncores: 1\nmemory: much\nnonsense: 1\n")
    with pytest.raises(ConfigError, match="does not take these settings"), executor_for(str(path)):
        pass


def test_memory_that_is_not_there_is_one_line_and_finished_shards_are_kept(tmp_path, monkeypatch):
    manifest = write_datasets(tmp_path)
    settings = {"vocabulary": made_up_vocabulary(), "rules": SMALL_RULES}
    made = []

    def lacking(*arguments, **options):
        if len(made) == 4:
            raise MemoryError
        made.append(1)
        return write_shard(*arguments, **options)

    monkeypatch.setattr(units, "write_shard", lacking)
    with pytest.raises(ScLongError, match="not enough memory"):
        harmonise(manifest, tmp_path / "corpus", **settings)
    monkeypatch.setattr(units, "write_shard", write_shard)
    result = harmonise(manifest, tmp_path / "corpus", **settings)
    assert result.shards_made == 9 - 4
    harmonise(manifest, tmp_path / "fresh", **settings)
    assert corpus_bytes(tmp_path / "corpus") == corpus_bytes(tmp_path / "fresh")
