"""What a task is: data that is read and checked, splits, models by name, and metrics.

A task is a folder with an object ``task`` in its ``__init__.py``, named in
:mod:`sclong_tasks.registry`. Its rows are whatever one prediction is about: a cell line and a
drug, two drugs and a cell line, a perturbation, an edge between two genes, a cell. A task without
training has splits whose training rows are empty, and models whose ``fit`` does nothing.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Protocol, Self, TypeVar
from xml.etree.ElementTree import Element

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_tasks.splits import Split

if TYPE_CHECKING:
    from sclong_tasks.encoders.functions import EncoderFunction

ProtocolName = Literal["honest", "published"]
PROTOCOLS: tuple[ProtocolName, ...] = ("honest", "published")
"""The first is the default: a validation set, grouped splits, no selection on test data."""

Rows = npt.NDArray[np.int64]

Role = Literal["model", "ablation", "simple", "floor", "ceiling"]
"""What a model is in a comparison. A "floor" has seen nothing of what the metric is about, or has
no learnt representation; "simple" learns, but little; a "ceiling" is as good as the data allow; an
"ablation" is scLong without a part of it."""


@dataclass(frozen=True)
class ModelSpec:
    """A model of a task, declared: what makes it, and what it is in a comparison."""

    target: str
    """"module:class" of a :class:`TaskModel`, imported when it is asked for."""
    role: Role = "model"
    """In tables and reports."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Defaults that differ from those of the class's ``Options``."""
    summary: str = ""
    """What it is, in a few words."""


@dataclass(frozen=True)
class EncoderPlace:
    """Where a task takes an encoder: the classes that are made with one, and what cannot be."""

    target: str
    """"module:class" whose options hold ``encoder``: :class:`.encoders.choose.EncoderOptions`."""
    classes: Mapping[str, str] = field(default_factory=dict)
    """Other classes for some of the models, by name; "published" stands for all models of other
    authors, "function" for encoders that are a function."""
    without: tuple[str, ...] = ()
    """Models that cannot be here, by name."""
    trained: bool = False
    """Whether an encoder can be trained with the task, whole or by LoRA."""
    own: tuple[str, ...] = ()
    """Options of the encoder that the model's own options hold in its place."""
    suffix: str = ""
    """Of the models' names."""


@dataclass(frozen=True)
class DataFile:
    """An original file of a task, as its authors publish it."""

    name: str
    """File name; ``NAME.gz`` and the names of ``aliases`` are accepted too."""
    purpose: str
    """What it is needed for, in a few words."""
    licence: str
    """As its authors state it."""
    url: str | None = None
    """Where to fetch it; None where it must be given."""
    sha256: str | None = None
    """Of the file at the address."""
    required: bool = True
    """Whether the task can do without."""
    aliases: tuple[str, ...] = ()
    """Other names under which copies of it, or stand-ins for it, are passed around."""
    any_name: bool = False
    """Whether a file that is given by itself, or is the only one of its ending in the folder, is
    taken for it whatever its name."""


@dataclass(frozen=True)
class PublishedNumber:
    """A number of the paper, shown beside ours and never mixed with them."""

    model: str
    """Name of the model here, or the paper's where there is none here."""
    scenario: str
    metric: str
    value: float
    source: str
    """Where it stands."""
    sd: float | None = None
    """Over the paper's runs, where known."""
    stratum: str = "all"
    """Part of the test rows that it is about, as :class:`Metric` names it."""


@dataclass(frozen=True)
class Metric:
    """One number about predictions."""

    name: str
    """Lower case with underscores: "pearson", "auroc"."""
    value: float
    """NaN where it is not defined; a metric never makes a number up."""
    n: int
    """Rows, or groups of rows, that it rests on."""
    higher_is_better: bool
    """Direction."""
    unit: str = "row"
    """What was resampled for the interval: "row", "cell line", "drug", ..."""
    low: float | None = None
    """Lower end of the 95 % interval."""
    high: float | None = None
    """Upper end of the 95 % interval."""
    stratum: str = "all"
    """Part of the test rows that it is about."""


class TaskData(Protocol):
    """Validated data of a task: a frozen dataclass of arrays, tables and graphs."""

    @property
    def digest(self) -> str:
        """SHA-256 over everything that models and metrics see."""
        ...

    @property
    def labels(self) -> pd.DataFrame:
        """One line a row: the names of its cell line, drugs, genes, ...; no targets."""
        ...

    @property
    def truth(self) -> pd.DataFrame:
        """One line a row: the targets; NaN where they are hidden or not known."""
        ...

    def hide(self, rows: Rows) -> Self:
        """The same data without the targets of these rows: what models are given."""
        ...


DataT = TypeVar("DataT", bound=TaskData)


@dataclass(frozen=True)
class RunContext:
    """What a run hands to its model beside the data."""

    seed: int
    """Of everything random in the model."""
    protocol: ProtocolName
    """For the record; what it changes is in the settings and in the split."""
    scratch: Path
    """An empty folder that is removed at the end of the run."""
    checkpoint: Path | None = None
    """A scLong checkpoint folder."""
    cache: Path | None = None
    """Where representations are kept between runs; None keeps nothing."""
    device: str = "auto"
    """"auto" takes the first accelerator there is."""
    progress: bool = False
    """Draw progress on standard error."""
    function: "EncoderFunction | None" = None
    """Of the user's own, for the models that are made with one; see :mod:`.encoders.functions`."""
    cache_is_temporary: bool = False
    """The cache goes at the end of the command: what differs by seed does not belong there."""


@dataclass
class NoOptions:
    """There is nothing to set."""


class TaskModel(ABC, Generic[DataT]):
    """A model of a task: everything between data and predictions.

    The constructor takes nothing but an instance of ``Options``.
    """

    Options: ClassVar[type]
    """A dataclass of settings with defaults. A class method ``for_protocol(protocol)``, if there
    is one, gives the defaults of that protocol. It is what ``--config`` and ``--set`` change."""

    def __init__(self, options: Any) -> None:
        self.options = options

    @abstractmethod
    def fit(self, data: DataT, split: Split, context: RunContext) -> None:
        """Learn from the training rows; stop by the validation rows.

        Args:
            data: with the targets of test rows hidden.
            split: whose test rows are not to be touched.
            context: of the run.
        """

    @abstractmethod
    def predict(self, data: DataT, rows: Rows) -> pd.DataFrame:
        """Predictions for rows of ``data``: indexed by row number, float columns.

        The columns are those of ``data.truth`` where the task has targets.
        """

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write what :meth:`predict` needs: safetensors, npz, json, skops. Never pickle."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path, context: RunContext) -> Self:
        """Read what :meth:`save` wrote."""

    @classmethod
    def uses_checkpoint(cls, options: Any) -> bool:
        """Whether a model with these options reads the run's checkpoint.

        It is given the checkpoint then, and the checkpoint is part of what tells runs apart. By
        default it is what the options' ``encoder`` says; override it where a model reads the
        checkpoint without one, or has an encoder that it passes over.
        """
        return bool(getattr(getattr(options, "encoder", None), "uses_checkpoint", False))

    def describe(self) -> dict[str, Any]:
        """Facts for the record, JSON: epochs, parameters, coverage of genes, ..."""
        return {}


class Task(ABC, Generic[DataT]):
    """A benchmark. One stateless object of each is in its folder's ``__init__.py``."""

    name: ClassVar[str]
    """As on the command line."""
    title: ClassVar[str]
    """A few words."""
    models: ClassVar[Mapping[str, ModelSpec | str]]
    """Each model by name; scLong's first, trivial ones and ablations too. A "module:class" alone
    is a model without further ado."""
    encoders: ClassVar[tuple[EncoderPlace, ...]] = ()
    """Where encoders that others install, or name on the command line, take part."""
    baselines: ClassVar[tuple[str, ...]] = ()
    """Simple models that the reference of a comparison is taken from, the first choice first."""
    scenarios: ClassVar[Mapping[ProtocolName, tuple[str, ...]]]
    """Splits of each protocol by name, the default first."""
    data_files: ClassVar[tuple[DataFile, ...]]
    """What it needs."""
    published: ClassVar[tuple[PublishedNumber, ...]] = ()
    """The paper's numbers."""
    papers_rows: ClassVar[int] = 0
    """Rows of the paper's data set, by which :meth:`is_papers` knows it; 0 where it has none."""
    papers_digests: ClassVar[tuple[str, ...]] = ()
    """Beginnings of digests of the paper's data set, as far as it can be had, prepared here."""
    headline: ClassVar[tuple[str, ...]] = ()
    """Metrics that a reader sees first, all of them; the first metric where empty."""
    map_labels: ClassVar[tuple[str, ...]] = ()
    """Columns of a run's predictions to colour a map by, where a prediction places a cell."""
    inputs: ClassVar[Mapping[str, str]]
    """What ``sclong task predict`` reads, name -> description; the first may go unnamed."""
    Settings: ClassVar[type]
    """A dataclass with ``for_protocol(protocol)``: what belongs to data, split and metrics. Each
    fault of the original that changes numbers is a switch here or in a model's options."""

    @abstractmethod
    def prepare(self, sources: Mapping[str, Path], folder: Path) -> None:
        """Convert original files into ``folder``, validated.

        Args:
            sources: by the name of their :class:`DataFile`, all required ones among them.
            folder: where to write what :meth:`load` reads.

        Raises:
            InputError: names the file, row and column.
        """

    @abstractmethod
    def load(self, folder: Path, settings: Any) -> DataT:
        """Read what :meth:`prepare` wrote; what is left out is reported and counted."""

    @abstractmethod
    def split(self, data: DataT, *, scenario: str, seed: int, settings: Any) -> Split:
        """The split of a scenario by seed.

        Raises:
            InputError: a part would be empty.
        """

    @abstractmethod
    def evaluate(
        self, data: DataT, predictions: pd.DataFrame, split: Split, settings: Any
    ) -> list[Metric]:
        """Metrics of the test rows; ``predictions`` is what :meth:`TaskModel.predict` gives."""

    @abstractmethod
    def read_inputs(self, inputs: Mapping[str, Path], known: DataT) -> DataT:
        """New rows to predict, from a user's files; ``known`` lends what they refer to by name."""

    def figures(
        self,
        data: DataT,  # noqa: ARG002  # for those who override it
        predictions: pd.DataFrame,  # noqa: ARG002
        split: Split,  # noqa: ARG002
    ) -> Mapping[str, Element]:
        """Drawings of a run by file name, beside its training curve."""
        return {}

    def is_papers(self, data: DataT) -> bool:
        """Whether these are the cells or rows of the paper: only then are its numbers comparable.

        Recorded in the results of a run as its data set.
        """
        if data.digest.startswith(self.papers_digests or ("-",)):
            return True
        return bool(self.papers_rows) and len(data.labels) == self.papers_rows

    def selection(self, split: Split, settings: Any) -> Split:
        """The split that a model selects by: its own, or, as a fault of an original, on test rows.

        Rows that are in ``validation`` here keep their targets while a model is fitted.
        """
        del settings
        return split
