"""How labels that were told agree with those that the cells have."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import f1_score, roc_auc_score

from sclong_tasks.annotation.reference import Reference
from sclong_tasks.annotation.transfer import NEIGHBOURS, Annotation, annotate_placed


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
    """Accuracy of the commonest label of the reference for all of them."""
    covered: float
    """Share of them whose set of labels holds the true one and that are not called unknown."""
    foreign: int
    """Cells with a true label that the reference lacks."""
    called_unknown: float
    """Share of those that are called unknown; NaN without any."""
    auroc_unknown: float
    """How well familiarity tells them from the others; NaN where one kind is missing."""
    confusion: pd.DataFrame
    """Cells by true label (rows) and told label (columns)."""


def compare_labels(found: Annotation, truth: npt.ArrayLike, reference: Reference) -> Agreement:
    """Compare told labels with true ones; cells with an empty one are left out.

    Args:
        found: by :func:`~sclong_tasks.annotation.transfer.annotate`.
        truth: of the same cells.
        reference: that told.
    """
    names = np.asarray(truth).astype(str)
    table = found.table()
    labelled = names != ""
    place = {name: code for code, name in enumerate(found.labels)}
    codes = np.array([place.get(name, -1) for name in names])
    ours, foreign = labelled & (codes >= 0), labelled & (codes < 0)
    commonest = found.labels[int(np.bincount(reference.codes).argmax())]
    best = found.best
    known = bool(ours.any())
    inside = found.contained[np.flatnonzero(ours), codes[ours]] & ~found.unknown[ours]
    both = bool(ours.any() and foreign.any())
    return Agreement(
        cells=int(ours.sum()),
        accuracy=float((best[ours] == names[ours]).mean()) if known else float("nan"),
        macro_f1=float(
            f1_score(names[ours], best[ours], average="macro", labels=np.unique(names[ours]))
        )
        if known
        else float("nan"),
        chance=float((names[ours] == commonest).mean()) if known else float("nan"),
        covered=float(inside.mean()) if known else float("nan"),
        foreign=int(foreign.sum()),
        called_unknown=float(found.unknown[foreign].mean()) if foreign.any() else float("nan"),
        auroc_unknown=float(roc_auc_score(foreign[labelled], -found.familiarity[labelled]))
        if both
        else float("nan"),
        confusion=pd.crosstab(
            pd.Series(names[labelled], name="true"),
            pd.Series(table["label"].to_numpy()[labelled], name="told"),
        ),
    )


def check_reference(reference: Reference, *, coverage: float) -> Agreement:
    """How the cells that do not vote are told: what to expect of cells like those."""
    held = reference.calibrates
    found = annotate_placed(
        reference.vectors[held], reference, coverage, NEIGHBOURS, allow_shift=False
    )
    return compare_labels(found, np.asarray(reference.labels)[reference.codes[held]], reference)
