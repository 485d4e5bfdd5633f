"""Without a network: means, no change, a linear model and nearest neighbours on fingerprints.

Shapes: r rows, f features, b bits, g genes, k groups.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.errors import ConfigError, InputError
from sclong_core.files import write_json
from sclong_tasks.cache import ContentCache
from sclong_tasks.chemical_perturbation.data import ChemicalData, Floats
from sclong_tasks.chemistry.fingerprints import morgan_fingerprints
from sclong_tasks.settings import as_plain, resolve
from sclong_tasks.splits import Split
from sclong_tasks.task import NoOptions, Rows, RunContext, TaskModel

Columns = tuple[str, ...]


class MeanModel(TaskModel[ChemicalData]):
    """The mean of the training profiles of a row's group; where there is none, of a larger one."""

    Options: ClassVar[type] = NoOptions
    by: ClassVar[tuple[Columns, ...]] = ()
    """Columns that make groups, the finest first; the mean of all rows is what is left."""

    genes: tuple[str, ...]
    means: dict[str, Floats]
    """Mean profile by the name of a group."""

    def fit(self, data: ChemicalData, split: Split, context: RunContext) -> None:
        """Take the means."""
        del context
        self.genes = data.genes
        self.means = {"": data.mean_profile(split.train)}
        for columns in self.by:
            names = _names(data, split.train, columns)
            for name in sorted(set(names)):
                self.means[name] = data.mean_profile(split.train[names == name])

    def predict(self, data: ChemicalData, rows: Rows) -> pd.DataFrame:
        """The mean of the finest known group."""
        check_genes(data, self.genes)
        candidates = [_names(data, rows, columns) for columns in self.by]
        found = np.empty((len(rows), len(self.genes)))
        for place in range(len(rows)):
            names = [str(names[place]) for names in candidates]
            known = next((name for name in names if name in self.means), "")
            found[place] = self.means[known]
        return pd.DataFrame(found, index=rows, columns=list(self.genes))

    def save(self, folder: Path) -> None:
        """Means as npz, names as JSON."""
        np.savez_compressed(folder / "means.npz", means=np.stack(list(self.means.values())))
        write_json(folder / "names.json", {"groups": list(self.means), "genes": list(self.genes)})

    @classmethod
    def load(cls, folder: Path, context: RunContext) -> Self:
        """Read what :meth:`save` wrote."""
        del context
        model = cls(cls.Options())
        names = json.loads((folder / "names.json").read_text(encoding="utf-8"))
        with np.load(folder / "means.npz", allow_pickle=False) as arrays:
            model.means = dict(zip(names["groups"], arrays["means"], strict=True))
        model.genes = tuple(names["genes"])
        return model

    def describe(self) -> dict[str, int]:
        """How many groups it knows."""
        return {"groups": len(self.means)}


class GeneMean(MeanModel):
    """The mean of all training profiles, for every row."""


class CellMean(MeanModel):
    """The mean of the training profiles of the cell line."""

    by: ClassVar[tuple[Columns, ...]] = (("cell_id",),)


class CellDoseMean(MeanModel):
    """The mean of the training profiles of the cell line at the dose."""

    by: ClassVar[tuple[Columns, ...]] = (("cell_id", "dose"), ("cell_id",))


class Zero(MeanModel):
    """No change."""

    def fit(self, data: ChemicalData, split: Split, context: RunContext) -> None:
        """There is nothing to learn."""
        del split, context
        self.genes = data.genes
        self.means = {"": np.zeros(len(data.genes))}


def check_genes(data: ChemicalData, genes: tuple[str, ...]) -> None:
    """Refuse data of other genes than those of the training.

    Raises:
        InputError: the genes differ.
    """
    if data.genes != genes:
        raise InputError("the data have other genes than those that the model was fitted on")


def _names(data: ChemicalData, rows: Rows, columns: Columns) -> npt.NDArray[np.str_]:
    table = data.table.iloc[rows]
    names = table[list(columns)].astype(str).agg("\t".join, axis=1)
    found: npt.NDArray[np.str_] = names.to_numpy().astype(str)
    return found


@dataclass
class FingerprintOptions:
    """Of all models here."""

    bits: int = 1024
    """Of the Morgan fingerprint."""
    radius: int = 2
    """Of the Morgan fingerprint."""


class FingerprintModel(TaskModel[ChemicalData]):
    """What models of fingerprints share: arrays and names that are saved."""

    Options: ClassVar[type] = FingerprintOptions
    cache: Path | None = None

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.arrays: dict[str, npt.NDArray[Any]] = {}
        """What was learnt."""
        self.names: dict[str, list[str]] = {}
        """Genes, and the cell lines of the training rows."""

    def bits(self, data: ChemicalData, rows: Rows) -> Floats:
        """``(r, b)`` fingerprints of the compounds of rows."""
        found = morgan_fingerprints(
            data.molecules,
            radius=self.options.radius,
            bits=self.options.bits,
            cache=ContentCache(self.cache),
        )
        return np.asarray(found, dtype=np.float64)[data.drug[rows]]

    def save(self, folder: Path) -> None:
        """Arrays as npz, names and options as JSON."""
        np.savez_compressed(folder / "arrays.npz", allow_pickle=False, **self.arrays)
        write_json(folder / "facts.json", {"names": self.names, "options": as_plain(self.options)})

    @classmethod
    def load(cls, folder: Path, context: RunContext) -> Self:
        """Read what :meth:`save` wrote."""
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        model = cls(resolve(cls.Options, context.protocol, facts["options"], "model"))
        model.names, model.cache = facts["names"], context.cache
        with np.load(folder / "arrays.npz", allow_pickle=False) as arrays:
            model.arrays = {name: arrays[name] for name in arrays.files}
        return model


@dataclass
class LinearOptions(FingerprintOptions):
    """Of the linear model."""

    alpha: float = 100.0
    """Ridge penalty."""

    def __post_init__(self) -> None:
        if self.alpha <= 0:
            raise ConfigError("model.alpha must be positive")


class Linear(FingerprintModel):
    """Ridge regression of every gene on fingerprint, cell line, log dose and their products.

    The products are of log dose and fingerprint, so that a compound can do more at a higher dose.
    """

    Options: ClassVar[type] = LinearOptions

    def fit(self, data: ChemicalData, split: Split, context: RunContext) -> None:
        """Solve for all genes at once; the mean profile is not penalised."""
        self.cache = context.cache
        rows = split.train
        lines = sorted(set(data.table["cell_id"].iloc[rows]))
        self.names = {"genes": list(data.genes), "lines": lines}
        dose = data.log_dose[rows]
        spread = float(dose.std())
        self.arrays["dose"] = np.array([dose.mean(), spread if spread > 1e-9 else 1.0])
        features = self._features(data, rows)
        mean = features.mean(axis=0)
        centred = features - mean
        target = data.values[rows].astype(np.float64)
        base = data.mean_profile(rows)
        # Fewer rows than features is the usual case: the dual form is the smaller one.
        gram = centred @ centred.T + self.options.alpha * np.eye(len(rows))
        self.arrays |= {
            "mean": mean,
            "base": base,
            "weights": centred.T @ np.linalg.solve(gram, target - base),
        }

    def predict(self, data: ChemicalData, rows: Rows) -> pd.DataFrame:
        """Mean profile plus what the features add."""
        check_genes(data, tuple(self.names["genes"]))
        centred = self._features(data, rows) - self.arrays["mean"]
        found = self.arrays["base"] + centred @ self.arrays["weights"]
        return pd.DataFrame(found, index=rows, columns=self.names["genes"])

    def _features(self, data: ChemicalData, rows: Rows) -> Floats:
        bits = self.bits(data, rows)
        mean, spread = self.arrays["dose"]
        dose = ((data.log_dose[rows] - mean) / spread)[:, None]
        place = {name: number for number, name in enumerate(self.names["lines"])}
        lines = np.zeros((len(rows), len(place)))
        for row, name in enumerate(data.table["cell_id"].iloc[rows]):
            if name in place:
                lines[row, place[name]] = 1.0
        return np.concatenate([bits, bits * dose, lines, dose], axis=1)


@dataclass
class NeighbourOptions(FingerprintOptions):
    """Of nearest neighbours."""

    neighbours: int = 5
    """Compounds that are averaged."""

    def __post_init__(self) -> None:
        if self.neighbours < 1:
            raise ConfigError("model.neighbours must be at least 1")


class Neighbours(FingerprintModel):
    """Profiles of the most similar training compounds, weighted by Tanimoto similarity.

    Of each compound the profile in the same cell line at the nearest dose is taken; all cell lines
    where the row's own was not trained on.
    """

    Options: ClassVar[type] = NeighbourOptions

    def fit(self, data: ChemicalData, split: Split, context: RunContext) -> None:
        """Keep the training profiles."""
        self.cache = context.cache
        rows = split.train
        self.names = {
            "genes": list(data.genes),
            "lines": list(map(str, data.table["cell_id"].iloc[rows])),
            "compounds": list(map(str, data.compound[rows])),
        }
        self.arrays = {
            "bits": self.bits(data, rows).astype(np.uint8),
            "log_dose": data.log_dose[rows],
            "values": data.values[rows],
        }

    def predict(self, data: ChemicalData, rows: Rows) -> pd.DataFrame:
        """Weighted mean over neighbours."""
        check_genes(data, tuple(self.names["genes"]))
        similarity = tanimoto(self.bits(data, rows), self.arrays["bits"].astype(np.float64))
        lines, compounds = np.array(self.names["lines"]), np.array(self.names["compounds"])
        found = np.empty((len(rows), len(self.names["genes"])))
        for place, row in enumerate(rows):
            here = np.flatnonzero(lines == data.table["cell_id"].iloc[int(row)])
            here = here if len(here) else np.arange(len(lines))
            away = np.abs(self.arrays["log_dose"][here] - data.log_dose[int(row)])
            # The most similar first, among equals the nearest dose; then one row a compound.
            order = here[np.lexsort((away, -similarity[place, here]))]
            _, first = np.unique(compounds[order], return_index=True)
            chosen = order[np.sort(first)[: self.options.neighbours]]
            weight = similarity[place, chosen] + 1e-6
            found[place] = weight @ self.arrays["values"][chosen].astype(np.float64) / weight.sum()
        return pd.DataFrame(found, index=rows, columns=self.names["genes"])


def tanimoto(one: Floats, other: Floats) -> Floats:
    """``(rows, other rows)`` shared bits over all bits; 0 where neither has any."""
    shared = one @ other.T
    every = one.sum(1)[:, None] + other.sum(1)[None, :] - shared
    found: Floats = np.divide(shared, every, out=np.zeros_like(shared), where=every > 0)
    return found
