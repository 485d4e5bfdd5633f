"""The network with gene vectors of its own kinds: scLong as published, DeepCE's, random ones."""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from sclong_core.errors import InputError
from sclong_tasks.chemical_perturbation.data import ChemicalData, Values
from sclong_tasks.chemical_perturbation.models.network import Network, NetworkOptions
from sclong_tasks.chemistry.molecules import shown
from sclong_tasks.encoders.protocol import Coverage
from sclong_tasks.task import ProtocolName, RunContext


@dataclass
class ScLongOptions(NetworkOptions):
    """Gene vectors of scLong."""

    @classmethod
    def for_protocol(cls, protocol: ProtocolName) -> Self:
        """Published: the output of the graph convolution alone, as the paper says."""
        options = super().for_protocol(protocol)
        if protocol == "published":
            options.encoder.name = "graph"
        return options


class ScLong(Network):
    """What scLong itself adds to every gene: its gene vector and its graph convolution."""

    Options: ClassVar[type] = ScLongOptions


class DeepCe(Network):
    """DeepCE's own gene vectors."""

    @classmethod
    def uses_checkpoint(cls, options: Any) -> bool:
        """Never: its gene vectors are in the data."""
        del options
        return False

    def gene_vectors(
        self, data: ChemicalData, context: RunContext
    ) -> tuple[Values, tuple[str, ...], dict[str, Any]]:
        """Those of its file, by symbol; genes that it lacks get the mean.

        Raises:
            InputError: the file was not given, or knows none of the genes.
        """
        del context
        if data.gene_vectors is None:
            raise InputError(
                "the data have no gene vectors of DeepCE: prepare them with gene_vector.csv beside"
            )
        names, vectors = data.gene_vectors
        place = {name: number for number, name in enumerate(names)}
        places = [place.get(gene, -1) for gene in data.genes]
        unknown = tuple(gene for gene in data.genes if gene not in place)
        if len(unknown) == len(places):
            raise InputError(f"gene_vector.csv knows none of the genes: {shown(data.genes)}")
        known = np.array([number for number in places if number >= 0])
        extended = np.concatenate([vectors, vectors[known].mean(0, keepdims=True)])
        coverage = Coverage("genes", len(known), unknown).describe()
        return extended[places], unknown, {"encoder": "deepce", "coverage": coverage}


@dataclass
class RandomVectorOptions(NetworkOptions):
    """Vectors that say nothing."""

    width: int = 200
    """Of a vector."""


class RandomVectors(Network):
    """Gene vectors drawn from N(0, 1): what a network learns without knowing its genes."""

    Options: ClassVar[type] = RandomVectorOptions

    @classmethod
    def uses_checkpoint(cls, options: Any) -> bool:
        """Never."""
        del options
        return False

    def gene_vectors(
        self, data: ChemicalData, context: RunContext
    ) -> tuple[Values, tuple[str, ...], dict[str, Any]]:
        """Drawn by the seed."""
        generator = np.random.default_rng(context.seed)
        values = generator.standard_normal((len(data.genes), self.options.width))
        facts = {"encoder": "random vectors", "coverage": "drawn for all genes"}
        return values.astype(np.float32), (), facts
