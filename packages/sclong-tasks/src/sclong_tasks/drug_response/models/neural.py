"""The network with each encoder in the cell line's slot.

What is saved are the weights that training changed. Frozen weights of an encoder are not: they are
in its checkpoint, whose digest is kept and compared.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from sclong_core.errors import InputError
from sclong_core.files import write_json
from sclong_tasks.batches import row_batches
from sclong_tasks.cache import ContentCache
from sclong_tasks.chemistry.graphs import GraphTable, drug_graphs
from sclong_tasks.drug_response.config import DeepCdrOptions
from sclong_tasks.drug_response.data import TARGET, DrugResponseData
from sclong_tasks.drug_response.module import DeepCdrModule
from sclong_tasks.encoders.choose import EncoderOptions, make_slot
from sclong_tasks.settings import as_plain, resolve
from sclong_tasks.splits import Split
from sclong_tasks.task import Rows, RunContext, TaskModel
from sclong_tasks.training import (
    Fit,
    evaluate_in_batches,
    fit_module,
    parameters,
    seeded,
    trained_state,
)

_WEIGHTS, _FACTS = "model.safetensors", "model.json"
_PREDICT_ROWS = 4096


class NeuralModel(TaskModel[DrugResponseData]):
    """DeepCDR's network over an encoder."""

    Options: ClassVar[type] = DeepCdrOptions
    module: DeepCdrModule
    result: Fit | None = None
    _context: RunContext
    _encoder: dict[str, Any]
    _bound: str
    _saved: dict[str, Tensor] | None = None
    _expected: tuple[dict[str, Any], int]

    def fit(self, data: DrugResponseData, split: Split, context: RunContext) -> None:
        """Train on the training rows, select by the validation rows."""
        options = self.options
        self._build(data, context)
        if options.standardise:
            lines = torch.from_numpy(np.unique(data.line[split.train]))
            targets = torch.from_numpy(data.target[split.train].astype(np.float32))
            self.module.scale_by(lines, targets)
        training = row_batches(
            columns(data, split.train), options.training.batch_size, shuffle_seed=context.seed
        )
        validation = None
        if len(split.validation):
            validation = row_batches(columns(data, split.validation), _PREDICT_ROWS)
        self.result = fit_module(self.module, training, validation, options.training, context)

    def predict(self, data: DrugResponseData, rows: Rows) -> pd.DataFrame:
        """Ln IC50 of rows, in large batches."""
        self._bind(data)
        self.module.eval()
        batches = row_batches(columns(data, rows), _PREDICT_ROWS)
        found = evaluate_in_batches(self.module, batches).double().numpy()
        return pd.DataFrame({TARGET: found}, index=rows)

    def save(self, folder: Path) -> None:
        """Trained weights as safetensors, options and facts as JSON."""
        save_file(trained_state(self.module), folder / _WEIGHTS)
        facts = {
            "options": as_plain(self.options),
            "encoder": self._encoder,
            "features": self.module.cells.dim,
        }
        write_json(folder / _FACTS, facts)

    @classmethod
    def load(cls, folder: Path, context: RunContext) -> Self:
        """Read what :meth:`save` wrote; the network is built when there is something to predict."""
        facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
        model = cls(resolve(cls.Options, context.protocol, facts["options"], "model"))
        model._context = context
        model._saved = load_file(folder / _WEIGHTS)
        model._expected = (facts["encoder"], facts["features"])
        return model

    def describe(self) -> dict[str, Any]:
        """Parameters, epochs, and what the encoder rests on."""
        encoder = self.options.encoder
        facts: dict[str, Any] = {"encoder": self._encoder, **parameters(self.module)}
        if encoder.name not in ("raw", "precomputed"):
            facts["variant"] = f"{encoder.tuning}, {encoder.pool}"
        if "model" in self._encoder and encoder.name != "random":
            facts["checkpoint_digest"] = str(self._encoder["model"])
        if self.result is not None:
            facts |= {**self.result.describe(), "history": self.result.history}
        return facts

    def _build(self, data: DrugResponseData, context: RunContext) -> None:
        self._context = context
        slot, self._encoder = make_slot(self.options.encoder, context, data.need_expression())
        with seeded(context.seed):
            self.module = DeepCdrModule(
                self.options.network,
                self.options.training.learning_rate,
                self._graphs(data),
                slot,
            )
        self._bound = data.parts_digest

    def _bind(self, data: DrugResponseData) -> None:
        """Give the network the drugs and cell lines of ``data``."""
        if self._saved is not None:
            self._restore(data)
        elif data.parts_digest != self._bound:
            trained = self.module.cells
            slot, _ = make_slot(self.options.encoder, self._context, data.need_expression())
            if self.options.encoder.tuning != "frozen":
                slot.load_state_dict(trained.state_dict())  # type: ignore[attr-defined]  # a module
            self.module.cells, self.module.graphs = slot, self._graphs(data)
            self._bound = data.parts_digest

    def _restore(self, data: DrugResponseData) -> None:
        assert self._saved is not None
        self._build(data, self._context)
        facts, width = self._expected
        if self.module.cells.dim != width:
            raise InputError(
                f"the encoder gives {self.module.cells.dim} features a cell line, the trained "
                f"network takes {width}: give the genes and the checkpoint that it was trained with"
            )
        if facts.get("model") != self._encoder.get("model"):
            raise InputError("the checkpoint is not the one that the run was trained with")
        self.module.load_state_dict(self._saved, strict=False)
        self._saved = None

    def _graphs(self, data: DrugResponseData) -> GraphTable:
        cache = ContentCache(self._context.cache)
        return GraphTable(drug_graphs(data.molecules, "deepcdr", cache=cache))


def columns(data: DrugResponseData, rows: Rows) -> dict[str, Tensor]:
    """What a batch holds; hidden targets are zero, and are not looked at."""
    return {
        "line": torch.from_numpy(data.line[rows]),
        "drug": torch.from_numpy(data.drug[rows]),
        "target": torch.from_numpy(np.nan_to_num(data.target[rows]).astype(np.float32)),
    }


class DeepCdr(NeuralModel):
    """DeepCDR on expression as it is."""


@dataclass
class ScLongOptions(DeepCdrOptions):
    """scLong in the slot; its tuning is in the encoder's options."""

    encoder: EncoderOptions = field(default_factory=EncoderOptions)


class ScLongResponse(NeuralModel):
    """scLong: frozen by default, ``model.encoder.tuning=full`` or ``lora`` trains it too."""

    Options: ClassVar[type] = ScLongOptions


@dataclass
class RandomOptions(DeepCdrOptions):
    """Weights that were never trained."""

    encoder: EncoderOptions = field(default_factory=lambda: EncoderOptions(name="random"))


class RandomScLongResponse(NeuralModel):
    """scLong of the same shape, never trained."""

    Options: ClassVar[type] = RandomOptions


@dataclass
class Gene2vecOptions(DeepCdrOptions):
    """The checkpoint's gene vectors alone."""

    encoder: EncoderOptions = field(default_factory=lambda: EncoderOptions(name="gene2vec"))


class Gene2vecResponse(NeuralModel):
    """Expression-weighted Gene2vec."""

    Options: ClassVar[type] = Gene2vecOptions


@dataclass
class GraphOptions(DeepCdrOptions):
    """The checkpoint's graph convolution alone."""

    encoder: EncoderOptions = field(default_factory=lambda: EncoderOptions(name="graph"))


class GraphResponse(NeuralModel):
    """Expression-weighted vectors of the gene graph."""

    Options: ClassVar[type] = GraphOptions


@dataclass
class PrecomputedOptions(DeepCdrOptions):
    """Representations that another program computed."""

    encoder: EncoderOptions = field(default_factory=lambda: EncoderOptions(name="precomputed"))


class PrecomputedResponse(NeuralModel):
    """Any representation by name of the line: ``model.encoder.path=FILE``."""

    Options: ClassVar[type] = PrecomputedOptions


@dataclass
class NoLowOptions(DeepCdrOptions):
    """The paper's "w/o LEG"."""

    encoder: EncoderOptions = field(default_factory=lambda: EncoderOptions(low_expression="none"))


class NoLowExpression(NeuralModel):
    """scLong without its encoder of low expression."""

    Options: ClassVar[type] = NoLowOptions


@dataclass
class RandomLowOptions(DeepCdrOptions):
    """The paper's "Random LEG"."""

    encoder: EncoderOptions = field(default_factory=lambda: EncoderOptions(low_expression="random"))


class RandomLowExpression(NeuralModel):
    """scLong with random weights in its encoder of low expression."""

    Options: ClassVar[type] = RandomLowOptions


@dataclass
class NoGraphOptions(DeepCdrOptions):
    """The paper's "w/o GO"."""

    encoder: EncoderOptions = field(default_factory=lambda: EncoderOptions(graph="none"))


class NoGraph(NeuralModel):
    """scLong without its gene graph."""

    Options: ClassVar[type] = NoGraphOptions


@dataclass
class RandomGraphOptions(DeepCdrOptions):
    """The paper's "Random GO"."""

    encoder: EncoderOptions = field(default_factory=lambda: EncoderOptions(graph="random"))


class RandomGraph(NeuralModel):
    """scLong with random weights of its gene graph."""

    Options: ClassVar[type] = RandomGraphOptions
