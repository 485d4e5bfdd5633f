"""Attention between chosen genes, read from one layer while the model runs."""

from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sclong_core.errors import ConfigError
from sclong_core.nn.attention import FavorAttention
from sclong_core.nn.network import Network, ScLongOutput
from sclong_core.nn.performer import PerformerLayer

Encoder = Literal["full", "large", "mini"]


def chosen_layer(model: Network, encoder: Encoder, layer: int) -> PerformerLayer:
    """A layer of one encoder; negative numbers count from its last.

    Raises:
        ConfigError: there is no such encoder or layer.
    """
    encoders = model.encoders()
    if encoder not in encoders:
        raise ConfigError(f"encoder must be one of {', '.join(encoders)}, not {encoder!r}")
    layers = encoders[encoder].layers
    if not -len(layers) <= layer < len(layers):
        raise ConfigError(
            f"the {encoder} encoder has {len(layers)} layers: layer {layer} does not exist"
        )
    found = layers[layer]
    assert isinstance(found, PerformerLayer)
    return found


class AttentionReader:
    """Keeps what goes into a layer, and computes attention weights from it.

    FAVOR+ never forms the weights; the ones between a few genes follow from their random features
    and one sum over all keys, so that nothing of size genes x genes is made but what is asked for.

    Args:
        model: to read from.
        encoder: "full" sees all genes; "large" and "mini" the cell's highest or its other ones.
        layer: of the encoder.

    Raises:
        ConfigError: there is no such layer, or the encoders read a context alone.
    """

    def __init__(self, model: Network, encoder: Encoder, layer: int) -> None:
        self.model = model
        self.encoder = encoder
        self.layer = chosen_layer(model, encoder, layer)
        attention = self.layer.attention
        if model.config.context is not None or not isinstance(attention, FavorAttention):
            raise ConfigError(
                "attention is only available for models whose encoders read all genes "
                "with FAVOR+: this one reads different genes in each cell, or uses "
                "softmax attention"
            )
        self.attention = attention
        self._input: Tensor | None = None
        self._handle = self.layer.register_forward_pre_hook(self._keep)

    def _keep(self, _module: torch.nn.Module, inputs: tuple[Tensor, ...]) -> None:
        (self._input,) = inputs

    def close(self) -> None:
        """Stop reading."""
        self._handle.remove()

    def read(
        self, output: ScLongOutput, positions: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        """Weights of the batch that the model has just run.

        Args:
            output: of that batch.
            positions: of the genes in the vocabulary.

        Returns:
            ``(cells, genes, genes)``: row attends to column, mean over heads; zero for genes that
            the encoder does not see in the cell.
        """
        assert self._input is not None, "the model has not run"
        genes = torch.from_numpy(positions).to(self._input.device)
        weights = [
            self._cell_weights(x_nc.unsqueeze(0), self._places(high_h, genes))
            for x_nc, high_h in zip(self._input, output.high_indices, strict=True)
        ]
        stacked: npt.NDArray[np.float32] = torch.stack(weights).cpu().numpy()
        return stacked

    def _places(self, high_h: Tensor, genes_g: Tensor) -> Tensor:
        """Where the genes are among the encoder's positions, -1 if they are not."""
        if self.encoder == "full" and self.model.config.low_expression != "none":
            return genes_g
        positions = self.model.config.genes + 1
        seen_n = torch.zeros(positions, dtype=torch.bool, device=high_h.device)
        seen_n[high_h] = True
        order = torch.nonzero(~seen_n).squeeze(1) if self.encoder == "mini" else high_h
        places_n = torch.full((positions,), -1, device=high_h.device)
        places_n[order] = torch.arange(len(order), device=high_h.device)
        return places_n[genes_g]

    def _cell_weights(self, x_1nc: Tensor, places_g: Tensor) -> Tensor:
        layer = self.layer
        with self.model.precision():
            keys = self.attention.summarise(layer.attention_norm(b) for b in layer.blocks(x_1nc))
            present_g = places_g >= 0
            chosen_1gc = layer.attention_norm(x_1nc[:, places_g[present_g]])
            seen = self.attention.weights(chosen_1gc, keys)[0].float()
        weights_gg = seen.new_zeros((len(places_g), len(places_g)))
        rows = torch.nonzero(present_g).squeeze(1)
        weights_gg[rows.unsqueeze(1), rows.unsqueeze(0)] = seen
        return weights_gg
