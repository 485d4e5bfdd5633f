"""Jobs on a real SLURM of one machine: whatever happens to one, what it makes is the same.

A fixture starts the SLURM and ends it. Jobs are those that ``sclong slurm`` prints, with numbers of
GPUs, cores and minutes given on the command line of sbatch, as a user would.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import sclong_core
from sclong_tasks.data_files import prepare_data
from sclong_tasks.drug_combination import task
from sclong_tasks.drug_combination.example import write_synthetic_files
from tests.support.datasets import corpus_bytes, made_up_vocabulary, write_datasets
from tests.support.training import NETWORK_OPTIONS, write_cells

ROOT = Path(__file__).parents[1]
SCRIPTS = Path(sclong_core.__file__).with_name("slurm")
STARTER = ROOT / "slurm" / "one-machine"
PATIENCE = 240
NEEDED = ("sbatch", "slurmctld", "slurmd", "munged")

needs_slurm = pytest.mark.skipif(
    os.geteuid() != 0 or any(shutil.which(name) is None for name in NEEDED),
    reason="no SLURM can be started here: needs root, slurm-wlm and munge",
)


class Slurm:
    """A running SLURM, and what tests ask of it."""

    def __init__(self, folder: Path) -> None:
        settings = (folder / "environment").read_text()
        configuration = re.search(r"SLURM_CONF=(\S+)", settings)[1]
        outside = {name: v for name, v in os.environ.items() if not name.startswith("SLURM")}
        self.environment = {
            **outside,
            "SLURM_CONF": configuration,
            "OMP_NUM_THREADS": "1",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }

    def call(self, *words: str | Path, folder: Path | None = None) -> str:
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, env=self.environment, cwd=folder
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def submit(
        self, folder: Path, *options: str, words: tuple[str, ...], script: str = "pretrain"
    ) -> str:
        tasks = "--ntasks-per-node=2" if script == "pretrain" else "--ntasks=2"
        said = self.call(
            "sbatch",
            tasks,
            "--gpus-per-node=0",
            "--cpus-per-task=1",
            *options,
            SCRIPTS / f"{script}.sbatch",
            *words,
            folder=folder,
        )
        return said.split()[-1]

    def field(self, job: str, name: str) -> str:
        return self.fields(job, name)[0]

    def fields(self, job: str, name: str) -> list[str]:
        """One, or one for each task of an array."""
        return re.findall(rf"\b{name}=(\S+)", self.call("scontrol", "show", "job", job))

    def wait_for(self, what: Callable[[], bool], why: str) -> None:
        until = time.monotonic() + PATIENCE
        while not what():
            assert time.monotonic() < until, f"gave up waiting until {why}"
            time.sleep(0.2)

    def wait_for_the_end(self, job: str) -> None:
        """Until the job is done; one that was requeued is let start in seconds, not minutes.

        Not at once: the node takes a job that starts in the second of its requeueing for the one
        that it was told to end ("Job credential revoked").
        """
        hurried = set()

        def ended() -> bool:
            states = self.fields(job, "JobState")
            state = next((one for one in states if one != "COMPLETED"), "COMPLETED")
            assert state not in {"FAILED", "TIMEOUT", "CANCELLED", "NODE_FAIL"}, state
            restarts = self.field(job, "Restarts")
            waits = state == "PENDING" and self.field(job, "Reason") == "BeginTime"
            if waits and restarts not in hurried:
                self.call("scontrol", "update", f"jobid={job}", "StartTime=now+5")
                hurried.add(restarts)
            return state == "COMPLETED"

        self.wait_for(ended, f"job {job} is done")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slurm")
    subprocess.run([STARTER, "start", folder, "4"], check=True)
    yield Slurm(folder)
    subprocess.run([STARTER, "stop", folder], check=True)


def words(*options: str) -> tuple[str, ...]:
    return (
        "--config=tiny",
        *NETWORK_OPTIONS,
        "--data.path=cells.h5ad",
        "--data.batch_size=4",
        "--trainer.accelerator=cpu",
        "--trainer.strategy=ddp",
        "--trainer.enable_progress_bar=false",
        "--checkpoints.every_n_steps=20",
        "--model.feature_redraw_interval=10",
        *options,
    )


@needs_slurm
@pytest.mark.slow
def test_a_corpus_made_by_workers_of_a_job_is_that_of_one_process(slurm, tmp_path):
    pytest.importorskip("distributed")
    write_datasets(tmp_path).write(tmp_path / "manifest.tsv")
    made_up_vocabulary().write(tmp_path / "vocabulary.tsv")
    (tmp_path / "rules.yaml").write_text("min_genes_per_dataset: 20\nmin_genes_per_cell: 10\n")
    words = ("manifest.tsv", "--vocabulary=vocabulary.tsv", "--rules=rules.yaml")
    job = slurm.submit(
        tmp_path, "--mem-per-cpu=500", script="harmonise", words=(*words, "-o", "of-the-job")
    )
    slurm.wait_for_the_end(job)
    said = (tmp_path / f"sclong-harmonise-{job}.log").read_text()
    assert "cluster: tcp://" in said, said
    slurm.call("sclong", "data", "harmonise", *words, "-o", "of-one-process", folder=tmp_path)
    assert corpus_bytes(tmp_path / "of-the-job") == corpus_bytes(tmp_path / "of-one-process")


@needs_slurm
@pytest.mark.slow
def test_jobs_make_the_runs_of_a_suite(slurm, tmp_path):
    write_synthetic_files(tmp_path / "files")
    prepare_data(task, tmp_path / "task-data" / task.name, str(tmp_path / "files"))
    run = {"task": task.name, "models": ["pair_prior"]}
    (tmp_path / "suite.yaml").write_text(json.dumps({"runs": [run], "seeds": [1, 2]}))
    words = ("bench", "run", "suite.yaml", "--on", "slurm", "--jobs", "2")
    said = slurm.call("sclong", *words, "--sbatch=--cpus-per-task=1", folder=tmp_path)
    slurm.wait_for_the_end(re.search(r"number (\d+)", said)[1])
    planned = slurm.call("sclong", "bench", "plan", "suite.yaml", folder=tmp_path)
    assert len(list((tmp_path / "bench-runs").rglob("metrics.json"))) == 2, planned


EPOCHS = "--trainer.max_epochs=60"


def job_folder(folder: Path) -> Path:
    write_cells(folder / "cells.h5ad")
    return folder


def model(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "runs/tiny/model").iterdir()}


def log(folder: Path, job: str) -> str:
    return (folder / f"sclong-pretrain-{job}.log").read_text()


@pytest.fixture(scope="module")
def undisturbed(slurm, tmp_path_factory):
    """The model of a job that nothing happened to."""
    folder = job_folder(tmp_path_factory.mktemp("undisturbed"))
    job = slurm.submit(folder, words=words(EPOCHS))
    slurm.wait_for_the_end(job)
    assert "srun started 1 x 2 processes" in log(folder, job)
    assert log(folder, job).count("cells for training") == 1
    return model(folder)


def signal_before_the_time_limit(slurm: Slurm, job: str) -> None:
    slurm.call("scancel", "--signal=USR1", job)


def requeue(slurm: Slurm, job: str) -> None:
    slurm.call("scontrol", "requeue", job)


def steps_of(job: str) -> list[str]:
    """What the node still runs of a job."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            said = (process / "cmdline").read_bytes().decode(errors="replace")
        except OSError:  # it has ended meanwhile
            continue
        if said.startswith(f"slurmstepd: [{job}."):
            found.append(said)
    return found


def lose_the_node(slurm: Slurm, job: str) -> None:
    node = slurm.field(job, "BatchHost")
    slurm.call("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    slurm.wait_for(lambda: slurm.field(job, "JobState") == "PENDING", "the job waits for a node")
    slurm.wait_for(lambda: not steps_of(job), "the node has ended what it ran")
    slurm.call("scontrol", "update", f"nodename={node}", "state=resume")


@needs_slurm
@pytest.mark.slow
@pytest.mark.fault
@pytest.mark.parametrize("disturb", [signal_before_the_time_limit, requeue, lose_the_node])
def test_a_disturbed_job_comes_back_and_ends_the_same(disturb, slurm, undisturbed, tmp_path):
    folder = job_folder(tmp_path)
    job = slurm.submit(folder, words=words(EPOCHS))
    checkpoints = folder / "runs/tiny/checkpoints"
    slurm.wait_for(lambda: any(checkpoints.glob("*.ckpt.json")), "there is a checkpoint")
    disturb(slurm, job)
    slurm.wait_for_the_end(job)
    assert int(slurm.field(job, "Restarts")) == 1
    assert "going on from runs/tiny/checkpoints/step=" in log(folder, job)
    assert model(folder) == undisturbed


@needs_slurm
@pytest.mark.slow
def test_a_job_that_fails_is_not_begun_again(slurm, tmp_path):
    job = slurm.submit(tmp_path, words=words("--data.path=absent.h5ad"))
    slurm.wait_for(lambda: slurm.field(job, "JobState") == "FAILED", "the job has failed")
    assert slurm.field(job, "ExitCode") == "2:0"
    assert slurm.field(job, "Restarts") == "0"
    said = log(tmp_path, job)
    # Neither was killed by the other's end; srun tells of both in one line or in two.
    ended = re.findall(r"tasks? ([\d-]+): Exited with exit code 2", said)
    assert ended in (["0-1"], ["0", "1"], ["1", "0"]), said
    assert "Terminat" not in said


@needs_slurm
@pytest.mark.slow
@pytest.mark.fault
def test_a_job_that_reaches_its_time_limit_is_told_before_and_comes_back(slurm, tmp_path):
    folder = job_folder(tmp_path)
    endless = words("--trainer.max_steps=-1", "--trainer.max_epochs=100000")
    job = slurm.submit(folder, "--time=60", "--signal=SIGUSR1@150", words=endless)
    checkpoints = folder / "runs/tiny/checkpoints"
    slurm.wait_for(lambda: any(checkpoints.glob("*.ckpt.json")), "there is a checkpoint")
    # The run listens now, however long it took to begin. SLURM looks at limits every half minute:
    # the signal comes 90 seconds or more before the end.
    hours, minutes, _ = map(int, slurm.field(job, "RunTime").split(":"))
    slurm.call("scontrol", "update", f"jobid={job}", f"TimeLimit={60 * hours + minutes + 3}")
    slurm.wait_for(lambda: slurm.field(job, "Restarts") == "1", "the job is queued again")
    assert "Exited with exit code 143" in log(folder, job)
    slurm.call("scancel", job)
