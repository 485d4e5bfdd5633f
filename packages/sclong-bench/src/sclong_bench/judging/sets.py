"""Data sets that judge: their roles, their types and batches, read and cleaned."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import anndata
import numpy as np
import numpy.typing as npt
import pandas as pd
import yaml

from sclong_core.errors import ConfigError, InputError
from sclong_core.files import sha256_file
from sclong_tasks.cells import read_h5ad

Role = Literal["development", "report"]
LEAST_CELLS = 5
"""Types of fewer cells are left out: there are as many folds."""
_NO_LABEL = ("", "nan", "NA")


@dataclass(frozen=True)
class JudgingSet:
    """One data set of a file of sets.

    Raises:
        ConfigError: a value is impossible.
    """

    name: str
    role: Role
    path: str
    """Relative to the folder of data."""
    labels: str
    """Column of types."""
    sha256: str = ""
    study: str = ""
    batch: str = ""
    """Column of batches; empty where there are none."""
    rename: Mapping[str, str] = field(default_factory=dict)
    """Labels that are one type."""
    normalisation: Literal["auto", "raw", "log1p"] = "auto"
    trained_without: str = ""
    """A study of the corpus that is behind these cells: what judges them must not know it."""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        if self.role not in get_args(Role):
            raise ConfigError(f"{self.name}: role must be {' or '.join(get_args(Role))}")
        if self.normalisation not in ("auto", "raw", "log1p"):
            raise ConfigError(f"{self.name}: normalisation must be auto, raw or log1p")
        if Path(self.path).is_absolute() or ".." in Path(self.path).parts:
            raise ConfigError(f"{self.name}: path must be relative to the folder of data")


@dataclass(frozen=True, eq=False)
class LabelledCells:
    """Cells with types, and batches where there are any."""

    described: JudgingSet
    adata: anndata.AnnData
    types: npt.NDArray[np.str_]
    batches: npt.NDArray[np.str_] | None


def read_sets(path: Path) -> tuple[JudgingSet, ...]:
    """The sets of a YAML file, in its order.

    Raises:
        ConfigError: it is not a YAML file of sets.
        InputError: it cannot be read.
    """
    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not a YAML file: {' '.join(str(error).split())}") from error
    if not isinstance(read, dict) or not all(isinstance(one, dict) for one in read.values()):
        raise ConfigError(f"{path} is not a file of sets: give `name: {{role: ..., path: ...}}`")
    known = {one.name for one in dataclasses.fields(JudgingSet)} - {"name"}
    needed = {"role", "path", "labels"}
    for name, values in read.items():
        if wrong := set(values) - known:
            raise ConfigError(f"{path}: {name} has no setting {sorted(map(str, wrong))[0]!r}")
        if missing := needed - set(values):
            raise ConfigError(f"{path}: {name} lacks {', '.join(sorted(missing))}")
    return tuple(JudgingSet(name=str(name), **values) for name, values in read.items())


def read_labelled(chosen: JudgingSet, data: Path) -> LabelledCells:
    """Read the cells of a set that have a type of at least five cells.

    Raises:
        InputError: the file is missing, damaged, another one, or lacks a column.
    """
    path = data / chosen.path
    if not path.is_file():
        raise InputError(f"{chosen.name}: {path} does not exist: check --data")
    if chosen.sha256 and (found := sha256_file(path)) != chosen.sha256:
        raise InputError(f"{chosen.name}: {path} has SHA-256 {found}, not {chosen.sha256}")
    adata = read_h5ad(path)
    types = _column(adata.obs, chosen.labels, path).replace(dict(chosen.rename))
    often = types.map(types.value_counts()) >= LEAST_CELLS
    kept = (often & ~types.isin(_NO_LABEL)).to_numpy()
    if len(np.unique(types[kept])) < 2:
        raise InputError(f"{chosen.name}: {path} has fewer than two types of {LEAST_CELLS} cells")
    batches = _column(adata.obs, chosen.batch, path)[kept] if chosen.batch else None
    return LabelledCells(
        chosen,
        adata[kept].copy(),
        types[kept].to_numpy(dtype=str),
        None if batches is None else batches.to_numpy(dtype=str),
    )


def _column(obs: pd.DataFrame, name: str, path: Path) -> "pd.Series[Any]":
    if name not in obs:
        raise InputError(f"{path} has no column {name!r} in obs: it has {', '.join(obs.columns)}")
    values = obs[name].astype(object)
    return values.where(values.notna(), "").astype(str).str.strip()
