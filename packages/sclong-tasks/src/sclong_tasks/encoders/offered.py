"""Published models as ``sclong embed`` and ``sclong info`` take them: the package's provider."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from sclong_core.errors import CheckpointError, ConfigError
from sclong_core.expression import CellSource, ReadingOptions
from sclong_tasks.encoders.counts import CountedCells, open_counts
from sclong_tasks.encoders.fitting_cells import require_fitting
from sclong_tasks.encoders.foreign import require_species
from sclong_tasks.encoders.layers import Layer
from sclong_tasks.encoders.published import BLOCK_CELLS, PublishedEncoder, Values
from sclong_tasks.encoders.published_model import Arrangement, PublishedModel
from sclong_tasks.encoders.registry import get_encoder, model_class, published_models, recognise


@dataclass
class OpenedCells:
    """Cells of a file with their genes matched."""

    encoder: PublishedEncoder
    cells: CountedCells
    arrangement: Arrangement

    @property
    def source(self) -> CellSource:
        """Where they are."""
        return self.cells.source

    def embed(self, start: int, stop: int) -> Values:
        """Vectors of cells ``start`` to ``stop``."""
        parts = [
            self.encoder.block(self.cells, self.arrangement, first, min(first + BLOCK_CELLS, stop))
            for first in range(start, stop, BLOCK_CELLS)
        ]
        return np.concatenate(parts)

    def describe(self) -> dict[str, Any]:
        """What was read."""
        genes, unknown = self.source.n_genes, len(self.arrangement.unknown)
        return {
            "source": self.source.name,
            "matrix": self.source.matrix,
            "cells": len(self.cells),
            "genes": f"{genes - unknown:,} of {genes:,}",
            "genes_known": genes - unknown,
            "genes_unknown": unknown,
            "normalisation": self.cells.kind,
            "normalisation_forced": self.cells.forced,
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.encoder.say_left_out()
        self.cells.close()


@dataclass
class OfferedModel:
    """A published model with its weights, for files of cells."""

    encoder: PublishedEncoder

    @property
    def name(self) -> str:
        """As in settings."""
        return self.encoder.name

    @property
    def digest(self) -> str:
        """SHA-256 over its files."""
        return self.encoder.digest

    @property
    def width(self) -> int:
        """Numbers of a cell's vector."""
        return self.encoder.width

    def record(self) -> dict[str, Any]:
        """Files, options and sizes."""
        model = self.encoder.model
        found = {**model.describe(), "dtype": self.encoder.dtype, "device": self.encoder.device}
        return {**found, "files": dict(model.files), "licence": model.card.notice}

    def open(self, source: Path, reading: ReadingOptions) -> OpenedCells:
        """The cells of a file."""
        options, normalisation = self.encoder.model.options, reading.get("normalisation", "auto")
        if getattr(options, "normalised", False) and normalisation != "raw":
            raise ConfigError("normalised=true takes values unchanged: add --normalisation raw")
        cells = open_counts(
            source,
            matrix=reading.get("matrix"),
            normalisation=normalisation,
            feature_types=reading.get("feature_types"),
            ratios=self.encoder.model.by_ratios,
        )
        try:
            arrangement = self.encoder.arrange(cells.var, reading.get("gene_column"))
            require_species(
                cells.source,
                self.encoder.model,
                allowed=reading.get("allow_other_species", False),
            )
            require_fitting(cells, arrangement, self.encoder.model, reading)
        except BaseException:
            cells.close()
            raise
        return OpenedCells(self.encoder, cells, arrangement)


class PublishedModels:
    """All published models."""

    def names(self) -> Sequence[str]:
        """Of the models."""
        return tuple(published_models())

    def make(  # what a user chooses, each by its name
        self,
        name: str,
        folder: Path,
        options: Mapping[str, str],
        *,
        batch_size: int,
        device: str,
        dtype: str,
    ) -> OfferedModel:
        """A model from its files."""
        running = {"batch_size": batch_size, "device": device, "dtype": dtype}
        return OfferedModel(get_encoder(name, folder, **running, **options))

    def recognise(self, folder: Path) -> str:
        """Name of the model whose files a folder holds, empty if it is none.

        Raises:
            CheckpointError: folders below hold several.
        """
        return recognise(folder)

    def describe(self, folder: Path) -> list[tuple[str, str]]:
        """Facts about the model whose files a folder holds.

        Raises:
            CheckpointError: the files are damaged or do not belong to each other.
        """
        name = recognise(folder)
        if not name:
            return []
        card = model_class(name).card
        facts = [
            ("checkpoint", str(folder)),
            ("model", f"{card.title} (--encoder {name})"),
            ("genes by", card.genes_by),
            ("vector of a cell", card.vector),
        ]
        try:
            encoder = get_encoder(name, folder)
        except CheckpointError as error:
            raise CheckpointError(f"{card.title}: {error}") from error
        model = encoder.model
        parameters = sum(parameter.numel() for parameter in model.parameters())
        facts += [
            *_layers(model),
            ("width of the vector", f"{model.width:,}"),
            ("genes", f"{model.known_genes:,}"),
            ("tokens of a cell", f"{model.limit:,} at most" if model.limit else "all it expresses"),
            ("parameters", f"{parameters:,}"),
            ("licence", "; ".join(text for text in (card.licence, card.notice) if text)),
            ("digest", encoder.digest[:12]),
        ]
        return [(name, text) for name, text in facts if text not in ("", "0")]


def _layers(model: PublishedModel) -> list[tuple[str, str]]:
    """Layers, their width and heads, of a model that is made of those of this package."""
    layers = [layer for layer in getattr(model, "layers", []) if isinstance(layer, Layer)]
    if not layers:
        return []
    width, heads = layers[0].norm1.normalized_shape[0], layers[0].attention.heads
    return [("layers", f"{len(layers):,}, of width {width:,} with {heads:,} heads")]


provider = PublishedModels()
