"""The self-contained checkpoint folder: written whole, verified in full before it is used.

``config.json`` (configuration, digests, origin; see :mod:`sclong_core.manifest`),
``model.safetensors``, ``vocabulary.tsv`` and, where the model has a gene graph, ``graph.npz``.
None of them can hold code.
"""

import os
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from sclong_core.ablation import ablate
from sclong_core.card import README_FILE, is_own_readme, write_readme
from sclong_core.checkpoint_names import (
    CHECKPOINT_FILES,
    GRAPH_FILE,
    VOCABULARY_FILE,
    WEIGHTS_FILE,
    resolve_checkpoint,
)
from sclong_core.config import GraphUse, LowExpression, ScLongConfig
from sclong_core.devices import find_device
from sclong_core.errors import CheckpointError, ConfigError, InputError
from sclong_core.files import atomic_folder
from sclong_core.graph import GeneGraph
from sclong_core.manifest import (
    CheckpointInfo,
    name_some,
    read_checkpoint_info,
    verify_checkpoint,
    write_manifest,
)
from sclong_core.nn.network import Network
from sclong_core.vocabulary import GeneVocabulary
from sclong_core.weights import read_weights, write_weights
from sclong_core.weights_header import check_sizes, read_header

__all__ = [
    "CheckpointInfo",
    "check_replaceable",
    "load_network",
    "read_checkpoint_info",
    "resolve_checkpoint",
    "save_checkpoint",
    "verify_checkpoint",
    "write_checkpoint",
]

AnyNetwork = TypeVar("AnyNetwork", bound=Network)
_HALF = torch.bfloat16
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def save_checkpoint(
    model: Network,
    folder: str | PathLike[str],
    *,
    origin: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write ``model`` as a checkpoint folder, whole or not at all.

    Args:
        model: with its vocabulary.
        folder: to create. Its parents are created too.
        origin: what is to be known about where the weights come from; must be JSON.
        overwrite: replace a checkpoint that is there. A folder that holds anything else is never
            replaced.

    Raises:
        CheckpointError: the model has no vocabulary, or ``origin`` is not JSON.
        InputError: the folder exists and ``overwrite`` is false, or it is not a checkpoint.
        OSError: the disk is full or not writable; what was there before is untouched.
    """
    if model.vocabulary is None:
        raise CheckpointError("a model without a vocabulary cannot be saved: create it with one")
    write_checkpoint(
        folder,
        config=model.config,
        vocabulary=model.vocabulary,
        graph=model.graph,
        tensors=model.state_dict(),
        origin=origin,
        overwrite=overwrite,
    )


def write_checkpoint(
    folder: str | PathLike[str],
    *,
    config: ScLongConfig,
    vocabulary: GeneVocabulary,
    graph: GeneGraph | None,
    tensors: Mapping[str, Tensor],
    origin: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write the parts of a checkpoint; see :func:`save_checkpoint` for the rules.

    Args:
        folder: to create.
        config: of the model that ``tensors`` is the state of.
        vocabulary: its genes.
        graph: its gene graph, if it has one.
        tensors: its state by name. Tensors that are mapped from a file are written from there.
        origin: where they come from.
        overwrite: replace a checkpoint that is there.
    """
    target = Path(folder).absolute()
    check_replaceable(target, overwrite=overwrite)
    ready = {
        name: _stored(tensor.detach().cpu(), config).contiguous()
        for name, tensor in tensors.items()
    }
    with atomic_folder(target, overwrite=overwrite) as temporary:
        write_weights(ready, temporary / WEIGHTS_FILE)
        vocabulary.write(temporary / VOCABULARY_FILE)
        if graph is not None:
            graph.write(temporary / GRAPH_FILE)
        write_manifest(
            temporary,
            config=config,
            vocabulary_digest=vocabulary.digest,
            graph_digest=None if graph is None else graph.digest,
            origin=origin or {},
        )
        write_readme(read_checkpoint_info(temporary))
        check_replaceable(target, overwrite=overwrite)  # it may have come, or changed, meanwhile


def check_replaceable(folder: Path, *, overwrite: bool) -> None:
    """Refuse to replace anything but a checkpoint, whatever the caller asked for.

    Raises:
        InputError: ``folder`` exists and ``overwrite`` is false, or it holds anything else.
    """
    if not os.path.lexists(folder):
        return
    if not overwrite:
        raise InputError(
            f"{folder} already exists: choose another name, or use overwrite (--overwrite)"
        )
    if folder.is_symlink() or not folder.is_dir():
        raise InputError(f"{folder} is not a folder: it is not overwritten")
    others = {item.name for item in folder.iterdir()} - set(CHECKPOINT_FILES)
    if is_own_readme(folder / README_FILE):
        others.discard(README_FILE)
    if others:
        raise InputError(
            f"{folder} holds {name_some(others)}, which is not part of a checkpoint: it "
            "is not overwritten"
        )


def load_network(  # each of them has a name at the public doors
    kind_of: Callable[[ScLongConfig], type[AnyNetwork]],
    folder: str | PathLike[str],
    *,
    device: str | torch.device = "auto",
    dtype: str = "auto",
    low_expression: LowExpression | None = None,
    graph: GraphUse | None = None,
) -> AnyNetwork:
    """Verify a checkpoint folder and load its network; see :func:`sclong_core.load_checkpoint`.

    Args:
        kind_of: the class to make of a configuration.
        folder: the checkpoint.
        device: where to.
        dtype: of the large products.
        low_expression: ablate the low-expression encoder.
        graph: ablate the gene graph.

    Raises:
        CheckpointError: anything is missing, damaged, or does not belong together.
        ConfigError: no such ``dtype`` or device.
    """
    _check_dtype(dtype)
    info = verify_checkpoint(folder)
    path = info.folder / WEIGHTS_FILE
    check_sizes(info.config, read_header(path), path)
    vocabulary, gene_graph = _read_genes(info)
    tensors = _read_tensors(info)
    with torch.device("meta"):
        model = kind_of(info.config)(info.config, vocabulary, gene_graph)
    _check_tensors(model, tensors, path)
    model.load_state_dict(tensors, assign=True)
    if dtype != "auto":
        model.set_dtype(_DTYPES[dtype])
    if low_expression is not None or graph is not None:
        if info.config.student is not None:
            raise ConfigError(f"{info.folder} is a student, of which nothing can be ablated")
        model = ablate(model, low_expression=low_expression, graph=graph)
    return model.to(find_device(device)).eval()


def _stored(tensor: Tensor, config: ScLongConfig) -> Tensor:
    """A tensor as the file holds it."""
    rounded = config.storage == "bfloat16" and tensor.is_floating_point()
    return tensor.to(torch.bfloat16) if rounded else tensor


def _read_tensors(info: CheckpointInfo) -> dict[str, Tensor]:
    """The tensors of the file as the model holds them.

    Raises:
        CheckpointError: they are not stored as the configuration says.
    """
    path = info.folder / WEIGHTS_FILE
    tensors = read_weights(path)
    if info.config.storage == "exact":
        return tensors
    if exact := {n for n, t in tensors.items() if t.is_floating_point() and t.dtype != _HALF}:
        raise CheckpointError(
            f"{path} does not fit its configuration: {name_some(exact)} should be bfloat16"
        )
    return {n: t.float() if t.is_floating_point() else t for n, t in tensors.items()}


def _read_genes(info: CheckpointInfo) -> tuple[GeneVocabulary, GeneGraph | None]:
    """Vocabulary and graph, whose digests are computed again from what was read."""
    try:
        vocabulary = GeneVocabulary.read(info.folder / VOCABULARY_FILE)
        graph = GeneGraph.read(info.folder / GRAPH_FILE) if info.graph_digest is not None else None
    except InputError as error:
        raise CheckpointError(f"the checkpoint is damaged: {error}") from error
    _check_digest("vocabulary", vocabulary.digest, info.vocabulary_digest)
    if graph is not None:
        _check_digest("gene graph", graph.digest, info.graph_digest)
    for what, genes in (
        ("vocabulary", len(vocabulary)),
        ("gene graph", graph.genes if graph else None),
    ):
        if genes is not None and genes != info.config.genes:
            raise CheckpointError(
                f"{info.folder}: {what} has {genes} genes, the model {info.config.genes}"
            )
    if graph is None and info.config.graph != "none":
        raise CheckpointError(f"{info.folder} has no {GRAPH_FILE}, which its model needs")
    return vocabulary, graph


def _check_digest(what: str, found: str, recorded: str | None) -> None:
    if found != recorded:
        raise CheckpointError(
            f"the {what} (digest {found}) is not the one that the model was trained with "
            f"(digest {recorded})"
        )


def _check_tensors(model: Network, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Compare names, shapes and types with those of the (empty) model."""
    product_dtype = (
        tensors[name].dtype if (name := "large_input.weight") in tensors else torch.float32
    )
    if product_dtype in _DTYPES.values():
        model.set_dtype(product_dtype)
    expected = model.state_dict()
    problems = []
    if missing := expected.keys() - tensors.keys():
        problems.append(f"no {name_some(missing)}")
    if extra := tensors.keys() - expected.keys():
        problems.append(f"unknown {name_some(extra)}")
    different = {
        f"{name} is {_describe(tensors[name])} instead of {_describe(expected[name])}"
        for name in expected.keys() & tensors.keys()
        if (tensors[name].shape, tensors[name].dtype)
        != (expected[name].shape, expected[name].dtype)
    }
    if different:
        problems.append(name_some(different))
    if problems:
        raise CheckpointError(f"{path} does not fit its configuration: {'; '.join(problems)}")


def _describe(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def _check_dtype(dtype: str) -> None:
    if dtype == "float16":
        raise ConfigError(
            "float16 is not supported: the exponentials of FAVOR+ overflow in it; use bfloat16"
        )
    if dtype != "auto" and dtype not in _DTYPES:
        raise ConfigError(f"dtype must be auto, float32 or bfloat16, not {dtype!r}")
