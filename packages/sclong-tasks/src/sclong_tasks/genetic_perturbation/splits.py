"""GEARS's split ``simulation``: genes are held out, alone and in pairs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sclong_tasks.genetic_perturbation.conditions import CONTROL, genes_of

SUBGROUPS = {
    "combo_seen0": "seen 0/2",
    "combo_seen1": "seen 1/2",
    "combo_seen2": "seen 2/2",
    "unseen_single": "seen 0/1",
}
"""GEARS's names of the groups of test conditions, and the paper's."""


@dataclass(frozen=True)
class Division:
    """Conditions taken apart by the genes they perturb."""

    train: tuple[str, ...]
    groups: dict[str, tuple[str, ...]]
    """Held-out conditions by the keys of :data:`SUBGROUPS`."""
    held_genes: tuple[str, ...]
    """Genes that no training condition perturbs."""

    @property
    def held(self) -> tuple[str, ...]:
        """All held-out conditions."""
        return tuple(name for group in self.groups.values() for name in group)


@dataclass(frozen=True)
class Simulation:
    """Training, validation and test conditions, without the control."""

    train: tuple[str, ...]
    validation: Division
    test: Division


def divide(
    conditions: Sequence[str], *, seed: int, gene_share: float, pair_share: float
) -> Division:
    """Hold out genes, every condition with one of them, and a part of the other pairs.

    Args:
        conditions: each once; the control is passed over.
        seed: of NumPy's older generator, which GEARS uses; it is set again for the pairs.
        gene_share: of the genes that may be trained on.
        pair_share: of the pairs of such genes that are trained on.
    """
    genes_by_name = {name: genes_of(name) for name in conditions if name != CONTROL}
    genes = sorted({gene for found in genes_by_name.values() for gene in found})
    known = set(_draw(genes, gene_share, seed))
    counts = {name: len(known.intersection(found)) for name, found in genes_by_name.items()}
    singles = [name for name, found in genes_by_name.items() if len(found) == 1]
    pairs = [name for name, found in genes_by_name.items() if len(found) == 2]
    both = sorted(name for name in pairs if counts[name] == 2)
    trained = _draw(both, pair_share, seed)
    groups = {
        "combo_seen0": tuple(name for name in pairs if counts[name] == 0),
        "combo_seen1": tuple(name for name in pairs if counts[name] == 1),
        "combo_seen2": tuple(name for name in both if name not in set(trained)),
        "unseen_single": tuple(name for name in singles if counts[name] == 0),
    }
    train = (*(name for name in singles if counts[name]), *trained)
    return Division(train, groups, tuple(gene for gene in genes if gene not in known))


def simulation(
    conditions: Sequence[str], *, seed: int, share: float = 0.75, validation_share: float = 0.9
) -> Simulation:
    """Divide into training and test, and the training part again the same way.

    Args:
        conditions: each once; the control is passed over.
        seed: of both divisions.
        share: of genes, and of pairs of them, that are trained on.
        validation_share: the same within the training part.
    """
    test = divide(conditions, seed=seed, gene_share=share, pair_share=share)
    validation = divide(
        test.train, seed=seed, gene_share=validation_share, pair_share=validation_share
    )
    return Simulation(validation.train, validation, test)


def _draw(names: Sequence[str], share: float, seed: int) -> list[str]:
    # GEARS's draws are those of NumPy's older generator.
    generator = np.random.RandomState(seed)
    return [str(name) for name in generator.choice(names, int(len(names) * share), replace=False)]
