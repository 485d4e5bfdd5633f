"""The plain denoising network of a corpus, zero-shot: no label, no batch, nothing of the target."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from sclong_core.errors import ConfigError
from sclong_core.vocabulary import GeneVocabulary
from sclong_tasks.batch_integration.data import IntegrationData
from sclong_tasks.batch_integration.models.simple import Embedding, Values, numbered
from sclong_tasks.corpus_cells import read_corpus_cells
from sclong_tasks.denoising import DenoisingNetwork, DenoisingOptions, train_denoising
from sclong_tasks.encoders.genes import find_genes

_WEIGHTS = "weights."


@dataclass(frozen=True)
class CorpusDenoisingOptions(DenoisingOptions):
    """``model.corpus`` names the folder of the corpus that it is trained on."""

    corpus: str = ""

    @property
    def network(self) -> DenoisingOptions:
        """Those of the network alone."""
        names = [one.name for one in fields(DenoisingOptions)]
        return DenoisingOptions(**{name: getattr(self, name) for name in names})


class Denoising(Embedding):
    """A network that was trained to tell whole cells from damaged ones."""

    Options: ClassVar[type] = CorpusDenoisingOptions

    def learn(self, data: IntegrationData) -> None:
        """Train on the corpus; these cells are not looked at."""
        del data
        options: CorpusDenoisingOptions = self.options
        if not options.corpus:
            raise ConfigError("the model denoising needs model.corpus=FOLDER of a corpus")
        cells = read_corpus_cells(Path(options.corpus))
        network = train_denoising(cells, options.network, seed=self.seed)
        for name, tensor in network.state_dict().items():
            self.arrays[_WEIGHTS + name] = tensor.numpy()
        self.arrays["ids"] = np.array(cells.vocabulary.ids)
        self.arrays["symbols"] = np.array([symbol or "" for symbol in cells.vocabulary.symbols])
        self.facts = {"corpus": cells.digest, "cells": int(cells.expression.shape[0])}

    def embed(self, data: IntegrationData) -> tuple[Values, list[str]]:
        """The vectors of these cells; genes that they lack are read as unmeasured."""
        ids, symbols = self.arrays["ids"].tolist(), self.arrays["symbols"].tolist()
        vocabulary = GeneVocabulary(tuple(ids), tuple(symbols))
        options: CorpusDenoisingOptions = self.options
        network = DenoisingNetwork(len(ids), options.network)
        network.load_state_dict(
            {
                name.removeprefix(_WEIGHTS): torch.from_numpy(values)
                for name, values in self.arrays.items()
                if name.startswith(_WEIGHTS)
            }
        )
        positions, coverage = find_genes(data.expression.genes, vocabulary)
        known = positions >= 0
        values = np.zeros((len(data.expression.cells), len(ids)), dtype=np.float32)
        values[:, positions[known]] = data.expression.log1p[:, known]
        measured = np.zeros(len(ids), dtype=bool)
        measured[positions[known]] = True
        self.facts["coverage"] = coverage.describe()
        return numbered(network.embed(values, measured))
