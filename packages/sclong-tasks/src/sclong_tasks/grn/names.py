"""Genes of networks among those of the expression: the same name, or the same but for capitals."""

import logging
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.errors import InputError
from sclong_tasks.chemistry.molecules import shown

_LOG = logging.getLogger("sclong")
_FEW = 0.1
"""Where a smaller share of the genes on both sides is known to the other, names do not fit."""
_FEW_EDGES = 30
"""Nor do they where a smaller share of the edges, and fewer than this, are between known genes: a
few names fit by chance (C3, F3, H19), and a network cut to a few hundred genes keeps more."""


class GeneNames:
    """Finds genes by name.

    BEELINE writes the genes of mouse networks in capitals (SOX2), and those of mouse cells as usual
    (Sox2): what is the same but for capitals is the same gene, unless two genes are.

    Args:
        genes: of the expression, in their order.
    """

    def __init__(self, genes: Sequence[str]) -> None:
        self.genes = pd.Index(genes)
        folded: dict[str, int] = {}
        for place, gene in enumerate(genes):
            folded[str(gene).casefold()] = -1 if str(gene).casefold() in folded else place
        self._folded = folded

    def places(self, names: Iterable[str]) -> npt.NDArray[np.int64]:
        """Where each name is among the genes; -1 where it is not."""
        listed = list(names)
        found = np.asarray(self.genes.get_indexer(listed), dtype=np.int64)
        for at in np.flatnonzero(found < 0):
            found[at] = self._folded.get(str(listed[at]).casefold(), -1)
        return found

    def edges(self, what: str, edges: pd.DataFrame) -> npt.NDArray[np.int64]:
        """``(edges, 2)`` places of ``Gene1`` and ``Gene2``; what differs by capitals is reported.

        Raises:
            InputError: hardly a gene of the expression is in the network, nor the other way round,
                or hardly an edge is between genes of the expression.
        """
        names = pd.unique(pd.concat([edges["Gene1"], edges["Gene2"]]))
        place = pd.Series(self.places(names), index=names)
        known = place[place >= 0]
        spelled = [name for name, at in known.items() if self.genes[at] != name]
        if spelled:
            pairs = [f"{name} for {self.genes[place[name]]}" for name in spelled]
            _LOG.warning(
                "%s: %d of %d genes are those of the expression but for upper and lower case, and "
                "are taken for them (%s); if they are of another species, translate the names",
                what, len(spelled), len(names), shown(pairs),
            )  # fmt: skip
        both = np.stack([place[edges[side]].to_numpy() for side in ("Gene1", "Gene2")], axis=1)
        share = max(len(known) / len(names), known.nunique() / len(self.genes))
        kept = int((both >= 0).all(axis=1).sum())
        found = ""
        if share < _FEW:
            found = f"{len(known)} of its {len(names)} genes are among the {len(self.genes)}"
        elif 0 < kept < min(_FEW_EDGES, _FEW * len(both)):
            found = f"{kept} of its {len(both):,} edges are between genes"
        if found:
            absent = [name for name in names if place[name] < 0]
            raise InputError(
                f"{what}: {found} of the expression. Use the same kind of names on both sides, and "
                f"a network of these genes: the network has {shown(absent, 3)}, the expression "
                f"{shown(list(self.genes), 3)}"
            )
        return both
