"""DeepCE's network with gene vectors of any origin: scLong's, DeepCE's own, random ones.

Shapes: r rows, g genes, l cell lines, k doses.
"""

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from sclong_core.errors import ConfigError, InputError
from sclong_core.files import write_json
from sclong_tasks.chemical_perturbation.data import ChemicalData, Values
from sclong_tasks.chemical_perturbation.models.simple import check_genes
from sclong_tasks.chemical_perturbation.module import ChemicalModule, NetworkShape
from sclong_tasks.chemistry.atoms import AtomFeatures
from sclong_tasks.chemistry.graphs import GraphTable
from sclong_tasks.chemistry.molecules import shown
from sclong_tasks.drug_network import DrugNetwork
from sclong_tasks.encoders.choose import EncoderOptions, make_encoder
from sclong_tasks.encoders.protocol import Coverage
from sclong_tasks.encoders.slots import CellSlot, TableSlot
from sclong_tasks.splits import Split
from sclong_tasks.task import ProtocolName, Rows, RunContext
from sclong_tasks.training import Schedule, TrainingOptions

_LOG = logging.getLogger("sclong")
DOSES = ("log", "one_hot")
UNKNOWN = ("mean", "zero")
_KNOWN = "known.json"


def _training() -> TrainingOptions:
    return TrainingOptions(
        epochs=100,
        batch_size=16,
        learning_rate=2e-4,
        patience=15,
        monitor="validation_pearson",
        mode="max",
    )


@dataclass
class NetworkOptions:
    """Gene vectors, network and training."""

    encoder: EncoderOptions = field(default_factory=EncoderOptions)
    """Of genes; their vectors are the same in every cell, and stay as they are."""
    shape: NetworkShape = field(default_factory=NetworkShape)
    """Widths and rules."""
    training: TrainingOptions = field(default_factory=_training)
    """How long, and what stops it."""
    dose: str = "log"
    """A dose is its logarithm ("log"), so that any dose can be predicted, or one of those that were
    trained on ("one_hot", the original's)."""
    unknown_genes: str = "mean"
    """Vector of genes that the encoder does not know: the mean of the others, or "zero" (the
    original's)."""
    warmup: int = 0
    """Epochs until the learning rate is reached; 5 in the paper, none in the code."""
    final_learning_rate: float = 0.0
    """Of the last epoch; 2e-5 in the paper; 0 keeps it constant, as the code does."""

    def __post_init__(self) -> None:
        if self.dose not in DOSES:
            raise ConfigError(f"model.dose must be one of {', '.join(DOSES)}, not {self.dose!r}")
        if self.unknown_genes not in UNKNOWN:
            raise ConfigError(f"model.unknown_genes must be one of {', '.join(UNKNOWN)}")

    @classmethod
    def for_protocol(cls, protocol: ProtocolName) -> Self:
        """Published: all epochs, the best on the validation rows kept; doses by name."""
        options = cls()
        if protocol == "published":
            options.dose, options.unknown_genes = "one_hot", "zero"
            options.training.patience = options.training.epochs
        return options


class Network(DrugNetwork[ChemicalData]):
    """Atoms of a drug, gene vectors, attention, cell line and dose, head."""

    Options: ClassVar[type] = NetworkOptions
    atom_features: ClassVar[AtomFeatures] = "deepce"
    width_name: ClassVar[str] = "gene_features"
    predict_rows: ClassVar[int] = 32
    module: ChemicalModule
    genes: tuple[str, ...]
    lines: list[str]
    doses: list[float]

    def fit(self, data: ChemicalData, split: Split, context: RunContext) -> None:
        """Note what the training rows hold, and train."""
        table = data.table.iloc[split.train]
        self.genes = data.genes
        self.lines = sorted(set(map(str, table["cell_id"])))
        self.doses = sorted(set(map(float, table["dose"])))
        super().fit(data, split, context)

    def gene_vectors(
        self, data: ChemicalData, context: RunContext
    ) -> tuple[Values, tuple[str, ...], dict[str, Any]]:
        """Vectors of all genes, the genes that are not known, and facts for the record."""
        options = self.options.encoder
        if options.tuning != "frozen":
            raise ConfigError("model.encoder.tuning: gene vectors stay as they are in this task")
        found = make_encoder(options, context, data.genes).genes(data.genes)
        facts = {**found.provenance, "coverage": found.coverage.describe()}
        return np.array(found.values), found.coverage.unknown, facts

    def slot(self, data: ChemicalData, context: RunContext) -> tuple[CellSlot, dict[str, Any]]:
        """The table of gene vectors."""
        values, unknown, facts = self.gene_vectors(data, context)
        if unknown and self.options.unknown_genes == "zero":
            values[np.isin(np.array(data.genes), np.array(unknown))] = 0
        _LOG.info("gene vectors: %s", facts["coverage"])
        return TableSlot(values), facts

    def build(self, graphs: GraphTable, slot: CellSlot) -> ChemicalModule:
        """The network, untrained."""
        assert isinstance(slot, TableSlot)
        options = self.options
        schedule = Schedule(
            options.training.learning_rate,
            options.training.epochs,
            options.warmup,
            options.final_learning_rate,
        )
        doses = 1 if options.dose == "log" else len(self.doses)
        widths = (len(self.lines), doses)
        return ChemicalModule(options.shape, schedule, graphs, slot, widths)

    def columns(self, data: ChemicalData, rows: Rows) -> dict[str, Tensor]:
        """What a batch holds; hidden targets are zero, and are not looked at."""
        return {
            "drug": torch.from_numpy(data.drug[rows]),
            "line": torch.from_numpy(self._lines(data, rows)),
            "dose": torch.from_numpy(self._doses(data, rows)),
            "target": torch.from_numpy(np.nan_to_num(data.values[rows])),
        }

    def predict(self, data: ChemicalData, rows: Rows) -> pd.DataFrame:
        """Responses, one column a gene.

        Raises:
            InputError: other genes, or, where doses go by name, a dose that was not trained on.
        """
        check_genes(data, self.genes)
        names = data.table["cell_id"].iloc[rows]
        unknown = sorted(set(names) - set(self.lines))
        if unknown:
            _LOG.warning(
                "%d cell lines were not trained on and count as the mean of those that were: %s",
                len(unknown), shown(unknown),
            )  # fmt: skip
        values = self.outputs(data, rows).double().numpy()
        return pd.DataFrame(values, index=rows, columns=list(self.genes))

    def save(self, folder: Path) -> None:
        """Also the names that it knows."""
        super().save(folder)
        known = {"genes": list(self.genes), "lines": self.lines, "doses": self.doses}
        write_json(folder / _KNOWN, known)

    @classmethod
    def load(cls, folder: Path, context: RunContext) -> Self:
        """Read what :meth:`save` wrote."""
        model = super().load(folder, context)
        known = json.loads((folder / _KNOWN).read_text(encoding="utf-8"))
        model.genes, model.lines = tuple(known["genes"]), known["lines"]
        model.doses = known["doses"]
        return model

    def describe(self) -> dict[str, Any]:
        """Also the checkpoint; empty for random weights, which differ with the seed."""
        facts = super().describe()
        if "model" in self.encoder_facts:
            random = self.options.encoder.name == "random"
            facts["checkpoint_digest"] = "" if random else str(self.encoder_facts["model"])
        return facts

    def _lines(self, data: ChemicalData, rows: Rows) -> npt.NDArray[np.float32]:
        """``(r, l)`` one-hot; a line that was not trained on is the mean of all."""
        place = {name: number for number, name in enumerate(self.lines)}
        found = np.zeros((len(rows), len(place)), np.float32)
        for row, name in enumerate(data.table["cell_id"].iloc[rows]):
            if str(name) in place:
                found[row, place[str(name)]] = 1
            else:
                found[row] = 1 / len(place)
        return found

    def _doses(self, data: ChemicalData, rows: Rows) -> npt.NDArray[np.float32]:
        """``(r, 1)`` log10 of micromolar, or ``(r, k)`` one-hot."""
        if self.options.dose == "log":
            return data.log_dose[rows].astype(np.float32)[:, None]
        place = {dose: number for number, dose in enumerate(self.doses)}
        doses = [float(dose) for dose in data.table["dose"].iloc[rows]]
        unknown = sorted(set(doses) - set(place))
        if unknown:
            raise InputError(
                f"{len(unknown)} doses were not trained on: {shown(list(map(str, unknown)))} "
                "micromolar; take one of those, or train with model.dose=log"
            )
        found = np.zeros((len(rows), len(place)), np.float32)
        found[np.arange(len(rows)), [place[dose] for dose in doses]] = 1
        return found


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
