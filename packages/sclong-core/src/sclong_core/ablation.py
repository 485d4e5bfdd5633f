"""Ablations of a trained model: the paper's ("Ablation studies of scLong"), and shuffled edges."""

import dataclasses
from typing import TypeVar

import torch

from sclong_core.config import GraphUse, LowExpression
from sclong_core.errors import ConfigError
from sclong_core.nn.network import Network

AnyNetwork = TypeVar("AnyNetwork", bound=Network)


@torch.no_grad()
def ablate(
    model: AnyNetwork,
    *,
    low_expression: LowExpression | None = None,
    graph: GraphUse | None = None,
) -> AnyNetwork:
    """A copy of ``model`` with parts removed or randomised; the rest keeps its weights.

    Nothing is trained again: the paper says that learnt weights are *replaced* for the random
    low-expression encoder and leaves it open for the others. To train an ablated model from
    scratch, set the same fields in :class:`~sclong_core.config.ScLongConfig`.

    Args:
        model: a trained model; left as it is.
        low_expression: "none" leaves low-expression genes out; "random" draws every parameter of
            the mini encoder from N(0, 1). None keeps what the model has.
        graph: "none" leaves the gene graph out; "random" draws its weights from U(0, 1);
            "shuffled", which is not the paper's, leads its edges to other genes, as many from and
            to each gene as before.

    Raises:
        ConfigError: a value is unknown, or asks for a part that the model does not have.
    """
    for name, asked in (("low_expression", low_expression), ("graph", graph)):
        has = getattr(model.config, name)
        if asked not in (None, "none", has) and has not in ("encoder", "edges"):
            raise ConfigError(f"the model has {name}={has!r}: it cannot be turned into {asked!r}")
    config = dataclasses.replace(
        model.config,
        low_expression=low_expression or model.config.low_expression,
        graph=graph or model.config.graph,
    )
    ablated = type(model)(config, model.vocabulary, model.graph).set_dtype(model.dtype)
    kept = set(ablated.state_dict())
    if low_expression == "random":
        kept = {name for name in kept if not name.startswith("mini.")}
    state = {name: tensor for name, tensor in model.state_dict().items() if name in kept}
    ablated.load_state_dict(state, strict=False)
    return ablated.to(model.device).train(model.training)
