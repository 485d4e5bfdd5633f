"""Predictions of a finished run for new rows, with their names."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from sclong_core.errors import ConfigError, InputError
from sclong_core.escaping import table_for_spreadsheet
from sclong_core.files import atomic_file
from sclong_tasks.data_files import read_record
from sclong_tasks.encoders.functions import EncoderFunction
from sclong_tasks.model_files import load_model
from sclong_tasks.models import FUNCTION, function_model
from sclong_tasks.registry import class_of, get_model, get_task
from sclong_tasks.run import CONFIG_FILE, MODEL_FOLDER, check_predictions
from sclong_tasks.settings import resolve
from sclong_tasks.task import PROTOCOLS, RunContext, Task

_WRITERS = {".csv": "to_csv", ".tsv": "to_csv", ".parquet": "to_parquet"}


@dataclass(frozen=True)
class PredictRequest:
    """What is to be predicted, and with which run."""

    task: str
    run: Path
    """Folder of a run."""
    inputs: Mapping[str, Path]
    """The user's files by the names of the task's ``inputs``."""
    data: Path
    """Folder of prepared data, for what inputs name without describing it."""
    checkpoint: Path | None = None
    function: EncoderFunction | None = None
    """Of the user, where the run was made with it: what a run's folder names is never run."""
    cache: Path | None = None
    device: str = "auto"


def predict(request: PredictRequest) -> pd.DataFrame:
    """Predictions for the rows of the user's files, in their order.

    Raises:
        ConfigError: an unknown input, or a run of another task.
        InputError: the run or an input cannot be used.
    """
    task = get_task(request.task)
    _check_names(task, request.inputs)
    config = _read_config(request.run)
    if config["task"] != task.name:
        raise ConfigError(f"{request.run} is a run of {config['task']}, not of {task.name}")
    settings = resolve(task.Settings, config["protocol"], config["changes"], "task")
    read_record(task, request.data)
    known = task.load(request.data, settings)
    data = task.read_inputs(request.inputs, known)
    rows = np.arange(len(data.labels), dtype=np.int64)
    base = config["base"] or config["model"]
    model_class = class_of(function_model(task)) if base == FUNCTION else get_model(task, base)
    with tempfile.TemporaryDirectory(prefix="sclong-predict-") as scratch:
        context = RunContext(
            seed=config["seed"],
            protocol=config["protocol"],
            scratch=Path(scratch),
            checkpoint=request.checkpoint,
            cache=request.cache,
            device=request.device,
            function=request.function,
        )
        model = load_model(model_class, request.run / MODEL_FOLDER, context)
        predictions = model.predict(data.hide(rows), rows)
    check_predictions(predictions, data, rows)
    parts = [data.labels, predictions.add_prefix("predicted_")]
    return pd.concat([part.reset_index(drop=True) for part in parts], axis=1)


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as .csv, .tsv or .parquet, whole or not at all.

    Raises:
        ConfigError: another ending.
    """
    if path.suffix not in _WRITERS:
        raise ConfigError(f"{path} must end in {', '.join(_WRITERS)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as temporary:
        if path.suffix == ".parquet":
            table.to_parquet(temporary, index=False)
        else:
            table_for_spreadsheet(table).to_csv(
                temporary, index=False, sep="\t" if path.suffix == ".tsv" else ","
            )


def _check_names(task: Task[Any], inputs: Mapping[str, Path]) -> None:
    unknown = sorted(set(inputs) - set(task.inputs))
    if unknown or not inputs:
        listed = "; ".join(f"{name}: {what}" for name, what in task.inputs.items())
        raise ConfigError(f"{task.name} has no input {unknown or 'given'}: it reads {listed}")
    for path in inputs.values():
        if not path.is_file():
            raise InputError(f"{path} is not a file")


def _read_config(run: Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load((run / CONFIG_FILE).read_text(encoding="utf-8"))
        return {
            "task": str(config["task"]),
            "model": str(config["model"]),
            "base": str(config.get("base", "")),
            "protocol": PROTOCOLS[PROTOCOLS.index(config["protocol"])],
            "seed": int(config["seed"]),
            "changes": dict(config["settings"]["task"]),
        }
    except FileNotFoundError:
        raise InputError(f"{run} is not a folder of a run: it has no {CONFIG_FILE}") from None
    except (yaml.YAMLError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{run / CONFIG_FILE} is damaged: {error}") from error
