"""Effects of genes and pairs on expression: measured ones of a screen.

Shapes: p pairs, g genes, k chosen genes.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from sclong_core.errors import InputError
from sclong_tasks.cache import digest_arrays, digest_of
from sclong_tasks.chemistry.molecules import shown
from sclong_tasks.genetic_interactions.config import FitSettings, InteractionSettings
from sclong_tasks.genetic_interactions.metrics import MEASURES, fit_pair, measures_of
from sclong_tasks.genetic_perturbation import data as screens
from sclong_tasks.genetic_perturbation.conditions import genes_of
from sclong_tasks.genetic_perturbation.config import GeneticPerturbationSettings
from sclong_tasks.genetic_perturbation.data import PerturbationData
from sclong_tasks.genetic_perturbation.models.simple import single_means
from sclong_tasks.genetic_perturbation.ranking import Moments, rank_genes
from sclong_tasks.task import Rows

_LOG = logging.getLogger("sclong")
Floats = npt.NDArray[np.float64]
_FEWEST = 3


@dataclass(frozen=True, eq=False)
class Profiles:
    """Changes against the mean of all control cells."""

    genes: tuple[str, ...]
    control: Floats
    """``(g,)`` mean of control cells."""
    singles: Mapping[str, Floats]
    """Effect of each gene perturbed alone, over all cells of both spellings: never hidden."""
    pairs: tuple[str, ...]
    effects: Floats
    """``(p, g)`` of the pairs; NaN where hidden."""
    chosen: tuple[npt.NDArray[np.int64], ...]
    """Genes that the fit of each pair rests on."""

    @property
    def digest(self) -> str:
        """SHA-256 over genes, effects and choice."""
        names = [list(self.genes), sorted(self.singles), list(self.pairs)]
        arrays = [self.singles[name] for name in sorted(self.singles)]
        return digest_of([names, digest_arrays(self.control, self.effects, *arrays, *self.chosen)])

    def hide(self, rows: Rows) -> Self:
        """Without the effects of these pairs."""
        effects = self.effects.copy()
        effects[rows] = np.nan
        return replace(self, effects=effects)

    def take(self, rows: Rows) -> Self:
        """Some of the pairs."""
        return replace(
            self,
            pairs=tuple(self.pairs[row] for row in rows),
            effects=self.effects[rows],
            chosen=tuple(self.chosen[row] for row in rows),
        )

    def for_pairs(self, pairs: Sequence[str]) -> Self:
        """Other pairs, whose effects are not known; all genes are chosen for new ones."""
        place = {name: self.chosen[row] for row, name in enumerate(self.pairs)}
        every = np.arange(len(self.genes))
        return replace(
            self,
            pairs=tuple(pairs),
            effects=np.full((len(pairs), len(self.genes)), np.nan),
            chosen=tuple(place.get(name, every) for name in pairs),
        )

    def measures(self, fit: FitSettings) -> Floats:
        """``(p, measures)`` of the pairs' own effects and the measured ones of their genes."""
        found = [
            measure_pair(self.singles, self.effects[row], name, self.chosen[row], fit)
            for row, name in enumerate(self.pairs)
        ]
        return np.array([[one[name] for name in MEASURES] for one in found])


def measure_pair(
    singles: Mapping[str, Floats],
    effect_g: Floats,
    pair: str,
    chosen_k: npt.NDArray[np.int64],
    fit: FitSettings,
) -> dict[str, float]:
    """All measures of one pair over chosen genes.

    Raises:
        InputError: the effect of one of its genes alone is not known.
    """
    lacking = [gene for gene in genes_of(pair) if gene not in singles]
    if lacking:
        raise InputError(f"{pair}: the effect of {' and '.join(lacking)} alone is not known")
    both = np.column_stack([singles[gene][chosen_k] for gene in genes_of(pair)])
    here = effect_g[chosen_k]
    found = fit_pair(both, here, method=fit.method, intercept=fit.intercept, draws=fit.draws)
    return measures_of(both, here, found)


def read_profiles(
    folder: Path, settings: InteractionSettings
) -> tuple[tuple[str, ...], Profiles, tuple[str, ...]]:
    """Pairs of a prepared screen, their profiles, and all conditions.

    Pairs of a gene that was never perturbed alone are left out by name.

    Raises:
        InputError: no pair is left, or the list of genes fits too few of the screen's.
    """
    options = GeneticPerturbationSettings(merge_spellings=settings.merge_spellings)
    data = screens.load(folder, options)
    every = np.arange(len(data.table))
    names, means = single_means(data, every)
    singles = {name: mean - data.control_mean for name, mean in zip(names, means, strict=True)}
    doubles = sorted({data.table["perturbation"][row] for row in every if _is_pair(data, int(row))})
    pairs = [name for name in doubles if all(gene in singles for gene in genes_of(name))]
    left = sorted(set(doubles) - set(pairs))
    if left:
        _LOG.info(
            "%d pairs are left out, a gene of which was never perturbed alone: %s",
            len(left), shown(left),
        )  # fmt: skip
    if not pairs:
        raise InputError(f"{folder.parent}: the screen has no pair whose genes are known alone")
    rows = [np.flatnonzero(data.table["perturbation"] == name) for name in pairs]
    cells = data.table["cells"].to_numpy()
    effects = [np.average(data.means[one], axis=0, weights=cells[one]) for one in rows]
    profiles = Profiles(
        genes=data.genes,
        control=data.control_mean,
        singles=singles,
        pairs=tuple(pairs),
        effects=np.array(effects) - data.control_mean,
        chosen=_chosen(data, rows, settings.fit),
    )
    return tuple(pairs), profiles, tuple(data.table["condition"])


def _is_pair(data: PerturbationData, row: int) -> bool:
    return len(data.targets[row]) == 2


def _chosen(
    data: PerturbationData, rows: Sequence[npt.NDArray[np.int64]], fit: FitSettings
) -> tuple[npt.NDArray[np.int64], ...]:
    if fit.genes == "all":
        return (np.arange(len(data.genes)),) * len(rows)
    if fit.genes == "listed":
        return (_listed(Path(fit.gene_list), data.genes),) * len(rows)
    control = Moments.of(data.control)
    if fit.ranked > len(data.genes):
        _LOG.info("all %d genes are taken, fewer than task.fit.ranked", len(data.genes))
    found = []
    for one in rows:
        row = int(one[0])
        if data.ranking is not None:
            order = data.ranking[row].astype(np.int64)
        else:
            order = rank_genes(Moments.of(data.cells_of(row)), control)
        found.append(order[: fit.ranked])
    return tuple(found)


def _listed(path: Path, genes: tuple[str, ...]) -> npt.NDArray[np.int64]:
    try:
        wanted = {line.strip() for line in path.read_text(encoding="utf-8").splitlines()} - {""}
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    found = np.array([place for place, gene in enumerate(genes) if gene in wanted], dtype=np.int64)
    absent = sorted(wanted - set(genes))
    if absent:
        _LOG.info("%d genes of %s are not measured: %s", len(absent), path, shown(absent))
    if len(found) < _FEWEST:
        raise InputError(f"{path} lists {len(found)} genes of the screen: too few for a fit")
    return found
