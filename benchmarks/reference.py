"""The computation of the authors' release, written plainly: what the fast model is compared with.

No attention is paid to speed. Separate query, key and value projections; the random features
repeated for every cell and head; every step of FAVOR+ over whole arrays and out of place; PyG's
graph convolution, which normalises the graph again at each of its two calls a forward. Only the
structure comes from the release (documentation page "Paper and release"), no line of its code.

Shapes: b cells, n positions (genes and PAD), c width, h heads, d width of a head, m random
features, k positions that one of the two encoders takes.
"""

import torch
from performer_pytorch.performer_pytorch import gaussian_orthogonal_random_matrix
from torch import Tensor, nn
from torch_geometric.nn import SGConv

from sclong_core.config import PerformerConfig, ScLongConfig
from sclong_core.graph import GeneGraph
from sclong_core.model import ScLong, ScLongOutput

MASKED = -10.0
"""The value that stands for a masked one; all values up to ``MASK_THRESHOLD`` are masked."""
MASK_THRESHOLD = -1.0
EPSILON = 1e-4


class ReferenceAttention(nn.Module):
    """FAVOR+ self-attention."""

    features: Tensor

    def __init__(self, config: PerformerConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.query = nn.Linear(config.dim, config.inner, bias=False)
        self.key = nn.Linear(config.dim, config.inner, bias=False)
        self.value = nn.Linear(config.dim, config.inner, bias=False)
        self.output = nn.Linear(config.inner, config.dim)
        features = gaussian_orthogonal_random_matrix(config.features, config.dim_head, device="cpu")
        self.register_buffer("features", features)

    def forward(self, x_bnc: Tensor) -> Tensor:
        """Let all positions ``(cells, n, dim)`` attend to all; same shape."""
        projections = (self.query(x_bnc), self.key(x_bnc), self.value(x_bnc))
        q_bhnd, k_bhnd, v_bhnd = (
            projected.unflatten(-1, (self.heads, -1)).transpose(1, 2) for projected in projections
        )
        phi_q_bhnm = feature_map(q_bhnd, self.features, of_queries=True)
        phi_k_bhnm = feature_map(k_bhnd, self.features, of_queries=False)
        attended_bhnd = linear_attention(phi_q_bhnm, phi_k_bhnm, v_bhnd)
        output: Tensor = self.output(attended_bhnd.transpose(1, 2).flatten(-2))
        return output


def feature_map(u_bhnd: Tensor, features_md: Tensor, *, of_queries: bool) -> Tensor:
    """Positive random features of the softmax kernel, ``(cells, heads, positions, m)``.

    The stabiliser of a query is its own largest exponent, that of the keys the largest of all: of
    all cells too, as in the release, so that this agrees with ours for one cell at a time. The
    gradient passes through it.
    """
    cells, heads, _, dim_head = u_bhnd.shape
    scale = dim_head**-0.25
    features_bhmd = features_md.expand(cells, heads, -1, -1).clone().type_as(u_bhnd)
    exponent_bhnm = torch.einsum("...id,...jd->...ij", scale * u_bhnd, features_bhmd)
    norm_bhn1 = (u_bhnd**2).sum(dim=-1, keepdim=True) / 2.0 * scale**2
    if of_queries:
        stabiliser = torch.amax(exponent_bhnm, dim=-1, keepdim=True)
    else:
        stabiliser = torch.max(exponent_bhnm)
    phi_bhnm = torch.exp(exponent_bhnm - norm_bhn1 - stabiliser) + EPSILON
    normalised_bhnm: Tensor = features_md.shape[0] ** -0.5 * phi_bhnm
    return normalised_bhnm.type_as(u_bhnd)


def linear_attention(phi_q_bhnm: Tensor, phi_k_bhnm: Tensor, v_bhnd: Tensor) -> Tensor:
    """``phi(q) (phi(k)^T v) / (phi(q) . sum phi(k))``, ``(cells, heads, positions, dim_head)``."""
    total_bhm = phi_k_bhnm.sum(dim=-2)
    inverse_bhn = 1.0 / torch.einsum("...nm,...m->...n", phi_q_bhnm, total_bhm.type_as(phi_q_bhnm))
    context_bhmd = torch.einsum("...nm,...nd->...md", phi_k_bhnm, v_bhnd)
    return torch.einsum("...md,...nm,...n->...nd", context_bhmd, phi_q_bhnm, inverse_bhn)


class ReferenceFeedForward(nn.Module):
    """``Linear(dim, 4 dim)``, exact GELU, ``Linear(4 dim, dim)``."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(dim, 4 * dim)
        self.activation = nn.GELU()
        self.output = nn.Linear(4 * dim, dim)

    def forward(self, x_bnc: Tensor) -> Tensor:
        """Apply to every position."""
        output: Tensor = self.output(self.activation(self.hidden(x_bnc)))
        return output


class ReferenceLayer(nn.Module):
    """Attention, then feed-forward, each after a LayerNorm and added to its input."""

    def __init__(self, config: PerformerConfig) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.dim)
        self.attention = ReferenceAttention(config)
        self.feed_forward_norm = nn.LayerNorm(config.dim)
        self.feed_forward = ReferenceFeedForward(config.dim)

    def forward(self, x_bnc: Tensor) -> Tensor:
        """``(cells, positions, dim)`` to the same shape."""
        x_bnc = x_bnc + self.attention(self.attention_norm(x_bnc))
        updated: Tensor = x_bnc + self.feed_forward(self.feed_forward_norm(x_bnc))
        return updated


class ReferencePerformer(nn.Module):
    """A stack of :class:`ReferenceLayer`."""

    def __init__(self, config: PerformerConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(ReferenceLayer(config) for _ in range(config.depth))

    def forward(self, x_bnc: Tensor) -> Tensor:
        """Apply the layers in order."""
        for layer in self.layers:
            x_bnc = layer(x_bnc)
        return x_bnc


class ReferenceExpression(nn.Module):
    """Embedding of the expression values, before the LayerNorm."""

    def __init__(self, config: ScLongConfig) -> None:
        super().__init__()
        self.hidden = nn.Linear(1, config.expression_hidden)
        self.output = nn.Linear(config.expression_hidden, config.dim)
        self.mask = nn.Embedding(1, config.dim, max_norm=1.0)
        self.norm = nn.LayerNorm(config.dim)

    def forward(self, x_bn: Tensor) -> Tensor:
        """``(cells, positions)`` values to ``(cells, positions, dim)``."""
        embedded_bnc = self.output(torch.relu(self.hidden(x_bn.unsqueeze(-1))))
        masked_bn1 = (x_bn <= MASK_THRESHOLD).unsqueeze(-1)
        mask_1c = self.mask(torch.zeros(1, dtype=torch.long, device=x_bn.device))
        normed: Tensor = self.norm(torch.where(masked_bn1, mask_1c, embedded_bnc))
        return normed


class ReferenceGenes(nn.Module):
    """The two gene tables and the graph convolution."""

    edge_index: Tensor
    edge_weight: Tensor

    def __init__(self, config: ScLongConfig, graph: GeneGraph) -> None:
        super().__init__()
        self.vectors = nn.Embedding(config.genes + 1, config.dim)
        self.graph_vectors = nn.Embedding(config.genes + 1, config.dim)
        self.convolution = SGConv(config.dim, config.dim, K=1, add_self_loops=False)
        edge_index = torch.from_numpy(graph.edge_index.copy())
        edge_weight = torch.from_numpy(graph.edge_weight.copy())
        self.register_buffer("edge_index", edge_index, persistent=False)
        self.register_buffer("edge_weight", edge_weight, persistent=False)

    def forward(self) -> Tensor:
        """``(genes + 1, dim)``."""
        positions_n = torch.arange(self.vectors.num_embeddings, device=self.edge_index.device)
        table_nc = self.graph_vectors(positions_n)
        convolved_nc = self.convolution(table_nc, self.edge_index, self.edge_weight)
        embedding: Tensor = self.vectors(positions_n) + convolved_nc
        return embedding


class ReferenceScLong(nn.Module):
    """The whole model, with both encoders and the gene graph.

    Args:
        config: sizes. The ablations are not implemented here.
        graph: the gene graph.

    Raises:
        ValueError: ``config`` is one of the ablations.
    """

    def __init__(self, config: ScLongConfig, graph: GeneGraph) -> None:
        super().__init__()
        if config.low_expression != "encoder" or config.graph != "edges":
            raise ValueError("the reference implements the full model, not its ablations")
        self.config = config
        self.expression = ReferenceExpression(config)
        self.genes = ReferenceGenes(config, graph)
        self.large_input = nn.Linear(config.dim, config.large.dim)
        self.large_input_norm = nn.LayerNorm(config.large.dim)
        self.large = ReferencePerformer(config.large)
        self.large_output = nn.Linear(config.large.dim, config.dim)
        self.large_output_norm = nn.LayerNorm(config.dim)
        self.mini = ReferencePerformer(config.mini)
        self.full = ReferencePerformer(config.full)
        self.full_norm = nn.LayerNorm(config.dim)
        self.decoder = nn.Linear(config.dim, 1)

    def forward(
        self,
        expression: Tensor,
        masked: Tensor | None = None,
        *,
        high_indices: Tensor | None = None,
    ) -> ScLongOutput:
        """As :meth:`sclong_core.model.ScLong.forward`."""
        if masked is not None:
            expression = expression.masked_fill(masked, MASKED)
        x_bn = nn.functional.pad(expression, (0, 1))
        if high_indices is None:
            high_indices = torch.topk(x_bn, self.config.high_genes, dim=-1).indices
        high_bk, low_bk = high_indices, _others(high_indices, x_bn.shape[1])
        x_bnc = self.expression(x_bn) + self.genes()
        merged_bnc = torch.zeros_like(x_bnc)
        merged_bnc = _scatter(merged_bnc, high_bk, self._encode_high(_gather(x_bnc, high_bk)))
        merged_bnc = _scatter(merged_bnc, low_bk, self.mini(_gather(x_bnc, low_bk)))
        merged_bnc = merged_bnc + self.genes()
        representations_bnc = self.full_norm(self.full(merged_bnc))
        reconstruction_bn = self.decoder(representations_bnc).squeeze(-1)
        return ScLongOutput(
            representations_bnc[:, :-1].float(), reconstruction_bn[:, :-1].float(), high_bk
        )

    def _encode_high(self, x_bkc: Tensor) -> Tensor:
        x_bkc = self.large(self.large_input_norm(self.large_input(x_bkc)))
        normed: Tensor = self.large_output_norm(self.large_output(x_bkc))
        return normed

    @torch.no_grad()
    def load_from(self, model: ScLong, *, share: bool = False) -> None:
        """Take the weights and random features of ``model``, as float32.

        Args:
            model: one with the same configuration.
            share: use the memory of ``model`` where it is float32, instead of a copy. Only to
                compute: training one would change the other.
        """
        state: dict[str, Tensor] = {}
        for name, tensor in model.state_dict().items():
            names = reference_names(name)
            parts = tensor.chunk(len(names)) if names else ()
            for part_name, part in zip(names, parts, strict=True):
                own = "mask" in part_name or not share
                state[part_name] = part.detach().float().clone() if own else part.detach().float()
        self.load_state_dict(state, assign=True)


def reference_names(name: str) -> tuple[str, ...]:
    """Parameters here that hold the tensor ``name`` of our model's state, in order of its rows."""
    if name == "redraw_index":
        return ()
    if name in ("expression.mask", "genes.vectors", "genes.graph_vectors"):
        return (f"{name}.weight",)
    if name.endswith("attention.key_value.weight"):
        return tuple(name.replace("key_value", part) for part in ("key", "value"))
    return (name.replace("genes.graph_linear", "genes.convolution.lin"),)


def _others(indices_bk: Tensor, positions: int) -> Tensor:
    """The positions that are not in ``indices_bk``, ascending, for each cell."""
    kept_bn = torch.ones(indices_bk.shape[0], positions, dtype=torch.bool, device=indices_bk.device)
    kept_bn = kept_bn.scatter(1, indices_bk, False)
    return kept_bn.nonzero()[:, 1].view(indices_bk.shape[0], -1)


def _gather(x_bnc: Tensor, indices_bk: Tensor) -> Tensor:
    return torch.gather(x_bnc, 1, indices_bk.unsqueeze(-1).expand(-1, -1, x_bnc.shape[-1]))


def _scatter(x_bnc: Tensor, indices_bk: Tensor, values_bkc: Tensor) -> Tensor:
    indices_bkc = indices_bk.unsqueeze(-1).expand(-1, -1, x_bnc.shape[-1])
    return x_bnc.scatter(1, indices_bkc, values_bkc.to(x_bnc.dtype))
