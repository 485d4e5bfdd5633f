"""The release's hyper-parameters: what they mean here, and which of them can be followed."""

import dataclasses
import reprlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sclong_core.config import InputConfig, PerformerConfig, ScLongConfig
from sclong_core.errors import CheckpointError, ConfigError, InputError
from sclong_core.graph import GeneGraph
from sclong_core.manifest import name_some

_SIZES = frozenset(
    (
        "max_seq_len",
        "top_seq_len",
        "base_dim",
        "mini_enc_depth",
        "mini_enc_heads",
        "mini_enc_dim_head",
        "large_dim",
        "large_enc_depth",
        "large_enc_heads",
        "large_enc_dim_head",
        "dec_depth",
        "dec_heads",
        "dec_dim_head",
    )
)
_FIXED = {"g2v_position_emb": True, "go_use_gene2vec": True, "go_num_layers": 1}
"""Switches that have one position here: Gene2vec tables, and a graph convolution of one step."""
_GRAPH = frozenset({"G_go", "G_go_weight"})
_NO_EFFECT = frozenset({"device", "gene2vec_file"})
"""Where the model ran, and where its initial gene vectors lay."""
_MASK_THRESHOLD = "mask_token_thres"
_MASK_VALUE = -10.0
"""What the release writes in place of a masked expression value."""


def check_settings(settings: Mapping[str, Any], where: str) -> None:
    """Refuse hyper-parameters that are missing or that change the computation in unknown ways.

    Raises:
        CheckpointError: names them.
    """
    missing = (_SIZES | _GRAPH) - settings.keys()
    if missing:
        raise CheckpointError(
            f"{where} has no {name_some(missing)}: it is not the release's hyper-parameters"
        )
    unknown = settings.keys() - _SIZES - _GRAPH - _NO_EFFECT - _FIXED.keys() - {_MASK_THRESHOLD}
    if unknown:
        raise CheckpointError(
            f"{where} has hyper-parameters that this version cannot follow: "
            + name_some(f"{name}={reprlib.repr(settings[name])}" for name in unknown)
        )
    for name in sorted(_SIZES):
        if type(settings[name]) is not int or settings[name] < 1:
            raise CheckpointError(
                f"{where} has {name}={reprlib.repr(settings[name])}: a positive integer is needed"
            )
    for name, value in _FIXED.items():
        found = settings.get(name, value)
        if not isinstance(found, bool | int) or found != value:
            raise CheckpointError(
                f"{where} has {name}={reprlib.repr(found)}: only {value!r} can be converted"
            )
    threshold = settings.get(_MASK_THRESHOLD, -1)
    if not isinstance(threshold, int | float) or not _MASK_VALUE <= threshold < 0:
        raise CheckpointError(
            f"{where} has {_MASK_THRESHOLD}={reprlib.repr(threshold)}: only values from "
            f"{_MASK_VALUE:g} to below 0 tell masked values from real ones"
        )


def release_config(
    settings: Mapping[str, Any], state: Mapping[str, Tensor], where: str
) -> ScLongConfig:
    """The model's configuration, from the hyper-parameters and sizes that only the tensors show.

    Args:
        settings: hyper-parameters, checked.
        state: the release's tensors. Where the two that are looked at are missing, the release's
            usual sizes stand in, so that the check of the tensors can name what is missing.
        where: the file, for messages.

    Raises:
        CheckpointError: the sizes do not fit together.
    """
    try:
        return ScLongConfig(
            genes=settings["max_seq_len"] - 1,
            dim=settings["base_dim"],
            expression_hidden=_rows(state, "token_emb.fc1.weight") or 50,
            high_genes=settings["top_seq_len"],
            large=_performer(settings, state, "large_encoder", prefix="large_enc"),
            mini=_performer(settings, state, "mini_encoder", prefix="mini_enc"),
            full=_performer(settings, state, "decoder", prefix="dec"),
            input=InputConfig(maximum=None),
        )
    except ConfigError as error:
        raise CheckpointError(f"{where}: {error}") from error


def release_graph(settings: Mapping[str, Any], genes: int, where: str) -> GeneGraph:
    """The gene graph, its edges sorted by source and target.

    Raises:
        CheckpointError: edges or weights are not those of a graph over ``genes`` genes.
    """
    try:
        edges = torch.as_tensor(settings["G_go"])
        weights = torch.as_tensor(settings["G_go_weight"])
    except (TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{where}: G_go and G_go_weight must be arrays of numbers ({error})"
        ) from error
    if edges.is_floating_point() or edges.is_complex() or edges.dtype == torch.bool:
        raise CheckpointError(f"{where}: G_go must hold whole numbers, not {edges.dtype}")
    if edges.ndim != 2 or edges.shape[0] != 2 or weights.shape != edges.shape[1:]:
        raise CheckpointError(
            f"{where}: G_go must be (2, edges) and G_go_weight (edges,), "
            f"not {tuple(edges.shape)} and {tuple(weights.shape)}"
        )
    index = edges.to(torch.int64).numpy()
    order = np.lexsort((index[1], index[0]))
    try:
        return GeneGraph(genes, index[:, order], weights.to(torch.float32).numpy()[order])
    except InputError as error:
        raise CheckpointError(f"{where}: {error}") from error


def plain_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The hyper-parameters that are single values, for the record: all but the graph."""
    return {
        name: value
        for name, value in settings.items()
        if isinstance(value, str | bool | int | float)
    }


def _performer(
    settings: Mapping[str, Any], state: Mapping[str, Tensor], encoder: str, *, prefix: str
) -> PerformerConfig:
    shape = PerformerConfig(
        dim=settings["large_dim" if encoder == "large_encoder" else "base_dim"],
        depth=settings[f"{prefix}_depth"],
        heads=settings[f"{prefix}_heads"],
        dim_head=settings[f"{prefix}_dim_head"],
    )
    features = _rows(state, f"{encoder}.net.layers.0.0.fn.fast_attention.projection_matrix")
    if features in (None, shape.features):
        return shape
    return dataclasses.replace(shape, random_features=features)


def _rows(state: Mapping[str, Tensor], name: str) -> int | None:
    tensor = state.get(name)
    return tensor.shape[0] if tensor is not None and tensor.ndim else None
