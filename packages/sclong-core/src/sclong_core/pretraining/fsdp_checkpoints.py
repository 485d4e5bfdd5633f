"""Checkpoints that every rank writes its part of, and any number of ranks reads.

A folder as ``torch.distributed.checkpoint`` lays it out, with tensors alone, and beside them the
plain values of a training checkpoint. PyTorch pickles the list of tensors: only the classes that
make up such a list are admitted when it is read.
"""

import pickle
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta, TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.checkpoint.storage import WriteResult

from sclong_core.errors import CheckpointError

VALUES = "values.pt"
"""Everything that is not a tensor of the model or the optimiser."""
_MODEL, _OPTIMISER = "model/", "optimiser/"
_GROUPS = "parameter_groups"
_METADATA = "torch.distributed.checkpoint.metadata"
_ADMITTED = {
    *(
        (_METADATA, name)
        for name in (
            "BytesStorageMetadata",
            "ChunkStorageMetadata",
            "Metadata",
            "MetadataIndex",
            "StorageMeta",
            "TensorProperties",
            "TensorStorageMetadata",
            "_MEM_FORMAT_ENCODING",
        )
    ),
    ("torch.distributed.checkpoint.filesystem", "_StorageInfo"),
    ("torch.serialization", "_get_layout"),
    ("torch", "Size"),
    ("torch", "float32"),
    ("torch", "int64"),
    ("torch", "bool"),
    ("pathlib", "PosixPath"),
    ("pathlib._local", "PosixPath"),
}


def write_sharded(checkpoint: dict[str, Any], folder: Path) -> None:
    """Write this rank's part of a Lightning checkpoint; all ranks call it together.

    Args:
        checkpoint: whose ``state_dict`` and ``optimizer_states`` hold this rank's shards, the
            latter by the names of parameters.
        folder: is there and empty.

    Raises:
        OSError: some rank could not write its part; raised on all of them.
    """
    values = dict(checkpoint)
    optimisers = values.pop("optimizer_states", [])
    tensors = flat_tensors(values.pop("state_dict"), optimisers)
    values[_GROUPS] = [optimiser["param_groups"] for optimiser in optimisers]
    try:
        with _quiet_alone():
            save(tensors, storage_writer=_Writer(folder, values))
    except CheckpointException as error:  # which is no Exception
        raise OSError(_reasons(error)) from error


def flat_tensors(
    model: dict[str, Tensor], optimisers: list[dict[str, Any]] | tuple[()] = ()
) -> dict[str, Tensor]:
    """Tensors of a model and its optimisers under one name each."""
    tensors = {_MODEL + name: tensor for name, tensor in model.items()}
    for number, optimiser in enumerate(optimisers):
        for name, state in optimiser["state"].items():
            tensors |= {_state(number, name, what): value for what, value in state.items()}
    return tensors


def read_values(folder: Path) -> dict[str, Any]:
    """The plain values of a checkpoint.

    Raises:
        CheckpointError: it holds more than plain values.
    """
    try:
        values: dict[str, Any] = torch.load(folder / VALUES, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointError(f"{folder} is not a sharded training checkpoint") from error
    return values


def fill(tensors: dict[str, Tensor], folder: Path) -> None:
    """Read into tensors, which may be shards; where there are ranks, all call it together.

    Raises:
        CheckpointError: some rank could not read its part; raised on all of them.
    """
    try:
        with _quiet_alone():
            load(tensors, storage_reader=PlainReader(folder))
    except CheckpointException as error:  # which is no Exception
        raise CheckpointError(f"{folder} cannot be read: {_reasons(error)}") from error


def read_whole(folder: Path) -> dict[str, Any]:
    """The checkpoint in one piece, as Lightning's other strategies write it; in one process.

    Raises:
        CheckpointError: it is damaged, or holds more than tensors and plain values.
    """
    values = read_values(folder)
    tensors = _room(folder)
    fill(tensors, folder)
    values["state_dict"] = {
        name.removeprefix(_MODEL): tensor
        for name, tensor in tensors.items()
        if name.startswith(_MODEL)
    }
    try:
        values["optimizer_states"] = [
            _numbered(number, parameters, tensors)
            for number, parameters in enumerate(values.pop(_GROUPS))
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{folder} has no parameters of an optimiser: {error!r}") from error
    return values


def _room(folder: Path) -> dict[str, Tensor]:
    """Tensors of the sizes that the list tells, as far as the files can hold them."""
    there = sum(path.stat().st_size for path in folder.iterdir())
    tensors = {}
    for name, what in PlainReader(folder).read_metadata().state_dict_metadata.items():
        if not isinstance(what, TensorStorageMetadata):
            continue
        try:
            told = torch.empty(what.size, dtype=what.properties.dtype, device="meta")
        except (AttributeError, TypeError, ValueError, RuntimeError) as error:
            raise CheckpointError(f"{folder}: the list tells no size of {name!r}") from error
        there -= told.nbytes
        if there < 0:
            raise CheckpointError(f"{folder}: the list tells of more tensors than there are")
        tensors[name] = torch.empty_like(told, device="cpu")
    return tensors


@contextmanager
def _quiet_alone() -> Iterator[None]:
    """Without PyTorch's warning where there are no other ranks, which it sees by itself."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is (disabled|unavailable)")
        yield


def _numbered(
    number: int, groups: list[dict[str, Any]], tensors: dict[str, Tensor]
) -> dict[str, Any]:
    """The state of an optimiser with its parameters by number, as PyTorch keeps it."""
    state: dict[int, dict[str, Tensor]] = {}
    numbered: list[dict[str, Any]] = []
    for group in groups:
        numbers = list(range(len(state), len(state) + len(group["params"])))
        numbered.append({**group, "params": numbers})
        for place, name in zip(numbers, group["params"], strict=True):
            prefix = _state(number, name, "")
            state[place] = {
                key.removeprefix(prefix): tensor
                for key, tensor in tensors.items()
                if key.startswith(prefix)
            }
    return {"state": state, "param_groups": numbered}


def with_groups(
    values: dict[str, Any], tensors: dict[str, Tensor], states: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """States of optimisers of the same shape as given, with what was read."""
    groups = values.pop(_GROUPS)
    return [
        {
            "state": {
                name: {what: tensors[_state(number, name, what)] for what in state}
                for name, state in given["state"].items()
            },
            "param_groups": groups[number],
        }
        for number, given in enumerate(states)
    ]


def _state(number: int, parameter: str, what: str) -> str:
    return f"{_OPTIMISER}{number}/{parameter}/{what}"


def _reasons(error: CheckpointException) -> str:
    """What each rank met, in one line."""
    causes = {rank: cause for rank, (cause, _) in sorted(error.failures.items())}
    for cause in causes.values():
        if not isinstance(cause, Exception):  # somebody interrupted
            raise cause
    return "; ".join(
        f"rank {rank}: {' '.join(str(cause).split()) or type(cause).__name__}"
        for rank, cause in causes.items()
    )


class _Writer(FileSystemWriter):
    """PyTorch's writer, and the plain values before the list of tensors, which is its last file.

    The first rank alone finishes, where PyTorch tells the others if it fails.
    """

    def __init__(self, folder: Path, values: dict[str, Any]) -> None:
        super().__init__(folder)
        self._values = values

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        """Write what the first rank writes when all have written their tensors."""
        torch.save(self._values, Path(self.path) / VALUES)
        super().finish(metadata, results)


class PlainReader(FileSystemReader):
    """PyTorch's reader, without running what a pickle from anyone says."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """The list of tensors.

        Raises:
            CheckpointError: it is missing or damaged, or holds anything else.
        """
        path = Path(self.path) / ".metadata"
        try:
            with path.open("rb") as handle:
                found = _checked(_Unpickler(handle).load())
        except Exception as error:  # of any kind: the file decides what goes wrong
            raise CheckpointError(f"{path} is not the list of tensors of a checkpoint") from error
        if found.storage_meta is None:
            found.storage_meta = StorageMeta()
        found.storage_meta.load_id = self.load_id
        return found


def _checked(found: Any) -> Metadata:
    """Refuse a list that is none, or that names files outside of its folder."""
    if not isinstance(found, Metadata) or not isinstance(found.state_dict_metadata, dict):
        raise TypeError(type(found).__name__)
    for place in found.storage_data.values():
        if Path(place.relative_path).name != place.relative_path:
            raise ValueError(place.relative_path)
    return found


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Only what makes up a list of tensors.

        Raises:
            UnpicklingError: anything else is asked for.
        """
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"{module}.{name}")
        return super().find_class(module, name)
