"""FSDP over gloo trains as one process does, and its checkpoints load at any number of ranks."""

import csv
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch.distributed.fsdp
from safetensors.numpy import load_file

from sclong_core.pretraining.checkpoint_io import AtomicCheckpointIO, newest_valid_checkpoint
from sclong_core.pretraining.estimate import FSDP
from sclong_core.pretraining.fsdp import ShardedStrategy
from sclong_core.testing import make_counts_anndata
from tests.support.training import NETWORK_OPTIONS

pytestmark = pytest.mark.skipif(
    not hasattr(torch.distributed.fsdp, "fully_shard"), reason="FSDP needs PyTorch 2.6 or newer"
)
TESTING = "tests.support.training"
# Forks, so that what all of them import is imported once. Each job is a list of commands, one a
# rank, with the variables that torchrun would set.
SCRIPT = """
import json, os, shutil, sys
from pathlib import Path
import torch_geometric.nn, sclong_core.pretraining.cli
from sclong_core.cli.main import main
from sclong_core.pretraining.checkpoint_io import AtomicCheckpointIO
for job in json.loads(sys.argv[1]):
    if "copy" in job:
        shutil.copytree(*job["copy"])
        shutil.rmtree(Path(job["copy"][1]) / "model")
        for path in (Path(job["copy"][1]) / "checkpoints").glob("*.ckpt"):
            if path.name != "step=2.ckpt":
                AtomicCheckpointIO().remove_checkpoint(path)
    children = []
    for rank in range(job["ranks"]):
        child = os.fork()
        if not child:
            if job["variables"]:
                os.environ.update(job["variables"], RANK=str(rank), LOCAL_RANK=str(rank))
            os._exit(main(job["words"]))
        children.append(child)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0, job
"""


def job(folder, name, ranks, *, strategy=FSDP, copy=None, port=0):
    callbacks = [
        {"class_path": f"{TESTING}.GradientLog", "init_args": {"path": f"{folder}/{name}.npy"}}
    ]
    if ranks == 1:
        callbacks.append(
            {"class_path": f"{TESTING}.CellLog", "init_args": {"path": f"{folder}/{name}.jsonl"}}
        )
    words = [
        "pretrain",
        "fit",
        "--config=tiny",
        *NETWORK_OPTIONS,
        f"--data.path={folder / 'cells.h5ad'}",
        f"--data.batch_size={8 // ranks}",
        "--data.validation_fraction=0.1",
        f"--trainer.default_root_dir={folder / name}",
        "--trainer.accelerator=cpu",
        f"--trainer.strategy={strategy}",
        "--trainer.max_epochs=1",
        "--trainer.log_every_n_steps=1",
        "--trainer.accumulate_grad_batches=2",
        "--trainer.gradient_clip_val=0.05",
        "--trainer.enable_progress_bar=false",
        "--checkpoints.every_n_steps=2",
        "--checkpoints.keep=-1",
        f"--trainer.callbacks={json.dumps(callbacks)}",
    ]
    variables = {
        "TORCHELASTIC_RUN_ID": "test",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(ranks),
        "LOCAL_WORLD_SIZE": str(ranks),
        "GROUP_RANK": "0",
    }
    found = {"ranks": ranks, "words": words, "variables": variables if port else None}
    return found | ({"copy": [str(folder / copy), str(folder / name)]} if copy else {})


def run(jobs):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, json.dumps(jobs)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=900,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory, free_ports):
    """A run of one process, one of two with shards, and the second gone on with by one process."""
    folder = tmp_path_factory.mktemp("sharding")
    make_counts_anndata(61, 40, seed=0).write_h5ad(folder / "cells.h5ad")
    run(
        [
            job(folder, "one", 1, strategy="auto"),
            job(folder, "two", 2, port=free_ports(1)[0]),
            job(folder, "two-then-one", 1, strategy="auto", copy="two"),
        ]
    )
    return folder


@pytest.fixture(scope="module")
def four(folder, free_ports):
    """Runs of four processes: from the start, and from checkpoints of one and of two."""
    ports = free_ports(3)
    run(
        [
            job(folder, "four", 4, port=ports[0]),
            job(folder, "one-then-four", 4, copy="one", port=ports[1]),
            job(folder, "two-then-four", 4, copy="two", port=ports[2]),
        ]
    )
    return folder


@pytest.fixture(scope="module")
def free_ports():
    import socket  # noqa: PLC0415  # only here

    def find(count):
        sockets = [socket.socket() for _ in range(count)]
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        ports = [item.getsockname()[1] for item in sockets]
        for item in sockets:
            item.close()
        return ports

    return find


def assert_equal_models(folder, one, other):
    models = [load_file(folder / name / "model" / "model.safetensors") for name in (one, other)]
    assert set(models[0]) == set(models[1])
    for name, tensor in models[0].items():
        assert np.abs(tensor.astype(float) - models[1][name]).max() <= 1e-6, name


def figures(folder, name):
    with (folder / name / "logs" / "version_0" / "metrics.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    wanted = ("val/", "train/loss", "train/gradient_norm")
    return {
        column: [float(row[column]) for row in rows if row[column]]
        for column in rows[0]
        if column.startswith(wanted)
    }


def assert_equal_steps(folder, one, other):
    gradients = [np.load(folder / f"{name}.npy") for name in (one, other)]
    norm = np.linalg.norm(gradients[0], axis=1).min()
    assert np.abs(gradients[0] - gradients[1]).max() <= 1e-6 * norm
    expected, found = figures(folder, one), figures(folder, other)
    assert set(expected) == set(found)
    for name, values in expected.items():
        assert found[name] == pytest.approx(values, rel=1e-4, abs=1e-6), name


def test_steps_are_those_of_one_process_accumulated_and_clipped(folder):
    assert_equal_steps(folder, "one", "two")


def test_the_exported_model_is_that_of_one_process(folder):
    assert_equal_models(folder, "one", "two")


def test_a_checkpoint_of_two_ranks_goes_on_as_one_process(folder):
    assert_equal_models(folder, "one", "two-then-one")
    straight, resumed = (
        [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
        for name in ("one", "two-then-one")
    )
    assert resumed == straight[4:]


def test_a_sharded_checkpoint_holds_what_one_file_holds(folder):
    files = AtomicCheckpointIO()
    one, two = (
        files.load_checkpoint(newest_valid_checkpoint(folder / name / "checkpoints"))
        for name in ("one", "two")
    )
    assert (folder / "two/checkpoints/step=2.ckpt").is_dir()
    assert set(one["state_dict"]) == set(two["state_dict"])
    expected, found = one["optimizer_states"][0], two["optimizer_states"][0]
    assert set(expected["state"]) == set(found["state"])
    for number, state in expected["state"].items():
        for name, tensor in state.items():
            assert np.allclose(tensor, found["state"][number][name], atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["four", "one-then-four", "two-then-four"])
def test_four_ranks_end_as_one_process(four, name):
    assert_equal_models(four, "one", name)


@pytest.mark.slow
def test_steps_of_four_ranks_are_those_of_one_process(four):
    assert_equal_steps(four, "one", "four")


def test_a_sharded_checkpoint_takes_no_storage_options():
    with pytest.raises(TypeError, match="storage options"):
        ShardedStrategy().save_checkpoint({}, "step=1.ckpt", storage_options={})
