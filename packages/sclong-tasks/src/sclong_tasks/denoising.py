"""A plain denoising network: no transformer, one vector a cell, from which all its genes are told.

The baseline that a model of cells has to beat at equal data. A cell is damaged (counts thinned,
genes hidden as if they had not been measured), and value and detection of all its genes are
predicted from a vector of 128 numbers.

Shapes: b cells, g genes of the vocabulary, v variable genes, w width of the vector.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import LightningModule, Trainer
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset

from sclong_core.errors import ConfigError
from sclong_core.quiet import quiet_lightning
from sclong_tasks.components import CLIP, dispersed_genes
from sclong_tasks.corpus_cells import CorpusCells
from sclong_tasks.training import seeded

_TARGET_SUM = 10_000.0
_AT_ONCE = 512


@dataclass(frozen=True)
class DenoisingOptions:
    """Size, damage and length of training.

    Raises:
        ConfigError: a number that cannot be.
    """

    genes: int = 2000
    """Variable genes that are read."""
    hidden: int = 512
    width: int = 128
    """Numbers of the vector."""
    steps: int = 1500
    batch_size: int = 128
    rate: float = 1e-3
    least_kept: float = 0.1
    """A cell keeps this share of its counts at least; drawn evenly up to all of them."""
    most_hidden: float = 0.7
    """This share of the genes is hidden at most; drawn evenly from none."""

    def __post_init__(self) -> None:
        """Refuse impossible numbers."""
        for name in ("genes", "hidden", "width", "steps", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be a positive integer, not {getattr(self, name)}")
        if not 0 < self.least_kept <= 1 or not 0 <= self.most_hidden < 1 or self.rate <= 0:
            raise ConfigError("least_kept must be in (0, 1], most_hidden in [0, 1), rate above 0")


class DenoisingNetwork(LightningModule):
    """The network and its training.

    Args:
        vocabulary_genes: all genes that are predicted.
        options: see :class:`DenoisingOptions`.
    """

    genes: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(self, vocabulary_genes: int, options: DenoisingOptions) -> None:
        super().__init__()
        self.options = options
        self.register_buffer("genes", torch.zeros(options.genes, dtype=torch.int64))
        self.register_buffer("mean", torch.zeros(options.genes))
        self.register_buffer("scale", torch.ones(options.genes))
        self.entry = nn.Linear(3 * options.genes, options.hidden)
        self.norm = nn.LayerNorm(options.hidden)
        self.body = nn.Sequential(
            nn.Linear(options.hidden, options.hidden),
            nn.GELU(),
            nn.Linear(options.hidden, options.hidden),
        )
        self.vector = nn.Sequential(
            nn.LayerNorm(options.hidden), nn.Linear(options.hidden, options.width)
        )
        self.value = nn.Linear(options.width, vocabulary_genes)
        self.detection = nn.Linear(options.width, vocabulary_genes)

    def forward(self, values_bv: Tensor, measured_bv: Tensor) -> Tensor:
        """The vectors of cells ``(cells, width)``.

        Args:
            values_bv: log1p of the variable genes.
            measured_bv: those that are measured; others are read as unmeasured, not as zero.
        """
        seen_bv = measured_bv.float()
        scaled_bv = ((values_bv - self.mean) / self.scale).clamp(-CLIP, CLIP) * seen_bv
        on_bv = (values_bv > 0).float() * seen_bv
        x = self.norm(self.entry(torch.cat([scaled_bv, on_bv, seen_bv], dim=1)))
        vectors: Tensor = self.vector(x + self.body(x))
        return vectors

    def training_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> Tensor:
        """Value and detection of all measured genes of the whole cell, from the damaged one."""
        del batch_idx
        damaged_bv, visible_bv, whole_bg, measured_bg = batch
        vector_bw = self(damaged_bv, visible_bv)
        on_bg = (whole_bg > 0).float()
        detection = functional.binary_cross_entropy_with_logits(
            self.detection(vector_bw), on_bg, measured_bg.float(), reduction="sum"
        )
        value = ((self.value(vector_bw) - whole_bg).square() * on_bg).sum()
        loss: Tensor = detection / measured_bg.sum() + value / on_bg.sum().clamp(min=1)
        return loss

    def configure_optimizers(self) -> Any:
        """Adam, its rate falling along a cosine."""
        optimiser = torch.optim.Adam(self.parameters(), lr=self.options.rate)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, self.options.rate, total_steps=self.options.steps, pct_start=0.05
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    @torch.inference_mode()
    def embed(
        self, expression_ng: npt.NDArray[np.float32], measured_g: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.float32]:
        """Vectors of undamaged cells, ``(cells, width)``.

        Args:
            expression_ng: log1p over the vocabulary.
            measured_g: genes that the cells' data set holds.
        """
        self.eval()
        genes = self.genes.numpy()
        measured = torch.from_numpy(measured_g[genes])
        parts = []
        for start in range(0, len(expression_ng), _AT_ONCE):
            values = torch.from_numpy(expression_ng[start : start + _AT_ONCE, genes])
            parts.append(self(values, measured.expand_as(values)).numpy())
        return np.concatenate(parts)

    def save(self, folder: Path) -> None:
        """Write weights and options."""
        from safetensors.torch import save_file  # noqa: PLC0415  # not needed to train

        from sclong_core.files import atomic_file, write_json  # noqa: PLC0415  # heavy

        folder.mkdir(parents=True, exist_ok=True)
        with atomic_file(folder / "denoising.safetensors") as temporary:
            save_file(self.state_dict(), temporary)
        facts = {"genes": self.value.out_features, "options": asdict(self.options)}
        write_json(folder / "denoising.json", facts)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote."""
        from safetensors.torch import load_file  # noqa: PLC0415  # not needed to train

        from sclong_core.files import read_json  # noqa: PLC0415

        facts = read_json(folder / "denoising.json")
        network = cls(facts["genes"], DenoisingOptions(**facts["options"]))
        network.load_state_dict(load_file(folder / "denoising.safetensors"))
        return network.eval()


def train_denoising(
    cells: CorpusCells,
    options: DenoisingOptions = DenoisingOptions(),
    *,
    seed: int = 0,  # frozen
) -> DenoisingNetwork:
    """Train on a corpus; the same cells, options and seed give the same network on one machine.

    Raises:
        ConfigError: the corpus has too few genes.
    """
    weights = cells.weights()
    chosen = dispersed_genes(cells, weights, options.genes)
    share = np.bincount(cells.source_n, weights) @ cells.measured_sg[:, chosen]
    columns = cells.expression[:, chosen].tocsr()
    mean = (weights @ columns) / share
    scale = np.sqrt(np.maximum((weights @ columns.power(2)) / share - mean**2, 1e-6))
    with seeded(seed), quiet_lightning():
        network = DenoisingNetwork(len(cells.vocabulary), options)
        network.genes.copy_(torch.from_numpy(chosen))
        network.mean.copy_(torch.from_numpy(mean))
        network.scale.copy_(torch.from_numpy(scale))
        trainer = Trainer(
            max_steps=options.steps,
            accelerator="cpu",
            devices=1,
            plugins=[LightningEnvironment()],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        batches = _DamagedCells(cells, options, chosen, seed)
        trainer.fit(network, DataLoader(batches, batch_size=None))
    return network.eval()


class _DamagedCells(IterableDataset[tuple[Tensor, ...]]):
    """Damaged cells, what is visible, whole cells: batches without end, evenly over sources."""

    def __init__(  # settings of a user, each by its name
        self,
        cells: CorpusCells,
        options: DenoisingOptions,
        genes: npt.NDArray[np.int64],
        seed: int,
    ) -> None:
        self.cells, self.options, self.genes = cells, options, genes
        self.generator = np.random.default_rng(seed)
        self.rows = [
            np.flatnonzero(cells.source_n == source) for source in range(len(cells.measured_sg))
        ]

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        draw, options = self.generator, self.options
        cells = options.batch_size
        while True:
            sources = draw.integers(len(self.rows), size=cells)
            block = self.cells.expression[[draw.choice(self.rows[source]) for source in sources]]
            measured = self.cells.measured_sg[sources]
            damaged = thinned(block, draw.uniform(options.least_kept, 1, cells), draw)
            hidden = draw.uniform(0, options.most_hidden, (cells, 1))
            visible = draw.random((cells, len(self.genes)), dtype=np.float32) >= hidden
            visible &= measured[:, self.genes]
            parts = (damaged[:, self.genes].toarray(), visible, block.toarray(), measured)
            yield tuple(torch.from_numpy(part) for part in parts)


def thinned(
    logged_bg: sparse.csr_array, kept_b: npt.NDArray[np.float64], draw: np.random.Generator
) -> sparse.csr_array:
    """log1p values of cells whose counts are thinned binomially.

    The counts of a cell are the multiples of its smallest value before log1p, which is one count
    in data of molecules.

    Args:
        logged_bg: log1p of counts per 10,000.
        kept_b: share of the counts that each cell keeps.
        draw: of the counts.
    """
    found = logged_bg.copy()
    sizes = np.diff(found.indptr)
    values = np.expm1(found.data.astype(np.float64))
    smallest = np.full(len(sizes), 1.0)
    filled = np.flatnonzero(sizes)
    smallest[filled] = np.minimum.reduceat(values, found.indptr[filled]) if len(filled) else 1.0
    one, kept = np.repeat(smallest, sizes), np.repeat(kept_b, sizes)
    fewer = draw.binomial(np.rint(values / one).astype(np.int64), kept)
    found.data = np.log1p(fewer * one / kept).astype(np.float32)
    return found
