"""The network: atoms of a drug, vectors of genes, attention between the two, and a head.

Source: DeepCE (Pham et al. 2021), whose gene vectors the scLong paper replaces. Where paper and
released code differ, :class:`NetworkShape` says how.

What is the same for all rows of one drug is computed once for it: neither its atoms nor its genes
know of cell line and dose, which enter in the head alone. The first layer of the head is linear in
what it joins, so each part passes it by itself.

Shapes: b rows, d distinct drugs of the batch, a atoms of these drugs, m atoms of the largest, g
genes, h width.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.nn import GCNConv
from torch_geometric.utils import to_dense_batch

from sclong_core.errors import ConfigError
from sclong_tasks.batches import Batch
from sclong_tasks.chemistry.atoms import BONDS
from sclong_tasks.chemistry.graphs import GraphTable, distinct
from sclong_tasks.drug_network import DrugModule
from sclong_tasks.encoders.slots import TableSlot
from sclong_tasks.training import Schedule

DRUG_ENCODERS = ("fingerprint", "gcn")
_DEGREES = 6


@dataclass
class NetworkShape:
    """Widths and rules; the defaults are the released code's, which is DeepCE's."""

    drug_encoder: str = "fingerprint"
    """"fingerprint" (neural graph fingerprint with a weight for each degree) or "gcn" (graph
    convolutions, as the paper says)."""
    graph: list[int] = field(default_factory=lambda: [16, 16])
    """Widths of the graph layers; [128, 128, 128] in the paper."""
    drug: int = 128
    """Width of an atom and of a drug."""
    pool: str = "sum"
    """From atoms to a drug: "sum", or "mean" as the paper says."""
    gene: int = 128
    """Width of a gene; 512 in the paper."""
    layers: int = 2
    """Of attention."""
    heads: int = 4
    """Of attention."""
    feed_forward: int = 512
    """Width inside each attention layer."""
    names: int = 4
    """Width of cell line and of dose."""
    head: int = 128
    """Width of the hidden layer of the head."""
    dropout: float = 0.1
    """In attention layers."""

    def __post_init__(self) -> None:
        if self.drug_encoder not in DRUG_ENCODERS:
            raise ConfigError(f"shape.drug_encoder must be one of {', '.join(DRUG_ENCODERS)}")
        if self.pool not in ("sum", "mean"):
            raise ConfigError(f"shape.pool must be sum or mean, not {self.pool!r}")
        if not self.graph or min(self.graph) < 1 or self.layers < 1:
            raise ConfigError("shape.graph and shape.layers need at least one layer")
        if self.heads < 1 or self.gene % self.heads:
            raise ConfigError("shape.gene must be a multiple of shape.heads")
        if not 0 <= self.dropout < 1:
            raise ConfigError("shape.dropout must be a share below 1")


class ChemicalModule(DrugModule):
    """The response of every gene to a drug at a dose in a cell line.

    Args:
        shape: widths and rules.
        schedule: of the learning rate.
        graphs: of the drugs; may be replaced by other ones.
        genes: their vectors, all of them in order.
        conditions: width of what is told of cell line, and of dose.
    """

    def __init__(  # settings of a user, each by its name
        self,
        shape: NetworkShape,
        schedule: Schedule,
        graphs: GraphTable,
        genes: TableSlot,
        conditions: tuple[int, int],
    ) -> None:
        super().__init__()
        self.shape, self.schedule = shape, schedule
        self.graphs, self.cells = graphs, genes
        encoder = FingerprintEncoder if shape.drug_encoder == "fingerprint" else GraphEncoder
        self.atoms = encoder(graphs.x.shape[1], shape.graph, shape.drug)
        self.gene = nn.Linear(genes.dim, shape.gene)
        self.attention = nn.ModuleList(GeneDrugLayer(shape) for _ in range(shape.layers))
        self.attended = nn.Linear(shape.gene, shape.gene)
        self.condition = nn.ModuleList(nn.Linear(width, shape.names) for width in conditions)
        parts = [shape.gene, shape.drug, shape.names, shape.names]
        self.joined = nn.Linear(sum(parts), shape.head)
        self.parts = parts
        self.out = nn.Linear(shape.head, 1)
        self._initialise()

    def _initialise(self) -> None:
        """Xavier's uniform weights and zero biases, outside attention, as DeepCE has them."""
        for name, parameter in self.named_parameters():
            if name.startswith(("attention.", "attended.")):
                continue
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
            else:
                nn.init.zeros_(parameter)

    def forward(self, batch: Batch) -> Tensor:
        """``(b, g)`` responses. Each distinct drug of the batch is encoded once."""
        drugs, places = distinct(batch["drug"])
        x, edges, owner = self.graphs(drugs)
        atom_ah = self.atoms(x, edges)
        atom_dmh, there_dm = to_dense_batch(atom_ah, owner, batch_size=len(drugs))
        drug_dh = atom_dmh.sum(1)
        if self.shape.pool == "mean":
            drug_dh = drug_dh / there_dm.sum(1, keepdim=True)
        gene_dgh = self.gene(self.cells.values).unsqueeze(0)  # type: ignore[attr-defined]  # a table
        for layer in self.attention:
            gene_dgh = layer(gene_dgh, atom_dmh, there_dm)
        gene_dgh = self.attended(gene_dgh)
        weights = self.joined.weight.split(self.parts, dim=1)
        by_gene_dgh = functional.linear(gene_dgh.relu(), weights[0], self.joined.bias)
        told = [
            layer(batch[name]).relu()
            for layer, name in zip(self.condition, ("line", "dose"), strict=True)
        ]
        by_row = functional.linear(drug_dh.relu(), weights[1])[places]
        by_row = by_row + sum(
            functional.linear(one, weight) for one, weight in zip(told, weights[2:], strict=True)
        )
        hidden_bgh = (by_gene_dgh[places] + by_row.unsqueeze(1)).relu()
        found: Tensor = self.out(hidden_bgh).squeeze(2)
        return found

    def training_step(self, batch: Batch, _number: int) -> Tensor:
        """Mean squared error over all profiles and genes."""
        loss = functional.mse_loss(self(batch), batch["target"])
        self.log("training_loss", loss, on_epoch=True, on_step=False, batch_size=len(batch["drug"]))
        return loss

    def validation_step(self, batch: Batch, _number: int) -> None:
        """Loss, and the mean of Pearson's r within profiles."""
        predicted, size = self(batch), len(batch["drug"])
        loss = functional.mse_loss(predicted, batch["target"])
        pearson = _pearson(predicted, batch["target"]).mean()
        self.log("validation_loss", loss, batch_size=size, sync_dist=True)
        self.log("validation_pearson", pearson, batch_size=size, sync_dist=True)

    def configure_optimizers(self) -> Any:
        """Adam with the schedule, a step an epoch."""
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        optimizer = torch.optim.Adam(trained, lr=self.schedule.learning_rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self.schedule.factor)
        return {"optimizer": optimizer, "lr_scheduler": schedule}


class FingerprintEncoder(nn.Module):
    """Neural graph fingerprint of each atom: a softmax after every layer, summed over layers."""

    def __init__(self, features: int, graph: list[int], width: int) -> None:
        super().__init__()
        self.features = features - len(BONDS)
        widths = [self.features, *graph]
        self.outputs = nn.ModuleList(nn.Linear(one, width) for one in widths)
        self.layers = nn.ModuleList(DegreeConv(one, other) for one, other in pairwise(widths))

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        """Atoms ``(a, features)`` to ``(a, width)``."""
        atoms, bonds = x.split([self.features, len(BONDS)], dim=1)
        found: Tensor = self.outputs[0](atoms).softmax(1)
        for layer, output in zip(self.layers, self.outputs[1:], strict=True):
            atoms = layer(atoms, bonds, edges)
            found = found + output(atoms).softmax(1)
        return found


class DegreeConv(nn.Module):
    """A graph layer with weights of its own for each number of neighbours, at most five."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.own = nn.Linear(features, width)
        self.around = nn.ModuleList(
            nn.Linear(features + len(BONDS), width, bias=False) for _ in range(_DEGREES)
        )
        self.norm = nn.BatchNorm1d(width, affine=False)

    def forward(self, atoms: Tensor, bonds: Tensor, edges: Tensor) -> Tensor:
        """Atoms ``(a, features)`` to ``(a, width)``; ``bonds`` are summed around each atom."""
        source, target = edges
        neighbours = torch.zeros_like(atoms).index_add(0, target, atoms[source])
        joined = torch.cat([neighbours, bonds], dim=1)
        degree = torch.bincount(target, minlength=len(atoms)).clamp(max=_DEGREES - 1)
        found = self.own(atoms)
        for number, layer in enumerate(self.around):
            here = (degree == number).nonzero().squeeze(1)
            found = found.index_add(0, here, layer(joined[here]))
        if self.training and len(found) < 2:
            alone: Tensor = found.relu()
            return alone
        normed: Tensor = self.norm(found).relu()
        return normed


class GraphEncoder(nn.Module):
    """Graph convolutions, as the paper says."""

    def __init__(self, features: int, graph: list[int], width: int) -> None:
        super().__init__()
        widths = [features, *graph]
        self.layers = nn.ModuleList(GCNConv(one, other) for one, other in pairwise(widths))
        self.output = nn.Linear(widths[-1], width)

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        """Atoms ``(a, features)`` to ``(a, width)``."""
        for layer in self.layers:
            x = layer(x, edges).relu()
        found: Tensor = self.output(x)
        return found


class GeneDrugLayer(nn.Module):
    """Genes look at the atoms of a drug and at each other; one LayerNorm for both halves."""

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(shape.gene)
        self.to_atoms = Attention(shape.gene, shape.drug, shape.heads, shape.dropout)
        self.to_genes = Attention(shape.gene, shape.gene, shape.heads, shape.dropout)
        self.joined = nn.Linear(2 * shape.gene, shape.gene)
        self.feed_forward = nn.Sequential(
            nn.Linear(shape.gene, shape.feed_forward),
            nn.ReLU(),
            nn.Dropout(shape.dropout),
            nn.Linear(shape.feed_forward, shape.gene),
        )
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, gene_dgh: Tensor, atom_dmh: Tensor, there_dm: Tensor) -> Tensor:
        """``(d, g, h)``; genes of the first layer are the same for all drugs, ``(1, g, h)``."""
        drugs = len(atom_dmh)
        among = self.to_genes(gene_dgh, gene_dgh, None).expand(drugs, -1, -1)
        gene_dgh = gene_dgh.expand(drugs, -1, -1)
        seen = self.to_atoms(gene_dgh, atom_dmh, there_dm)
        both = self.joined(torch.cat([seen, among], dim=2)).relu()
        gene_dgh = self.norm(gene_dgh + self.dropout(both))
        found: Tensor = self.norm(gene_dgh + self.dropout(self.feed_forward(gene_dgh)))
        return found


class Attention(nn.Module):
    """Scaled dot-product attention with several heads."""

    def __init__(self, width: int, source: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.key, self.value = nn.Linear(source, width), nn.Linear(source, width)

    def forward(self, query: Tensor, source: Tensor, there: Tensor | None) -> Tensor:
        """``(d, g, h)`` queries over ``(d, m, h)`` sources, of which some are there."""
        found = functional.scaled_dot_product_attention(
            self._heads(self.query(query)),
            self._heads(self.key(source)),
            self._heads(self.value(source)),
            attn_mask=None if there is None else there[:, None, None, :],
            dropout_p=self.dropout if self.training else 0.0,
        )
        joined: Tensor = self.out(found.transpose(1, 2).flatten(2))
        return joined

    def _heads(self, values: Tensor) -> Tensor:
        """``(d, m, width)`` to ``(d, heads, m, width of a head)``."""
        found: Tensor = values.unflatten(2, (self.heads, -1)).transpose(1, 2)
        return found


def _pearson(one: Tensor, other: Tensor) -> Tensor:
    """Of each row; 0 where one side is constant."""
    one = one - one.mean(1, keepdim=True)
    other = other - other.mean(1, keepdim=True)
    return functional.cosine_similarity(one, other, dim=1)
