"""Readers of what is trained: sharded checkpoints, settings of a run, the authors' release."""

import contextlib
import io
import os
import pickle
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch

from faults.readers_data import yaml_code
from faults.trials import Reader
from sclong_core.array_files import read_array
from sclong_core.errors import ConfigError
from sclong_core.pretraining.checkpoint_io import AtomicCheckpointIO, write_record
from sclong_core.pretraining.cli import run_cli
from sclong_core.pretraining.fsdp_checkpoints import write_sharded
from sclong_core.release import convert_release
from tests.support.release import write_synthetic_release

Generator = np.random.Generator
_CHECKPOINT = "step=3.ckpt"


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("pwned",))


def _write_sharded(folder: Path) -> None:
    moments = {"exp_avg": torch.ones(2), "step": torch.tensor(3.0)}
    content = {
        "global_step": 3,
        "epoch": 0,
        "state_dict": {"weight": torch.arange(2.0), "index": torch.tensor(4)},
        "optimizer_states": [
            {"state": {"weight": moments}, "param_groups": [{"lr": 0.1, "params": ["weight"]}]}
        ],
    }
    path = folder / _CHECKPOINT
    path.mkdir()
    write_sharded(content, path)
    write_record(path, content)


def _read_sharded(folder: Path) -> str:
    return str(AtomicCheckpointIO().load_checkpoint(folder / _CHECKPOINT))


def _read_signed(folder: Path) -> str:
    """With a record that fits whatever is there: as an attacker would write it."""
    write_record(folder / _CHECKPOINT, {"global_step": 3, "epoch": 0})
    return _read_sharded(folder)


def _code_in(name: str) -> Any:
    def plant(folder: Path, generator: Generator) -> None:
        (folder / _CHECKPOINT / name).write_bytes(pickle.dumps(_Evil()))

    return plant


def _write_release(folder: Path) -> None:
    write_synthetic_release(folder, genes=8)


def _read_release(folder: Path) -> Any:
    model = convert_release(
        weights=folder / "checkpoint.pth",
        hyper_params=folder / "hyper_params.pkl",
        genes=folder / "genes.txt",
        gene2vec=folder / "gene2vec.npy",
        output=folder / "model",
    )
    size = (model / "model.safetensors").stat().st_size
    shutil.rmtree(model)
    return size


def _evil_release(folder: Path, generator: Generator) -> None:
    if generator.random() < 0.5:
        (folder / "hyper_params.pkl").write_bytes(pickle.dumps({"a": _Evil()}))
    else:
        torch.save({"model_state_dict": {"a": _Evil()}}, folder / "checkpoint.pth")


def _swapped_shape(folder: Path, generator: Generator) -> None:
    """One tensor of another shape than the hyper-parameters say."""
    path = folder / "checkpoint.pth"
    content = torch.load(path, weights_only=True)
    state = content["model_state_dict"]
    # How many random features there are, the tensors alone say.
    names = sorted(name for name in state if state[name].ndim and "projection" not in name)
    name = names[int(generator.integers(len(names)))]
    state[name] = torch.cat([state[name], state[name]])
    torch.save(content, path)


def _not_finite(folder: Path, generator: Generator) -> None:
    path = folder / "checkpoint.pth"
    content = torch.load(path, weights_only=True)
    state = content["model_state_dict"]
    name = sorted(name for name in state if state[name].ndim)[int(generator.integers(20))]
    state[name].view(-1)[0] = float(generator.choice([np.nan, np.inf]))
    torch.save(content, path)


def _write_settings(folder: Path) -> None:
    shipped = files("sclong_core") / "configs" / "pretrain" / "tiny.yaml"
    (folder / "run.yaml").write_text(shipped.read_text(encoding="utf-8"))


def _read_settings(folder: Path) -> Any:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(io.StringIO()):
        words = ["--model.network.genes=800", "--dry-run"]
        status = run_cli(["fit", f"--config={folder / 'run.yaml'}", *words])
    if status:
        raise ConfigError("refused")
    return len(said.getvalue())


def _write_vectors(folder: Path) -> None:
    np.save(folder / "vectors.npy", np.arange(12.0, dtype=np.float32).reshape(4, 3))


def _large_shape(folder: Path, generator: Generator) -> None:
    path = folder / "vectors.npy"
    size = str(generator.choice([10**5, 10**12, 10**19, 10**25]))
    path.write_bytes(path.read_bytes().replace(b"(4,", f"({size},".encode()))


def _objects(folder: Path, generator: Generator) -> None:
    np.save(folder / "vectors.npy", np.array([[{}]], dtype=object), allow_pickle=True)


READERS = (
    Reader(
        "gene vectors",
        _write_vectors,
        lambda folder: read_array(folder / "vectors.npy", "gene vectors").tobytes(),
        planted={"a shape that lies": _large_shape, "objects": _objects},
    ),
    Reader("sharded checkpoint", _write_sharded, _read_sharded, sealed=True),
    Reader(
        "sharded checkpoint with a forged record",
        _write_sharded,
        _read_signed,
        targets=f"{_CHECKPOINT}/*",
        planted={"code in the list": _code_in(".metadata"), "code": _code_in("values.pt")},
    ),
    Reader(
        "files of the release",
        _write_release,
        _read_release,
        planted={"code": _evil_release, "a shape": _swapped_shape, "no number": _not_finite},
    ),
    Reader(
        "settings of pretraining",
        _write_settings,
        _read_settings,
        planted={"code": yaml_code("run.yaml")},
    ),
)
