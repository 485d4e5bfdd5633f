"""The things that are measured: each is made by name, in a process of its own.

Weights come from a checkpoint folder: our model maps them as it does for its users, and the
reference takes the same ones over from there, without a second copy in memory.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.data import random_expression, random_mask
from benchmarks.reference import ReferenceScLong
from benchmarks.subject import Subject
from sclong_core.config import PerformerConfig, ScLongConfig
from sclong_core.model import ScLong, load_checkpoint
from sclong_core.nn.attention import FavorAttention
from sclong_core.nn.performer import Performer, PerformerLayer


@dataclass
class Prepared:
    """A subject, ready to run."""

    run: Callable[[], Tensor]
    """One measured call; its result is what candidates are compared by."""
    parameters: int


def prepare(subject: Subject) -> Prepared:
    """Load or make what ``subject`` names."""
    if subject.task == "attention":
        return _prepare_attention(subject)
    model = _load(subject)
    if subject.task == "loading":
        return Prepared(model.decoder.bias.detach, sum(p.numel() for p in model.parameters()))
    expression = random_expression(subject.cells, model.config.genes).to(subject.device)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    if subject.task == "training":
        return Prepared(_training(subject, model, expression), parameters)

    # The release leaves the choice among equal values open; both must take the same genes.
    ranked = torch.sort(expression, dim=-1, descending=True, stable=True).indices
    high_indices = ranked[:, : model.config.high_genes]

    @torch.no_grad()
    def forward() -> Tensor:
        with autocast(subject):
            output: Tensor = model(expression, high_indices=high_indices).gene_representations
        return output

    return Prepared(forward, parameters)


def autocast(subject: Subject) -> AbstractContextManager[Any]:
    """bfloat16 products where the subject asks for them."""
    if subject.precision == "float32":
        return nullcontext()
    return torch.autocast(torch.device(subject.device).type, dtype=torch.bfloat16)


def _load(subject: Subject) -> ScLong | ReferenceScLong:
    """The model, in evaluation mode. In training, weights are float32 in both precisions."""
    if subject.checkpoint is None:
        raise ValueError(f"{subject.name} needs a checkpoint")
    ours = load_checkpoint(subject.checkpoint, device="cpu")
    if subject.candidate == "ours":
        return ours.to(subject.device)
    if ours.graph is None:
        raise ValueError("the reference needs a gene graph")
    with torch.device("meta"):
        reference = ReferenceScLong(ours.config, ours.graph)
    reference.load_from(ours, share=True)
    return reference.to(subject.device).eval()


def _training(
    subject: Subject, model: ScLong | ReferenceScLong, expression: Tensor
) -> Callable[[], Tensor]:
    """Forward, backward and a step of Adam on the masked expression; gives the loss."""
    model.train()
    for module in model.modules():
        if isinstance(module, Performer):
            module.activation_checkpointing = subject.checkpointing
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-5)
    masked = random_mask(expression.cpu()).to(expression.device)

    def step() -> Tensor:
        optimiser.zero_grad(set_to_none=True)
        with autocast(subject):
            reconstruction = model(expression, masked).reconstruction
        loss = nn.functional.mse_loss(reconstruction[masked].float(), expression[masked])
        loss.backward()
        optimiser.step()
        return loss.detach()

    return step


def encoder_shape(size: str) -> tuple[PerformerConfig, int]:
    """The encoder "large" or "full" of the paper's model and the positions that it sees."""
    config = ScLongConfig()
    if size == "large":
        return config.large, config.high_genes
    return config.full, config.genes + 1


def _prepare_attention(subject: Subject) -> Prepared:
    """One attention module, without the LayerNorm before it, on its own random input."""
    config, positions = encoder_shape(subject.size)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        layer = PerformerLayer(replace(config, depth=1), key=(0, 0, 0)).eval()
        assert isinstance(layer.attention, FavorAttention)
        layer.attention.redraw(0)
        x_bnc = torch.randn(subject.cells, positions, config.dim)
    x_bnc = x_bnc.to(subject.device)
    module = layer.attention if subject.candidate == "ours" else _performer_attention(layer, config)
    module = module.to(subject.device)
    parameters = sum(parameter.numel() for parameter in module.parameters())
    if subject.candidate == "ours" and subject.precision == "bfloat16":
        for linear in (layer.attention.query, layer.attention.key_value, layer.attention.output):
            linear.to(torch.bfloat16)

    def ours() -> Tensor:
        blocks = layer.blocks(x_bnc)
        keys = layer.attention.summarise(blocks)
        return torch.cat([layer.attention(block, keys) for block in blocks], dim=1)

    @torch.no_grad()
    def run() -> Tensor:
        with autocast(subject):
            output: Tensor = ours() if subject.candidate == "ours" else module(x_bnc)
        return output

    return Prepared(run, parameters)


def _performer_attention(layer: PerformerLayer, config: PerformerConfig) -> nn.Module:
    """performer-pytorch's attention with the weights and random features of ``layer``."""
    from performer_pytorch import SelfAttention  # noqa: PLC0415  # only where it is measured

    theirs = SelfAttention(config.dim, heads=config.heads, dim_head=config.dim_head).eval()
    query = layer.attention.query.weight
    key, value = layer.attention.key_value.weight.chunk(2)
    state = {
        "to_q.weight": query,
        "to_k.weight": key,
        "to_v.weight": value,
        "to_out.weight": layer.attention.output.weight,
        "to_out.bias": layer.attention.output.bias,
        "fast_attention.projection_matrix": layer.attention.features,
    }
    theirs.load_state_dict(state)
    module: nn.Module = theirs
    return module
