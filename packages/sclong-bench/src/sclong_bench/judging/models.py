"""A checkpoint as what is judged: trained, with untrained weights, and its gene vectors alone."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from sclong_bench.judging.references import Floats, in_vocabulary
from sclong_bench.judging.sets import LabelledCells
from sclong_core.model import ScLong, load_checkpoint
from sclong_tasks.encoders.sclong import random_sclong
from sclong_tasks.encoders.tables import vectors_of_model

UNTRAINED, GENE_VECTORS = "untrained", "gene vectors"
OWN_COMPONENTS = "components"
"""Reference components that a readout holds: what its network has to add something to."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A checkpoint folder.

    Args:
        folder: of the checkpoint.
        pool: how genes become a cell; the checkpoint's own rule where it is empty.
        batch_size: cells at a time.
    """

    folder: Path
    pool: str = ""
    batch_size: int = 32

    @cached_property
    def model(self) -> ScLong:
        """Loaded on the CPU."""
        return load_checkpoint(self.folder, device="cpu")

    def embed(self, cells: LabelledCells) -> Floats:
        """As anybody would embed them."""
        return self._embedded(self.model, cells)

    @property
    def has_components(self) -> bool:
        """Whether the model holds reference components."""
        readout = self.model.config.readout
        return readout is not None and readout.components > 0

    def embed_components(self, cells: LabelledCells) -> Floats:
        """The reference components that the model holds, without its network."""
        return replace(self, pool="components").embed(cells)

    def embed_untrained(self, cells: LabelledCells, seed: int = 0) -> Floats:
        """The same by the same model with weights that were never trained.

        Statistics of training cells, which a readout keeps as buffers, stay.
        """
        trained = self.model
        assert trained.vocabulary is not None
        model = random_sclong(trained.config, trained.vocabulary, seed=seed, like=trained)
        with torch.no_grad():
            stored = dict(trained.named_buffers())
            for name, buffer in model.named_buffers():
                if name.startswith("readout.") and name in stored:
                    buffer.copy_(stored[name])
        return self._embedded(model, cells)

    def embed_gene_vectors(self, cells: LabelledCells) -> Floats:
        """The mean of gene vectors weighted by expression, without an encoder."""
        vectors = vectors_of_model(self.model, "both").vectors.astype(np.float64)
        assert self.model.vocabulary is not None
        values, _ = in_vocabulary(cells, self.model.vocabulary)
        total = np.maximum(values.sum(1, keepdims=True, dtype=np.float64), 1e-12)
        return np.asarray((values / total) @ vectors, dtype=np.float32)

    def _embedded(self, model: ScLong, cells: LabelledCells) -> Floats:
        asked = {"pool": self.pool} if self.pool else {}
        return model.embed(
            cells.adata,
            batch_size=self.batch_size,
            normalisation=cells.described.normalisation,
            **asked,  # type: ignore[arg-type]  # checked by embed
        )
