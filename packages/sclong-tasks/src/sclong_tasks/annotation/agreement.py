"""How labels that were told agree with those that the cells have."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import f1_score, roc_auc_score

from sclong_tasks.annotation.reference import has_label
from sclong_tasks.annotation.transfer import Annotation

_NAN = float("nan")


@dataclass(frozen=True)
class Agreement:
    """Told labels beside true ones."""

    cells: int
    """Cells with a true label that the reference has."""
    accuracy: float
    """Share of them whose nearest label is the true one; NaN without any."""
    macro_f1: float
    """F1 of the nearest label, averaged over true labels; NaN without any."""
    chance: float
    """Share of them that has the commonest true label."""
    covered: float
    """Share of them whose set of labels holds the true one."""
    labels_a_cell: float
    """Size of their sets of labels."""
    falsely_unknown: float
    """Share of them that are called unknown."""
    foreign: int
    """Cells with a true label that the reference lacks."""
    called_unknown: float
    """Share of those that are called unknown; NaN without any."""
    auroc_unknown: float
    """How well remoteness tells them from the others; NaN where one kind is missing."""
    confusion: pd.DataFrame
    """Cells by true label (rows) and told label (columns)."""


def compare_labels(found: Annotation, truth: npt.ArrayLike) -> Agreement:
    """Compare told labels with true ones; cells without one are left out.

    Args:
        found: by :func:`~sclong_tasks.annotation.transfer.annotate_vectors`.
        truth: of the same cells.
    """
    names = np.asarray(truth).astype(str)
    labelled = has_label(names)
    place = {name: code for code, name in enumerate(found.labels)}
    codes = np.array([place.get(name, -1) for name in names])
    ours, foreign = labelled & (codes >= 0), labelled & (codes < 0)
    told, true = found.nearest_label[ours], names[ours]
    known = bool(ours.any())
    return Agreement(
        cells=int(ours.sum()),
        accuracy=float((told == true).mean()) if known else _NAN,
        macro_f1=float(f1_score(true, told, average="macro", labels=np.unique(true)))
        if known
        else _NAN,
        chance=float(np.unique(true, return_counts=True)[1].max() / len(true)) if known else _NAN,
        covered=float(found.contained[np.flatnonzero(ours), codes[ours]].mean()) if known else _NAN,
        labels_a_cell=float(found.contained[ours].sum(1).mean()) if known else _NAN,
        falsely_unknown=float(found.unknown[ours].mean()) if known else _NAN,
        foreign=int(foreign.sum()),
        called_unknown=float(found.unknown[foreign].mean()) if foreign.any() else _NAN,
        auroc_unknown=float(roc_auc_score(foreign[labelled], found.remoteness[labelled]))
        if known and foreign.any()
        else _NAN,
        confusion=pd.crosstab(
            pd.Series(names[labelled], name="true"),
            pd.Series(found.table()["label"].astype(str).to_numpy()[labelled], name="told"),
        ),
    )
