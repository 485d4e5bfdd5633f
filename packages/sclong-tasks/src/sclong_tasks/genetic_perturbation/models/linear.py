"""Additive and linear models: what genes do alone, summed; and a low-rank map to genes never seen.

Shapes: p training conditions, g genes, k components.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sclong_core.errors import ConfigError
from sclong_tasks.genetic_perturbation.data import PerturbationData
from sclong_tasks.genetic_perturbation.models.base import (
    Floats,
    MeanModel,
    Targets,
    look_up,
    single_means,
)
from sclong_tasks.task import Rows

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
