"""Vectors of genes by published models: their states in the cells of a type."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from sclong_core.errors import ConfigError
from sclong_tasks.encoders.choose import EncoderOptions, make_published
from sclong_tasks.encoders.published import PublishedEncoder
from sclong_tasks.marker_clustering.data import MarkerData
from sclong_tasks.marker_clustering.models.base import GeneModel, Values


@dataclass
class PublishedOptions:
    """Which encoder."""

    encoder: EncoderOptions = field(default_factory=lambda: EncoderOptions(name="scgpt"))

    def __post_init__(self) -> None:
        if isinstance(self.encoder, dict):
            self.encoder = EncoderOptions(**self.encoder)
        if not self.encoder.published:
            raise ConfigError(f"model.encoder.name={self.encoder.name}: not a published model")


class PublishedGenes(GeneModel):
    """States of genes, averaged over the drawn cells that hold them; other genes get the mean."""

    Options: ClassVar[type] = PublishedOptions

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._encoder: PublishedEncoder | None = None

    def vectors(self, data: MarkerData, kind: int, genes: npt.NDArray[np.int64]) -> Values:
        """Through the model, once for each type."""
        assert self.context is not None
        if self._encoder is None:
            self._encoder = make_published(self.options.encoder, self.context)
        found = self._encoder.genes_in_cells(data.drawn(kind, self.seed))
        self.facts.update(found.provenance, coverage=found.coverage.describe())
        return np.asarray(found.values)[genes]
