"""The network as a model of the task: GEARS, and scLong or another encoder with GEARS's head."""

import json
from abc import abstractmethod
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from scipy import sparse

from sclong_core.devices import find_device
from sclong_core.errors import ConfigError, InputError
from sclong_core.files import write_json
from sclong_core.graph import GeneGraph
from sclong_tasks.batches import batches_of, row_batches
from sclong_tasks.chemistry.molecules import shown
from sclong_tasks.encoders.choose import EncoderOptions, make_encoder
from sclong_tasks.encoders.protocol import ExpressionTable, Representation
from sclong_tasks.genetic_perturbation.data import PerturbationData
from sclong_tasks.genetic_perturbation.graphs import (
    annotation_graph,
    coexpression_graph,
    without_neighbours,
)
from sclong_tasks.genetic_perturbation.module import (
    ConditionError,
    LearntGenes,
    NetworkShape,
    Optimisation,
    PerturbationModule,
    RepresentedGenes,
)
from sclong_tasks.genetic_perturbation.pairs import CellPairs, Places
from sclong_tasks.genetic_perturbation.ranking import Moments, rank_genes
from sclong_tasks.settings import as_plain, resolve
from sclong_tasks.splits import Split
from sclong_tasks.task import ProtocolName, Rows, RunContext, TaskModel
from sclong_tasks.training import (
    Fit,
    TrainingOptions,
    evaluate_in_batches,
    fit_module,
    parameters,
    seeded,
    trained_state,
)

_WEIGHTS, _FACTS = "model.safetensors", "model.json"
_ANNOTATIONS, _COEXPRESSION = "annotations.npz", "coexpression.npz"
_TOP, _ROWS, _CONDITIONS = 20, 32, 64
_IDENTITY = ("model", "vectors", "sha256")
"""What says which checkpoint or file gene vectors are from."""
GeneVectors = LearntGenes | RepresentedGenes


def _training() -> TrainingOptions:
    return TrainingOptions(
        epochs=20, batch_size=128, learning_rate=1e-3, patience=4, monitor="validation_mse_de"
    )


@dataclass
class NetworkOptions:
    """Network and training."""

    shape: NetworkShape = field(default_factory=NetworkShape)
    optimisation: Optimisation = field(default_factory=lambda: Optimisation(decay=0.8))
    training: TrainingOptions = field(default_factory=_training)
    fixed_pairs: bool = False
    """Draw the control cell of each perturbed cell once, as GEARS does, not again each epoch."""
    draws: int = 100
    """Control cells that a prediction is averaged over, where it depends on them."""

    def __post_init__(self) -> None:
        if self.draws < 1:
            raise ConfigError("model.draws must be at least 1")

    @classmethod
    def for_protocol(cls, protocol: ProtocolName) -> Self:
        """As published: the rate is halved after each epoch, all epochs, pairs drawn once."""
        options = cls()
        if protocol == "published":
            options.optimisation = Optimisation()
            options.training.epochs = options.training.patience = 20
            options.training.batch_size = 32
            options.fixed_pairs = True
        return options


@dataclass
class EncodedOptions(NetworkOptions):
    """Of the head on gene representations."""

    encoder: EncoderOptions = field(default_factory=EncoderOptions)
    """Its ``pool`` is passed over: all gene representations are taken."""
    controls: int = 1000
    """Control cells that take part, drawn by seed; all where 0. Their representations are kept on
    disk: 4 GB for 1,000 cells of 5,000 genes with 200 channels."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.encoder.tuning != "frozen":
            raise ConfigError(
                "model.encoder.tuning: the encoder stays frozen in genetic perturbation, as in the "
                "authors' command"
            )
        if self.controls < 0:
            raise ConfigError("model.controls must not be negative")

    @classmethod
    def for_protocol(cls, protocol: ProtocolName) -> Self:
        """As published: width 1,024, 16 epochs, steps of 512 cells, all control cells."""
        options = super().for_protocol(protocol)
        if protocol == "published":
            options.shape.hidden, options.controls = 1024, 0
            options.training.epochs = options.training.patience = 16
            options.training.batch_size, options.training.accumulate = 16, 32
        return options


class PerturbationNetwork(TaskModel[PerturbationData]):
    """Trained on cells, selected by the error of condition means over their 20 ranked genes."""

    Options: ClassVar[type] = NetworkOptions
    module: PerturbationModule
    result: Fit | None = None
    facts: dict[str, Any]
    """What gene vectors rest on."""
    genes: tuple[str, ...]
    """Measured ones, in the order of the data."""
    others: tuple[str, ...]
    """Perturbed ones that are not measured."""
    _context: RunContext
    _graphs: dict[str, GeneGraph]
    _control: Any = None
    _folder: dict[str, torch.Tensor] | None = None

    @abstractmethod
    def vectors(self, data: PerturbationData) -> GeneVectors:
        """Where gene vectors come from; fills ``facts``."""

    @abstractmethod
    def controls(self, data: PerturbationData) -> Places:
        """Control cells that take part."""

    def fit(self, data: PerturbationData, split: Split, context: RunContext) -> None:
        """Train on the cells of training conditions and on control cells."""
        self._context, training = context, self.options.training
        self.genes = data.genes
        perturbed = {gene for targets in data.targets for gene in targets}
        self.others = tuple(sorted(perturbed - set(data.genes)))
        shape = self.options.shape
        self._graphs = {
            _ANNOTATIONS: annotation_graph(
                data.terms, [*self.genes, *self.others], shape.neighbours, shape.annotations
            )
        }
        self.relate(data, split.train)
        self._build(data)
        pairs = CellPairs(
            data,
            split.train,
            self.targets(data, split.train),
            self.controls(data),
            seed=split.seed if self.options.fixed_pairs else context.seed,
            fixed=self.options.fixed_pairs,
        )
        kept = np.vstack([data.means[split.train] != 0, np.ones((1, len(data.genes)), bool)])
        self.module.learn_from(kept, data.control_mean)
        validation = None
        if len(split.validation):
            self.module.error = _condition_error(data, split.validation)
            columns = self._columns(data, split.validation)
            validation = row_batches(columns, _ROWS)
        batches = batches_of(pairs, training.batch_size, shuffle_seed=context.seed)
        self.result = fit_module(self.module, batches, validation, training, context)
        self.module.error = None

    def relate(self, data: PerturbationData, train: Rows) -> None:
        """Add a graph of measured genes, where the network has one."""

    def predict(self, data: PerturbationData, rows: Rows) -> pd.DataFrame:
        """The mean of all control cells, and the mean change over the drawn ones.

        Raises:
            InputError: the genes are not those that were trained on, or a perturbed gene is
                neither measured nor perturbed in the data that were.
        """
        self._bind(data)
        self.targets(data, rows)
        device = find_device(self._context.device)
        self.module.eval().to(device)
        parts = [np.empty((0, len(data.genes)))]
        for start in range(0, len(rows), _CONDITIONS):
            here = rows[start : start + _CONDITIONS]
            batches = row_batches(self._columns(data, here), _ROWS)
            change = evaluate_in_batches(self.module, batches, device).double()
            parts.append(change.view(len(here), -1, len(data.genes)).mean(1).numpy())
        self.module.to("cpu")
        values = data.control_mean + np.concatenate(parts)
        return pd.DataFrame(values, index=rows, columns=list(data.genes))

    def targets(self, data: PerturbationData, rows: Rows) -> Places:
        """``(rows, 2)`` numbers of perturbed genes, -1 beside one alone.

        Raises:
            InputError: names genes that have no vector.
        """
        number = {gene: place for place, gene in enumerate((*self.genes, *self.others))}
        names = [data.targets[row] for row in rows]
        unknown = sorted({gene for genes in names for gene in genes if gene not in number})
        if unknown:
            raise InputError(
                f"{len(unknown)} genes are neither measured nor perturbed in the data that were "
                f"trained on, and have no vector: {shown(unknown)}: leave them out"
            )
        found = np.full((len(rows), 2), -1, dtype=np.int64)
        for place, genes in enumerate(names):
            found[place, : len(genes)] = [number[gene] for gene in genes]
        return found

    def save(self, folder: Path) -> None:
        """Weights as safetensors, graphs as npz, options and facts as JSON."""
        save_file(trained_state(self.module), folder / _WEIGHTS)
        for name, graph in self._graphs.items():
            graph.write(folder / name)
        facts = {"genes": list(self.genes), "others": list(self.others), "encoder": self.facts}
        write_json(folder / _FACTS, {"options": as_plain(self.options), **facts})

    @classmethod
    def load(cls, folder: Path, context: RunContext) -> Self:
        """Read what :meth:`save` wrote; the network is built when there is something to predict."""
        facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
        model = cls(resolve(cls.Options, context.protocol, facts["options"], "model"))
        model._context, model.facts = context, facts["encoder"]
        model.genes, model.others = tuple(facts["genes"]), tuple(facts["others"])
        model._graphs = {
            name: GeneGraph.read(folder / name)
            for name in (_ANNOTATIONS, _COEXPRESSION)
            if (folder / name).is_file()
        }
        model._folder = load_file(folder / _WEIGHTS)
        return model

    def describe(self) -> dict[str, Any]:
        """Parameters, epochs, what gene vectors rest on, and genes that nothing is told about."""
        lonely = without_neighbours(self._graphs[_ANNOTATIONS])
        facts: dict[str, Any] = {
            **parameters(self.module),
            "encoder": self.facts,
            "genes_without_neighbours": int(lonely.sum()),
            "genes_that_may_be_perturbed": len(lonely),
        }
        if "model" in self.facts:
            random = self.facts["encoder"] == "random"
            facts["checkpoint_digest"] = "" if random else str(self.facts["model"])
        if self.result is not None:
            facts |= {**self.result.describe(), "history": self.result.history}
        return facts

    def _build(self, data: PerturbationData) -> None:
        with seeded(self._context.seed):
            self.module = PerturbationModule(
                self.vectors(data),
                len(self.genes),
                self._graphs[_ANNOTATIONS],
                self.options.shape.hidden,
                self.options.optimisation,
                self.options.training.learning_rate,
            )
        self._control = data.control

    def _bind(self, data: PerturbationData) -> None:
        """Give the network the control cells of ``data``."""
        if data.genes != self.genes:
            raise InputError("the data have other genes than those that the model was fitted on")
        if self._control is data.control:
            return
        before = dict(getattr(self, "facts", {}))
        state = trained_state(self.module) if self._folder is None else self._folder
        self._build(data)
        if any(before.get(name) != self.facts.get(name) for name in _IDENTITY):
            raise InputError("the checkpoint is not the one that the run was trained with")
        self.module.load_state_dict(state, strict=False)
        self._folder = None

    def _columns(self, data: PerturbationData, rows: Rows) -> dict[str, torch.Tensor]:
        """Each condition with each of the drawn control cells."""
        chosen = self.controls(data)
        draws = 1 if self.module.genes.shared else min(self.options.draws, len(chosen))
        generator = np.random.default_rng(self._context.seed)
        control = generator.choice(chosen, draws, replace=False)
        columns = {
            "condition": np.repeat(np.arange(len(rows)), draws),
            "targets": np.repeat(self.targets(data, rows), draws, axis=0),
            "control": np.tile(control, len(rows)),
        }
        return {name: torch.from_numpy(column) for name, column in columns.items()}


class Gears(PerturbationNetwork):
    """GEARS: gene vectors are learnt, and convolved over the co-expression graph."""

    def relate(self, data: PerturbationData, train: Rows) -> None:
        """Genes that are expressed together in control cells and in those with one gene perturbed.

        These are the cells that GEARS takes.
        """
        single = [row for row in train if len(data.targets[row]) == 1]
        cells = data.cells[np.flatnonzero(np.isin(data.row, single))]
        shape = self.options.shape
        self._graphs[_COEXPRESSION] = coexpression_graph(
            sparse.vstack([data.control, cells], "csr"), shape.neighbours, shape.coexpression
        )

    def vectors(self, data: PerturbationData) -> GeneVectors:
        """Learnt ones."""
        del data
        self.facts = {}
        return LearntGenes(self._graphs[_COEXPRESSION], self.options.shape.hidden)

    def controls(self, data: PerturbationData) -> Places:
        """All."""
        return np.arange(data.control.shape[0])


@dataclass
class WideOptions(NetworkOptions):
    """Of GEARS as wide as the published head of scLong."""

    @classmethod
    def for_protocol(cls, protocol: ProtocolName) -> Self:
        """1,024 in either."""
        options = super().for_protocol(protocol)
        options.shape.hidden = 1024
        return options


class WideGears(Gears):
    """GEARS with the published width of scLong's head, which is 16 times its own."""

    Options: ClassVar[type] = WideOptions


class Encoded(PerturbationNetwork):
    """GEARS's head on gene representations of an encoder that stays as it is."""

    Options: ClassVar[type] = EncodedOptions

    def vectors(self, data: PerturbationData) -> GeneVectors:
        """Of the control cells that take part, computed once and kept in the cache."""
        found = self._represented(data)
        self.facts = {**found.provenance, "coverage": found.coverage.describe()}
        values = found.values
        if self.options.encoder.name == "raw":
            values = values[:, :, None]
        return RepresentedGenes(values, self.options.shape.hidden, self.controls(data))

    def controls(self, data: PerturbationData) -> Places:
        """Drawn by the seed of the run."""
        count, most = data.control.shape[0], self.options.controls
        if not most or most >= count:
            return np.arange(count)
        generator = np.random.default_rng(self._context.seed)
        return np.sort(generator.choice(count, most, replace=False))

    def _represented(self, data: PerturbationData) -> Representation:
        options, context = replace(self.options.encoder, pool="none"), self._context
        every = len(self.controls(data)) == data.control.shape[0]
        if context.cache is None or (context.cache_is_temporary and not every):
            # They would not fit into memory for a whole screen: they lie on disk until the end.
            context = replace(context, cache=context.scratch / "representations")
        encoder = make_encoder(options, context, data.genes)
        if options.one_vector_a_gene:
            return encoder.genes(data.genes)
        chosen = self.controls(data)
        cells = data.control[chosen].toarray().astype(np.float32)
        names = tuple(f"control {number}" for number in chosen)
        return encoder.cells(ExpressionTable(cells, names, data.genes, "log1p"))


def _condition_error(data: PerturbationData, rows: Rows) -> ConditionError:
    control = Moments.of(data.control)
    ranked = [rank_genes(Moments.of(data.cells_of(int(row))), control)[:_TOP] for row in rows]
    return ConditionError(data.means[rows] - data.control_mean, np.array(ranked))
