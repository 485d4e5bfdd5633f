"""A run: one model, one split, one seed; a folder that appears whole or not at all."""

import logging
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
import pandas as pd
import yaml

import sclong_tasks
from sclong_core.checkpoint_names import VOCABULARY_FILE
from sclong_core.errors import ConfigError, InputError
from sclong_core.files import atomic_folder
from sclong_core.manifest import read_checkpoint_info
from sclong_tasks.data_files import read_record
from sclong_tasks.encoders.functions import EncoderFunction
from sclong_tasks.encoders.registry import recognise
from sclong_tasks.figures import training_curve, write_svg
from sclong_tasks.memory import peak_bytes, reset_peak
from sclong_tasks.model_files import save_model
from sclong_tasks.models import FUNCTION
from sclong_tasks.named_models import NamedModel
from sclong_tasks.registry import get_task
from sclong_tasks.results import PAPER, ResultRow, config_digest, package_versions, write_metrics
from sclong_tasks.settings import as_plain, resolve
from sclong_tasks.splits import Split
from sclong_tasks.task import Metric, ProtocolName, RunContext, Task, TaskData, TaskModel

_LOG = logging.getLogger("sclong")
CONFIG_FILE = "config.yaml"
METRICS_FILE = "metrics.json"
PREDICTIONS_FILE = "predictions.parquet"
MODEL_FOLDER = "model"


@dataclass(frozen=True)
class RunRequest:
    """What is to be run."""

    task: str
    model: str
    seed: int
    data: Path
    """Folder of prepared data."""
    output: Path
    """Folder that the run's folder is put into."""
    protocol: ProtocolName = "honest"
    scenario: str | None = None
    """Of the protocol; its first by default."""
    checkpoint: Path | None = None
    """A scLong checkpoint folder, for models that use one."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Settings by name, below "task", "model", and the model's own name."""
    base: str = ""
    """Name of the task's model that ``model`` is another name for; the same where empty."""
    function: EncoderFunction | None = None
    """Of the user, which is run under the name ``model``."""
    cache: Path | None = None
    cache_is_temporary: bool = False
    """The cache goes at the end of the command."""
    device: str = "auto"
    progress: bool = False
    overwrite: bool = False

    @property
    def named(self) -> NamedModel:
        """What is run."""
        return NamedModel(self.model, self.base, self.function)


@dataclass(frozen=True)
class RunResult:
    """What came of it."""

    folder: Path
    metrics: tuple[Metric, ...]
    seconds: float


@dataclass(frozen=True)
class Loaded:
    """Data that several runs share."""

    task: Task[Any]
    settings: Any
    data: TaskData


def load_task(request: RunRequest) -> Loaded:
    """Task, settings and data of a request.

    Raises:
        ConfigError: an unknown task or setting.
        InputError: the data cannot be used.
    """
    task = get_task(request.task)
    settings = resolve(task.Settings, request.protocol, request.changes.get("task") or {}, "task")
    read_record(task, request.data)
    return Loaded(task, settings, task.load(request.data, settings))


def run_task(request: RunRequest, loaded: Loaded | None = None) -> RunResult:
    """Fit a model, predict the test rows, measure, and write the run's folder.

    The model is fitted on data in which the targets of test rows are hidden, and predicts from data
    in which all are.

    Args:
        request: what to run.
        loaded: of the same task, settings and data folder, to read data once for many runs.

    Raises:
        ConfigError: an unknown task, model, scenario or setting.
        InputError: the data cannot be used, or the folder is there already.
    """
    start = time.perf_counter()
    reset_peak()
    plan = _plan(request, load_task(request) if loaded is None else loaded)
    if plan.folder.exists() and not request.overwrite:
        raise InputError(f"{plan.folder} already exists: same run; use --overwrite to replace it")
    if plan.folder.exists() and not (plan.folder / METRICS_FILE).is_file():
        raise InputError(f"{plan.folder} is not a run: move it away, or choose another folder")
    task, settings, data = plan.loaded.task, plan.loaded.settings, plan.loaded.data
    split, folder = plan.split, plan.folder
    model = plan.kind(plan.options)
    with tempfile.TemporaryDirectory(prefix="sclong-run-") as scratch:
        context = _context(request, plan, Path(scratch))
        predictions = fit_and_predict(task, model, data, split, context, settings)
        metrics = task.evaluate(data, predictions, split, settings)
        facts = {**model.describe(), "rows": split.sizes()}
        seconds = time.perf_counter() - start
        row = _row_maker(request, plan, facts, seconds)
        with atomic_folder(folder, overwrite=request.overwrite) as temporary:
            (temporary / CONFIG_FILE).write_text(yaml.safe_dump(plan.config), encoding="utf-8")
            write_metrics(temporary / METRICS_FILE, map(row, metrics), facts)
            labelled(data, predictions).to_parquet(temporary / PREDICTIONS_FILE)
            split.write(temporary)
            save_model(model, temporary / MODEL_FOLDER)
            _write_figures(task.figures(data, predictions, split), facts, temporary / "figures")
    return RunResult(folder, tuple(metrics), seconds)


@dataclass(frozen=True)
class _Plan:
    """A request with everything about it decided."""

    loaded: Loaded
    kind: type[TaskModel[Any]]
    options: Any
    config: dict[str, Any]
    split: Split
    folder: Path
    """Ends in a hash of everything that decides the result."""
    checkpoint: Path | None
    """The request's, where the model uses it."""


def run_exists(request: RunRequest, loaded: Loaded) -> bool:
    """Whether a request's folder is there already."""
    return _plan(request, loaded).folder.exists()


def _plan(request: RunRequest, loaded: Loaded) -> _Plan:
    task, data = loaded.task, loaded.data
    kind, options = request.named.options(task, request.protocol, request.changes)
    scenario = _scenario(task, request)
    config = _config(request, scenario, loaded.settings, options)
    split = task.split(data, scenario=scenario, seed=request.seed, settings=loaded.settings)
    used = request.checkpoint if kind.uses_checkpoint(options) else None
    key = {**config, "data": data.digest, "split": split.digest, "checkpoint": ""}
    if used is not None:
        own = not used.is_dir() or (used / VOCABULARY_FILE).is_file()
        if not own and (other := recognise(used)):
            raise ConfigError(
                f"{used} holds the files of {other}, not an scLong checkpoint: take "
                f"--model {other} with --set model.encoder.path={used}"
            )
        key["checkpoint"] = read_checkpoint_info(used).digest
    name = (request.model, request.protocol, scenario, f"seed{request.seed}")
    folder = request.output / "-".join((*name, config_digest(key)[:8]))
    return _Plan(loaded, kind, options, config, split, folder, used)


def fit_and_predict(
    task: Task[Any],
    model: TaskModel[Any],
    data: TaskData,
    split: Split,
    context: RunContext,
    settings: Any,
) -> pd.DataFrame:
    """Fit on the training rows and predict the test rows; test targets are out of sight.

    Raises:
        InputError: the model predicts other rows than asked for, or something that is not a number.
    """
    selecting = task.selection(split, settings)
    seen = np.concatenate([selecting.train, selecting.validation])
    every = np.arange(len(data.labels), dtype=np.int64)
    model.fit(data.hide(np.setdiff1d(every, seen)), selecting, context)
    predictions = model.predict(data.hide(every), split.test)
    check_predictions(predictions, data, split.test)
    return predictions


def check_predictions(predictions: pd.DataFrame, data: TaskData, rows: Any) -> None:
    """Refuse predictions of other rows, and such that are not finite numbers.

    Raises:
        InputError: names the first row that is wrong.
    """
    if not np.array_equal(predictions.index.to_numpy(), np.asarray(rows)):
        raise InputError("the model predicted other rows than requested")
    wrong = ~np.isfinite(predictions.to_numpy(dtype=np.float64)).all(axis=1)
    if wrong.any():
        first = data.labels.iloc[int(np.asarray(rows)[wrong][0])].to_dict()
        raise InputError(f"{int(wrong.sum())} predictions are not finite, the first for {first}")


def labelled(data: TaskData, predictions: pd.DataFrame) -> pd.DataFrame:
    """Predictions beside the names of their rows and the truth, where it is known."""
    rows = predictions.index.to_numpy()
    parts = [
        data.labels.iloc[rows],
        data.truth.iloc[rows],
        predictions.add_prefix("predicted_").set_axis(data.labels.index[rows]),
    ]
    return pd.concat(parts, axis=1)


def _scenario(task: Task[Any], request: RunRequest) -> str:
    choices = task.scenarios[request.protocol]
    chosen = request.scenario or choices[0]
    if chosen not in choices:
        raise ConfigError(
            f"{task.name} has no scenario {chosen!r} in the protocol {request.protocol}: choose "
            f"one of {', '.join(choices)}"
        )
    return chosen


def _config(request: RunRequest, scenario: str, settings: Any, options: Any) -> dict[str, Any]:
    base = FUNCTION if request.function is not None else request.base
    return {
        "task": request.task,
        "model": request.model,
        **({"base": base} if base else {}),
        "protocol": request.protocol,
        "scenario": scenario,
        "seed": request.seed,
        "settings": {"task": as_plain(settings), "model": as_plain(options)},
    }


def _context(request: RunRequest, plan: _Plan, scratch: Path) -> RunContext:
    return RunContext(
        seed=request.seed,
        protocol=request.protocol,
        scratch=scratch,
        checkpoint=plan.checkpoint,
        cache=request.cache,
        device=request.device,
        progress=request.progress,
        function=request.function,
        cache_is_temporary=request.cache_is_temporary,
    )


def _row_maker(
    request: RunRequest, plan: _Plan, facts: Mapping[str, Any], seconds: float
) -> Callable[[Metric], ResultRow]:
    common: dict[str, Any] = {
        "task": request.task,
        "protocol": request.protocol,
        "scenario": plan.split.name,
        "model": request.model,
        "variant": str(facts.get("variant", "")),
        "seed": request.seed,
        "split_digest": plan.split.digest,
        "data_digest": plan.loaded.data.digest,
        "data_set": PAPER if plan.loaded.task.is_papers(plan.loaded.data) else "",
        "config_digest": config_digest(plan.config["settings"]),
        "checkpoint_digest": str(facts.get("checkpoint_digest", "")),
        "code_version": sclong_tasks.__version__,
        "packages": package_versions(),
        "wall_seconds": round(seconds, 2),
        "peak_memory_bytes": peak_bytes(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }

    def row(metric: Metric) -> ResultRow:
        values = asdict(metric)
        return ResultRow(metric=values.pop("name"), **values, **common)

    return row


def _write_figures(drawings: Mapping[str, Element], facts: Mapping[str, Any], folder: Path) -> None:
    folder.mkdir()
    curve = training_curve(facts.get("history") or [])
    every = dict(drawings) if curve is None else {**drawings, "training": curve}
    for name, drawing in every.items():
        write_svg(folder / f"{name}.svg", drawing)
