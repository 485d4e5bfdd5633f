"""Models without a network: one vector of mean expression a condition, from means or a linear map.

Shapes: p conditions, g genes, k components.
"""

import json
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.errors import ConfigError, InputError
from sclong_core.files import write_json
from sclong_tasks.genetic_perturbation.data import PerturbationData, mean_of
from sclong_tasks.splits import Split
from sclong_tasks.task import NoOptions, ProtocolName, Rows, RunContext, TaskModel

Floats = npt.NDArray[np.float64]
Targets = tuple[str, ...]


class MeanModel(TaskModel[PerturbationData]):
    """A vector of expression for each set of perturbed genes."""

    Options: ClassVar[type] = NoOptions

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.arrays: dict[str, Floats] = {}
        """What was learnt."""
        self.names: dict[str, list[str]] = {}
        """Of the rows of arrays; "genes" are those of the data."""

    def fit(self, data: PerturbationData, split: Split, context: RunContext) -> None:
        """Learn from training conditions and all control cells."""
        del context
        self.names = {"genes": list(data.genes)}
        self.arrays = {"control": data.control_mean}
        self.learn(data, split.train)

    @abstractmethod
    def learn(self, data: PerturbationData, train: Rows) -> None:
        """Fill ``arrays`` and ``names``."""

    @abstractmethod
    def predict_one(self, targets: Targets) -> Floats:
        """``(g,)`` mean expression of cells in which these genes are perturbed."""

    def predict(self, data: PerturbationData, rows: Rows) -> pd.DataFrame:
        """One line a condition, one column a gene.

        Raises:
            InputError: the genes are not those that were trained on.
        """
        self.check_genes(data)
        found = [self.predict_one(data.targets[row]) for row in rows]
        values = np.array(found).reshape(len(rows), len(data.genes))
        return pd.DataFrame(values, index=rows, columns=list(data.genes))

    def check_genes(self, data: PerturbationData) -> None:
        """Refuse data of other genes."""
        if list(data.genes) != self.names["genes"]:
            raise InputError("the data have other genes than those that the model was fitted on")

    def save(self, folder: Path) -> None:
        """Arrays as npz, names as JSON."""
        np.savez_compressed(folder / "arrays.npz", allow_pickle=False, **self.arrays)
        write_json(folder / "names.json", self.names)

    @classmethod
    def load(cls, folder: Path, context: RunContext) -> Self:
        """Read what :meth:`save` wrote."""
        del context
        model = cls(cls.Options())
        model.names = json.loads((folder / "names.json").read_text(encoding="utf-8"))
        with np.load(folder / "arrays.npz", allow_pickle=False) as arrays:
            model.arrays = {name: arrays[name] for name in arrays.files}
        return model


def single_means(data: PerturbationData, rows: Rows) -> tuple[list[str], Floats]:
    """Genes perturbed alone in these conditions, and ``(p, g)`` means of their cells.

    Cells of both spellings of a condition are pooled.
    """
    sums: dict[str, Floats] = {}
    cells: dict[str, int] = {}
    counts = data.table["cells"].to_numpy()
    for row in rows:
        if len(data.targets[row]) == 1:
            gene = data.targets[row][0]
            sums[gene] = sums.get(gene, 0.0) + counts[row] * data.means[row]
            cells[gene] = cells.get(gene, 0) + int(counts[row])
    genes = sorted(sums)
    means = [sums[gene] / cells[gene] for gene in genes]
    return genes, np.array(means).reshape(len(genes), len(data.genes))


def look_up(names: Sequence[str], gene: str) -> int | None:
    """The place of a gene among names; None where it is not there."""
    return names.index(gene) if gene in names else None


@dataclass
class NoChangeOptions:
    """Of :class:`NoChange`."""

    control: str = "all"
    """"all" control cells, or as many drawn with replacement as the condition has cells ("drawn"),
    as published: their correlation with any change is noise of the draw."""

    def __post_init__(self) -> None:
        if self.control not in ("all", "drawn"):
            raise ConfigError(f"model.control must be all or drawn, not {self.control!r}")

    @classmethod
    def for_protocol(cls, protocol: ProtocolName) -> "NoChangeOptions":
        """As published: drawn."""
        return cls("drawn" if protocol == "published" else "all")


class NoChange(MeanModel):
    """Control cells as they are."""

    Options: ClassVar[type] = NoChangeOptions

    def fit(self, data: PerturbationData, split: Split, context: RunContext) -> None:
        """Remember the seed of the draws, and how they are made."""
        super().fit(data, split, context)
        self.arrays["seed"] = np.array([context.seed], dtype=np.float64)
        self.arrays["drawn"] = np.array([self.options.control == "drawn"], dtype=np.float64)

    def learn(self, data: PerturbationData, train: Rows) -> None:
        """Nothing beyond the control."""

    def predict_one(self, targets: Targets) -> Floats:
        """The mean of all control cells."""
        del targets
        return self.arrays["control"]

    def predict(self, data: PerturbationData, rows: Rows) -> pd.DataFrame:
        """The mean of control cells, all or drawn; all where the number of cells is not known."""
        found = super().predict(data, rows)
        if not self.arrays["drawn"][0]:
            return found
        for place, row in enumerate(rows):
            cells = int(data.table["cells"].iloc[row])
            if cells:
                generator = np.random.default_rng([int(self.arrays["seed"][0]), int(row)])
                drawn = generator.integers(data.control.shape[0], size=cells)
                found.iloc[place] = mean_of(data.control[drawn])
        return found


class TrainingMean(MeanModel):
    """The mean of all cells that may be seen: control cells and those of training conditions."""

    def learn(self, data: PerturbationData, train: Rows) -> None:
        """One vector."""
        counts = data.table["cells"].to_numpy()[train]
        control = data.control.shape[0]
        total = control * data.control_mean + counts @ data.means[train]
        self.arrays["mean"] = total / (control + counts.sum())

    def predict_one(self, targets: Targets) -> Floats:
        """The same for every condition."""
        del targets
        return self.arrays["mean"]


class PerturbedMean(TrainingMean):
    """The mean of the means of training conditions, without control."""

    def learn(self, data: PerturbationData, train: Rows) -> None:
        """One vector."""
        self.arrays["mean"] = data.means[train].mean(axis=0)


class MatchingMean(PerturbedMean):
    """The mean of what each of the genes does alone; the perturbed mean for a gene never seen."""

    def learn(self, data: PerturbationData, train: Rows) -> None:
        """One vector a gene."""
        super().learn(data, train)
        self.names["singles"], self.arrays["singles"] = single_means(data, train)

    def predict_one(self, targets: Targets) -> Floats:
        """The mean over genes."""
        found = []
        for gene in targets:
            place = look_up(self.names["singles"], gene)
            found.append(self.arrays["mean"] if place is None else self.arrays["singles"][place])
        mean: Floats = np.mean(found, axis=0)
        return mean


UNSEEN = ("mean", "linear", "zero")


@dataclass
class LinearOptions:
    """Of :class:`Linear`."""

    components: int = 10
    """Principal components that describe a gene."""
    ridge: float = 0.1
    """Penalty on both sides of the map."""

    def __post_init__(self) -> None:
        if self.components < 1 or self.ridge < 0:
            raise ConfigError("model.components must be positive, model.ridge not negative")


class Linear(MeanModel):
    """Change = G W p + b, as Ahlmann-Eltze et al. have it.

    ``G`` are principal components of genes over training conditions, ``p`` the sum of the rows of
    ``G`` of the perturbed genes, and ``b`` the mean change of training conditions, which is all
    that is known of a gene that is not measured. ``W`` is fitted by ridge regression.
    """

    Options: ClassVar[type] = LinearOptions

    def learn(self, data: PerturbationData, train: Rows) -> None:
        """Fit ``W``."""
        change_gp = (data.means[train] - data.control_mean).T
        mean_g = change_gp.mean(axis=1)
        centred_gp = data.means[train].T - data.means[train].T.mean(axis=0)
        left, singular, _ = np.linalg.svd(centred_gp, full_matrices=False)
        k = min(self.options.components, int((singular > 1e-9 * singular[0]).sum()))
        gene_gk = left[:, :k] * singular[:k]
        self.arrays |= {"genes": gene_gk, "mean": mean_g}
        self.place = {gene: number for number, gene in enumerate(data.genes)}
        known = [
            number
            for number, row in enumerate(train)
            if any(gene in self.place for gene in data.targets[row])
        ]
        targets = [data.targets[row] for row in np.asarray(train)[known]]
        code_pk = np.array([self.code(genes) for genes in targets]).reshape(len(known), k)
        rest_gp = change_gp[:, known] - mean_g[:, None]
        ridge_kk = self.options.ridge * np.eye(k)
        left_kp = np.linalg.solve(gene_gk.T @ gene_gk + ridge_kk, gene_gk.T @ rest_gp)
        right_kk = code_pk.T @ code_pk + ridge_kk
        self.arrays["map"] = left_kp @ code_pk @ np.linalg.pinv(right_kk)
        self.used = len(known)

    def code(self, targets: Targets) -> Floats:
        """``(k,)`` sum of the components of perturbed genes; those not measured add nothing."""
        genes_gk = self.arrays["genes"]
        places = [self.place[gene] for gene in targets if gene in self.place]
        found: Floats = genes_gk[places].sum(axis=0)
        return found

    def change(self, targets: Targets) -> Floats:
        """``(g,)`` against control."""
        found: Floats = (
            self.arrays["genes"] @ (self.arrays["map"] @ self.code(targets)) + self.arrays["mean"]
        )
        return found

    def predict_one(self, targets: Targets) -> Floats:
        """Control plus change."""
        found: Floats = self.arrays["control"] + self.change(targets)
        return found

    def check_genes(self, data: PerturbationData) -> None:
        """Refuse data of other genes, and find places of genes by name."""
        super().check_genes(data)
        self.place = {gene: number for number, gene in enumerate(data.genes)}

    def describe(self) -> dict[str, Any]:
        """How many components and conditions it rests on."""
        return {
            "components": int(self.arrays["genes"].shape[1]),
            "conditions_with_a_measured_gene": self.used,
        }


@dataclass
class AdditiveOptions(LinearOptions):
    """Of :class:`Additive`."""

    unseen: str = "mean"
    """What a gene does that was never perturbed alone: the "mean" of all training conditions, what
    the "linear" model says, or nothing ("zero")."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.unseen not in UNSEEN:
            raise ConfigError(f"model.unseen must be one of {', '.join(UNSEEN)}")


class Additive(Linear):
    """Control plus the sum of what each gene does alone: the additive model (ALM) of the paper.

    The paper does not say what it takes for genes that were never perturbed.
    """

    Options: ClassVar[type] = AdditiveOptions

    def learn(self, data: PerturbationData, train: Rows) -> None:
        """One vector a gene, and what stands in where there is none."""
        super().learn(data, train)
        self.names["unseen"] = [self.options.unseen]
        self.names["singles"], means_pg = single_means(data, train)
        self.arrays["singles"] = means_pg - data.control_mean

    def predict_one(self, targets: Targets) -> Floats:
        """Control plus changes."""
        found = self.arrays["control"].copy()
        for gene in targets:
            place = look_up(self.names["singles"], gene)
            found += self.unseen(gene) if place is None else self.arrays["singles"][place]
        return found

    def unseen(self, gene: str) -> Floats:
        """``(g,)`` change by a gene that was never perturbed alone."""
        way = self.names["unseen"][0]
        if way == "linear":
            return self.change((gene,))
        return self.arrays["mean"] if way == "mean" else np.zeros_like(self.arrays["mean"])

    def describe(self) -> dict[str, Any]:
        """How many genes it knows."""
        return {**super().describe(), "genes_perturbed_alone": len(self.names["singles"])}
