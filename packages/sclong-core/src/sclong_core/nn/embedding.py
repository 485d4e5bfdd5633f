"""What the encoders start from: a vector for each expression value and one for each gene."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sclong_core.config import ScLongConfig
from sclong_core.graph import GeneGraph
from sclong_core.nn.filled import filled

MASK_MAXIMUM_NORM = 1.0
"""The release clips the L2 norm of its [MASK] vector to this at every use."""


def clip_norm(mask_1c: Tensor) -> Tensor:
    """The mask vector with its norm clipped."""
    return torch.renorm(mask_1c, p=2, dim=0, maxnorm=MASK_MAXIMUM_NORM)


class ExpressionEmbedding(nn.Module):
    """``Linear(1, hidden)``, ReLU, ``Linear(hidden, dim)``, LayerNorm of each expression value.

    A learnt vector stands in for masked values, before the LayerNorm.
    """

    def __init__(self, config: ScLongConfig) -> None:
        """Make the two projections, the mask vector and the norm."""
        super().__init__()
        self.hidden = nn.Linear(1, config.expression_hidden)
        self.output = nn.Linear(config.expression_hidden, config.dim)
        self.mask = nn.Parameter(filled((1, config.dim), nn.init.normal_))
        self.norm = nn.LayerNorm(config.dim)

    def forward(self, expression_bn: Tensor, masked_bn: Tensor | None) -> Tensor:
        """``(cells, positions)`` values to ``(cells, positions, dim)``."""
        x_bnc = self.output(torch.relu(self.hidden(expression_bn.unsqueeze(-1))))
        if masked_bn is not None:
            x_bnc = torch.where(masked_bn.unsqueeze(-1), self._mask_vector(), x_bnc)
        normed: Tensor = self.norm(x_bnc)
        return normed

    def _mask_vector(self) -> Tensor:
        """The mask vector with its norm clipped; in training the parameter itself is clipped.

        The gradient passes as if there were no clipping, which is what an embedding table with a
        maximum norm does (the release's).
        """
        with torch.no_grad():
            clipped = clip_norm(self.mask)
            if self.training:
                self.mask.copy_(clipped)
        return self.mask + (clipped - self.mask).detach()


class GeneEmbedding(nn.Module):
    """One vector a gene, the same in every cell: ``G1 + Linear(D^-1/2 A D^-1/2 G2)``.

    ``G1`` and ``G2`` are two trainable tables that both start from Gene2vec; ``A`` is the gene
    graph with its weights as they are (no self-loops are added: the release's graph holds them)
    and ``D`` the in-degree. This is a simple graph convolution (PyG's ``SGConv`` with ``K=1``),
    whose normalisation is done once, because the graph does not change.
    """

    edges: Tensor
    weights: Tensor

    def __init__(self, config: ScLongConfig, gene_vectors: npt.NDArray[np.float32] | None) -> None:
        """Make the tables from ``gene_vectors`` (genes, dim), or at random where it is None."""
        super().__init__()
        self.positions = config.genes + 1
        self.vectors = nn.Parameter(_gene_table(config, gene_vectors))
        self.uses_graph = config.graph != "none"
        if self.uses_graph:
            self.graph_vectors = nn.Parameter(self.vectors.detach().clone())
            self.graph_linear = nn.Linear(config.dim, config.dim)
            edges = torch.empty(2, 0, dtype=torch.int64)
            self.register_buffer("edges", edges, persistent=False)
            self.register_buffer("weights", torch.empty(0), persistent=False)

    def set_graph(self, graph: GeneGraph, *, random_weights: int | None = None) -> None:
        """Use ``graph``; ``random_weights`` is a seed to draw its weights from U(0, 1) instead."""
        from torch_geometric.nn.conv.gcn_conv import gcn_norm  # noqa: PLC0415  # loads slowly

        # Rows of the matrix are targets; sorted by them, the tensor counts as coalesced.
        order = np.lexsort((graph.edge_index[0], graph.edge_index[1]))
        edges = torch.from_numpy(graph.edge_index[:, order])
        weights = torch.from_numpy(graph.edge_weight[order])
        if random_weights is not None:
            generator = torch.Generator("cpu").manual_seed(random_weights)
            weights = torch.rand(weights.shape, generator=generator, device="cpu")
        with torch.device("cpu"):
            _, weights = gcn_norm(edges, weights, self.positions, add_self_loops=False)
        # A model on the meta device gets its graph for real: only weights are loaded into it.
        device = torch.device("cpu") if self.vectors.is_meta else self.vectors.device
        self.edges = edges.flip(0).to(device)
        self.weights = weights.to(device)

    def forward(self) -> Tensor:
        """All gene vectors, ``(genes + 1, dim)``; the last row is the PAD position's."""
        if not self.uses_graph:
            return self.vectors
        summed = sum_neighbours(self.edges, self.weights, self.graph_vectors)
        convolved: Tensor = self.graph_linear(summed)
        return self.vectors + convolved


# Operators of their own, because torch.compile cannot look into products of sparse matrices.
@torch.library.custom_op("sclong::sum_neighbours", mutates_args=())
def sum_neighbours(edges: Tensor, weights: Tensor, vectors: Tensor) -> Tensor:
    """Weighted sum of the neighbours' vectors of each gene, ``(genes, width)``.

    Args:
        edges: ``(2, edges)`` int64, targets above sources, sorted by target.
        weights: ``(edges,)`` float32, without a gradient.
        vectors: ``(genes, width)``.
    """
    return _adjacency(edges, weights, len(vectors)) @ vectors


@torch.library.custom_op("sclong::sum_neighbours_backward", mutates_args=())
def _sum_neighbours_backward(edges: Tensor, weights: Tensor, gradient: Tensor) -> Tensor:
    return _adjacency(edges, weights, len(gradient)).t() @ gradient


@sum_neighbours.register_fake
@_sum_neighbours_backward.register_fake
def _(edges: Tensor, weights: Tensor, vectors: Tensor) -> Tensor:  # noqa: ARG001  # names of the operator
    return torch.empty_like(vectors, memory_format=torch.contiguous_format)


def _keep_graph(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:  # noqa: ARG001  # PyTorch's signature
    ctx.save_for_backward(*inputs[:2])


def _neighbours_gradient(ctx: Any, gradient: Tensor) -> tuple[None, None, Tensor]:
    return None, None, _sum_neighbours_backward(*ctx.saved_tensors, gradient)


sum_neighbours.register_autograd(_neighbours_gradient, setup_context=_keep_graph)


def _adjacency(edges: Tensor, weights: Tensor, genes: int) -> Tensor:
    """A view of edges as a matrix: microseconds, whatever their number."""
    return torch.sparse_coo_tensor(
        edges, weights, size=(genes, genes), is_coalesced=True, check_invariants=False
    )


def _gene_table(config: ScLongConfig, gene_vectors: npt.NDArray[np.float32] | None) -> Tensor:
    def fill(table: Tensor) -> None:
        if gene_vectors is None:
            nn.init.normal_(table[:-1], std=config.dim**-0.5)
        else:
            table[:-1] = torch.from_numpy(np.array(gene_vectors, dtype=np.float32))
        table[-1] = 0

    return filled((config.genes + 1, config.dim), fill)
