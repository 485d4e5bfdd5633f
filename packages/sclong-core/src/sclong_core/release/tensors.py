"""Names and shapes of the release's tensors, and their way into ours.

The release's state dictionary maps one to one onto the model's, except that its query, key and
value projections are one product here. Its call counters are dropped: they say when the random
features were to be redrawn, which here follows from the training step.
"""

import re
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from sclong_core.errors import CheckpointError
from sclong_core.manifest import name_some

_ENCODERS = {"large": "large_encoder", "mini": "mini_encoder", "full": "decoder"}
_MODULES = {
    "expression.hidden": "token_emb.fc1",
    "expression.output": "token_emb.fc2",
    "expression.norm": "token_norm",
    "genes.graph_linear": "go_conv.sim_layers.0.lin",
    "large_input": "base_to_large",
    "large_input_norm": "large_in_norm",
    "large_output": "large_to_base",
    "large_output_norm": "large_to_base_out_norm",
    "full_norm": "decode_norm",
    "decoder": "exp_to_out",
}
_TABLES = {
    "expression.mask": "mask_emb.weight",
    "genes.vectors": "pos_emb.emb.weight",
    "genes.graph_vectors": "go_conv.emb.weight",
}
_LAYER = {
    "attention_norm": "0.norm",
    "attention.output": "0.fn.to_out",
    "feed_forward_norm": "1.norm",
    "feed_forward.hidden": "1.fn.fn.w1",
    "feed_forward.output": "1.fn.fn.w2",
}
_FEATURES = "attention.features"
_PROJECTIONS = {"attention.query.weight": ("q",), "attention.key_value.weight": ("k", "v")}
_OWN = frozenset({"redraw_index"})
"""State of ours that the release has no counterpart of."""

COUNTERS = frozenset(f"{encoder}.calls_since_last_redraw" for encoder in _ENCODERS.values())
"""State of the release that is dropped."""


def release_names(name: str) -> tuple[str, ...]:
    """The release's tensors that make up our tensor ``name``: one, or key and value."""
    if name in _TABLES:
        return (_TABLES[name],)
    layer = re.fullmatch(r"(large|mini|full)\.layers\.(\d+)\.(.+)", name)
    if layer is None:
        module, _, kind = name.rpartition(".")
        return (f"{_MODULES[module]}.{kind}",)
    encoder, number, rest = layer.groups()
    prefix = f"{_ENCODERS[encoder]}.net.layers.{number}"
    if rest in _PROJECTIONS:
        return tuple(f"{prefix}.0.fn.to_{part}.weight" for part in _PROJECTIONS[rest])
    if rest == _FEATURES:
        return (f"{prefix}.0.fn.fast_attention.projection_matrix",)
    module, _, kind = rest.rpartition(".")
    return (f"{prefix}.{_LAYER[module]}.{kind}",)


def release_shapes(expected: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor that a release of this model must hold.

    Args:
        expected: state dictionary of the model, on any device.
    """
    shapes = {}
    for name in expected.keys() - _OWN:
        parts = release_names(name)
        rows, *columns = expected[name].shape
        shapes.update(dict.fromkeys(parts, (rows // len(parts), *columns)))
    return shapes


def without_wrappers(state: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """The state dictionary without the names that DDP and ``torch.compile`` put in front.

    Raises:
        CheckpointError: two tensors have one name without them.
    """
    plain: dict[str, Tensor] = {}
    for name, tensor in state.items():
        short = ".".join(part for part in name.split(".") if part not in ("module", "_orig_mod"))
        if short in plain:
            raise CheckpointError(
                f"{where} holds {short} twice, with and without a wrapper's prefix"
            )
        plain[short] = tensor
    return plain


def check_release_tensors(
    state: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], where: str
) -> None:
    """Compare the release's tensors with those that its hyper-parameters call for.

    Raises:
        CheckpointError: names all that are missing, unknown, or of another shape.
    """
    problems = []
    if missing := shapes.keys() - state.keys():
        problems.append(f"missing: {name_some(missing)}")
    if extra := state.keys() - shapes.keys() - COUNTERS:
        problems.append(f"unknown: {name_some(extra)}")
    counters = dict.fromkeys(COUNTERS, ())
    different = [
        f"{name} {tuple(state[name].shape)} instead of {shape}"
        for name, shape in {**shapes, **counters}.items()
        if name in state and tuple(state[name].shape) != shape
    ]
    if different:
        problems.append(f"wrong shape: {name_some(different)}")
    if problems:
        raise CheckpointError(f"{where} does not fit its hyper-parameters ({'; '.join(problems)})")


def converted(
    state: Mapping[str, Tensor], expected: Mapping[str, Tensor], where: str
) -> Iterator[tuple[str, Tensor]]:
    """Our tensors by name, from the release's.

    A tensor that needs no conversion is passed on as it is: one mapped from a file stays so.

    Args:
        state: the release's tensors, checked.
        expected: state dictionary of the model, whose types are taken.
        where: the file, for messages.

    Raises:
        CheckpointError: a tensor is not of floating point, or holds NaN or infinity.
    """
    for name, like in expected.items():
        if name in _OWN:
            yield name, torch.zeros(like.shape, dtype=like.dtype)
            continue
        parts = [_finite(state[part], part, where) for part in release_names(name)]
        yield name, (parts[0] if len(parts) == 1 else torch.cat(parts)).to(like.dtype)


def _finite(tensor: Tensor, name: str, where: str) -> Tensor:
    if not tensor.is_floating_point():
        raise CheckpointError(
            f"{where}: {name} is {tensor.dtype}, weights are floating-point numbers"
        )
    single = tensor.detach().float()
    if not bool(torch.isfinite(single.sum())) and not bool(torch.isfinite(single).all()):
        raise CheckpointError(
            f"{where}: {name} holds values that are not finite: the file is damaged"
        )
    return single
