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
        """``(edges, 2)`` places of ``Gene1`` and ``Gene2``; what differs by capitals is said.

        Raises:
            InputError: hardly a gene of the expression is in the network, nor the other way round.
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
        share = max(len(known) / len(names), known.nunique() / len(self.genes))
        if share < _FEW:
            raise InputError(
                f"{what}: {len(known)} of its {len(names)} genes are among the {len(self.genes)} "
                f"of the expression. Use the same kind of names on both sides: the network has "
                f"{shown(list(names), 3)}, the expression {shown(list(self.genes), 3)}"
            )
        return np.stack([place[edges[side]].to_numpy() for side in ("Gene1", "Gene2")], axis=1)
