"""Files of published models: found by name, read without executing anything, checked by name.

A tensor that is missing, left over, or of another shape is named, and nothing is loaded then: what
is missing would stay random.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from sclong_core.errors import CheckpointError
from sclong_core.files import read_json, sha256_file
from sclong_core.pickles import load_tensors, read_pickled_dictionary

Names = Callable[[str], Sequence[str]]
"""From the name of a tensor in the network to the names of its parts in the file."""
_SHOWN = 3
_WRAPPER = "module."
"""Before every name in a file that was saved from a model in PyTorch's data-parallel wrapper."""


def find_file(folder: Path, *patterns: str, model: str, what: str) -> Path:
    """The one file in a folder, or in a folder inside it, that one of these patterns fits.

    Raises:
        CheckpointError: there is none, or several of no fixed name, or the folder is not there.
    """
    found = find_files(folder, *patterns)
    if not found and (parts := find_files(folder, *(f"{one}.index.json" for one in patterns))):
        raise CheckpointError(
            f"{parts[0]}: the {what} of {model} are split into several files, which are not put "
            "together here: save them as one"
        )
    if not found:
        raise CheckpointError(
            f"{folder} is not a folder of {model}: it has no {patterns[0]} ({what})"
            if folder.is_dir()
            else f"{folder} is not a folder: give the one that holds the files of {model}"
        )
    beside = [path.name for path in found if path.parent == found[0].parent]
    if len(beside) > 1 and found[0].name not in patterns:
        raise CheckpointError(
            f"{found[0].parent} has several {what} of {model}: {', '.join(beside)}; leave those "
            "that belong together there"
        )
    return found[0]


def find_files(folder: Path, *patterns: str) -> list[Path]:
    """Files that fit, those of the first pattern first, and of the folder itself before others."""
    found = [
        path
        for pattern in patterns
        for place in (pattern, f"*/{pattern}", f"*/*/{pattern}")
        for path in sorted(folder.glob(place))
        if path.is_file()
    ]
    return list(dict.fromkeys(found))


def read_settings(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        CheckpointError: the file is not one.
    """
    try:
        found = read_json(path)
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not JSON: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{path} must hold an object, not a {type(found).__name__}")
    return found


def size_of(settings: Mapping[str, Any], name: str, path: Path) -> int:
    """A positive whole number of these settings.

    Raises:
        CheckpointError: it is missing, or is something else.
    """
    value = settings.get(name)
    if type(value) is not int or value < 1:
        raise CheckpointError(f"{path}: {name} must be a positive whole number, not {value!r}")
    return value


def read_dictionary(path: Path) -> dict[Any, Any]:
    """A dictionary in JSON or a pickle, of which nothing is executed.

    Raises:
        CheckpointError: the file holds anything else.
    """
    return read_settings(path) if path.suffix == ".json" else read_pickled_dictionary(path)


def read_ids(path: Path, *, model: str) -> dict[str, int]:
    """From names to numbers of tokens, each once and without a gap.

    Raises:
        CheckpointError: the file holds anything else.
    """
    found = read_dictionary(path)
    for name, number in found.items():
        if not isinstance(name, str) or type(number) is not int:
            raise CheckpointError(
                f"{path} is not a token dictionary of {model}: {name!r} stands for {number!r}"
            )
    if sorted(found.values()) != list(range(len(found))):
        raise CheckpointError(
            f"{path}: the numbers of its {len(found):,} tokens do not run from 0 to "
            f"{len(found) - 1:,}, each once"
        )
    return found


def read_tensors(path: Path) -> Any:
    """What is in a file of tensors, on the CPU: ``.safetensors``, or saved by ``torch.save``.

    Raises:
        CheckpointError: the file is damaged, or holds more than tensors and plain values.
    """
    if path.suffix != ".safetensors":
        return load_tensors(path)
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {' '.join(str(error).split())}") from error


def read_state(path: Path, *, model: str) -> dict[str, Tensor]:
    """Tensors by name, without what PyTorch's data-parallel wrapper puts before every name.

    Raises:
        CheckpointError: the file holds anything else.
    """
    found = read_tensors(path)
    if not isinstance(found, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in found.items()
    ):
        raise CheckpointError(f"{path} does not hold tensors by name: it is not one of {model}")
    if found and all(name.startswith(_WRAPPER) for name in found):  # saved while it was trained
        return {name.removeprefix(_WRAPPER): tensor for name, tensor in found.items()}
    return dict(found)


def shape_of(state: Mapping[str, Tensor], name: str, rank: int, path: Path) -> tuple[int, ...]:
    """The shape of a tensor, from which sizes of the network are taken.

    Raises:
        CheckpointError: it is missing or has another number of axes.
    """
    if name not in state:
        raise CheckpointError(f"{path} lacks the tensor {name}: it is of another model or version")
    shape = tuple(state[name].shape)
    if len(shape) != rank:
        raise CheckpointError(f"{path}: the tensor {name} has the shape {shape}")
    return shape


def count_layers(
    state: Mapping[str, Tensor], prefix: str, path: Path, *, stated: object = None
) -> int:
    """Layers that are numbered after a prefix.

    Args:
        state: tensors by name.
        prefix: of their names.
        path: of the file, for messages.
        stated: how many the settings of the model say that there are; None if they do not.

    Raises:
        CheckpointError: there are none, or another number than is stated.
    """
    pattern = re.compile(re.escape(prefix) + r"(\d+)\.")
    numbers = {int(match[1]) for name in state if (match := pattern.match(name))}
    if not numbers:
        raise CheckpointError(f"{path} has no layers {prefix}0: it is of another model or version")
    found = max(numbers) + 1
    if stated is not None and stated != found:
        raise CheckpointError(
            f"{path} holds {found} layers {prefix}..., and the settings of the model say "
            f"{stated!r}: a part of the file is missing, or the settings are of another model"
        )
    return found


def require_stated(settings: Mapping[str, Any], path: Path, **wanted: object) -> None:
    """Refuse settings that state something else than what is read; those that are absent pass.

    Raises:
        CheckpointError: one differs.
    """
    for name, value in wanted.items():
        if name in settings and settings[name] != value:
            raise CheckpointError(
                f"{path}: {name} is {settings[name]!r}, and the model beside it has {value!r}: "
                "they are of different models, or of a version that is not the published one"
            )


def fill(
    network: nn.Module,
    state: Mapping[str, Tensor],
    names: Names,
    *,
    path: Path,
    unused: Sequence[str] = (),
) -> None:
    """Give a network the tensors of a file.

    Args:
        network: whose parameters and buffers are all filled; float32.
        state: tensors by name.
        names: from a name in the network to the names in the file, whose tensors are stacked.
        path: of the file, for messages.
        unused: regular expressions of names in the file that this network has no place for.

    Raises:
        CheckpointError: a tensor is missing, left over, or of another shape or type.
    """
    own = network.state_dict()
    wanted = {name: tuple(names(name)) for name in own}
    missing = [part for parts in wanted.values() for part in parts if part not in state]
    if missing:
        raise CheckpointError(f"{path} lacks {_listed(missing, 'tensor')}")
    used = {part for parts in wanted.values() for part in parts}
    ignored = re.compile("|".join(unused) or r"(?!)")
    extra = [name for name in state if name not in used and not ignored.match(name)]
    if extra:
        raise CheckpointError(
            f"{path} holds {_listed(extra, 'tensor')} that this model has no place for: it is of "
            "another version"
        )
    filled = {}
    for name, parts in wanted.items():
        found = [state[part] for part in parts]
        size = own[name].shape[0] // len(parts) if own[name].dim() else 0
        shape = (size, *own[name].shape[1:]) if own[name].dim() else ()
        for part, tensor in zip(parts, found, strict=True):
            if tuple(tensor.shape) != tuple(shape):
                raise CheckpointError(
                    f"{path}: {part} has the shape {tuple(tensor.shape)}, not {tuple(shape)}: the "
                    "settings or the dictionary beside it are of another model"
                )
            if own[name].is_floating_point() != tensor.is_floating_point():
                kind = str(tensor.dtype).removeprefix("torch.")
                raise CheckpointError(
                    f"{path}: {part} holds {kind} values, where the model has "
                    f"{'floating-point' if own[name].is_floating_point() else 'whole'} numbers: "
                    "the file was converted; take the published one"
                )
            if not torch.isfinite(tensor.to(own[name].dtype)).all():
                raise CheckpointError(f"{path}: {part} holds NaN or infinite values")
        filled[name] = torch.cat(found) if len(found) > 1 else found[0]
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(filled[name])


def file_digests(paths: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of files by their names."""
    return {path.name: sha256_file(path) for path in paths}


def digest_of_files(sums: Mapping[str, str]) -> str:
    """One SHA-256 for all of them."""
    return hashlib.sha256(json.dumps(dict(sums), sort_keys=True).encode()).hexdigest()


def _listed(names: Sequence[str], what: str) -> str:
    shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    return f"{len(names)} {what}{'s' * (len(names) > 1)} ({shown})"
