"""Whether a model passes the bars that were fixed before it was trained."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sclong_bench.judging.measure import PRIMARY
from sclong_bench.judging.models import OWN_COMPONENTS
from sclong_bench.judging.references import COMPONENTS, PCA_50, VARIABLE_PCA_20
from sclong_bench.judging.run import JudgedRow

BEHIND = 0.02
"""A model may be this far behind the best reference on a single set."""


@dataclass(frozen=True)
class Bar:
    """One bar, and whether it is met."""

    words: str
    met: bool
    found: str
    """The numbers behind it."""


def averaged(rows: Sequence[JudgedRow], *, centred: bool, measure: str = PRIMARY) -> pd.DataFrame:
    """Models by sets: the mean over seeds; and the column ``mean`` over sets that all have."""
    table = pd.DataFrame(
        [(r.model, r.data, r.value) for r in rows if r.measure == measure and r.centred is centred],
        columns=["model", "data", "value"],
    )
    found = table.pivot_table(index="model", columns="data", values="value", sort=False)
    found["mean"] = found.mean(axis=1, skipna=False)
    return found


def bars(
    rows: Sequence[JudgedRow], model: str, *, centred: bool, mixing: bool = True
) -> Iterator[Bar]:
    """The bars of types, and of mixing where it was measured, for one model.

    Raises:
        KeyError: the model or a reference was not judged.
    """
    table = averaged(rows, centred=centred)
    names = [PCA_50, VARIABLE_PCA_20, *COMPONENTS]
    own = f"{model}, {OWN_COMPONENTS}"
    references = table.loc[[*names, own] if own in table.index else names]
    best, ours = references["mean"].idxmax(), table.loc[model]
    best_mean = float(references["mean"].max())
    yield Bar(
        "macro-F1 averaged over sets at least that of the best reference",
        bool(ours["mean"] >= best_mean),
        f"{ours['mean']:.3f}, {best} {best_mean:.3f}",
    )
    behind = (references.drop(columns="mean").max() - ours.drop("mean")).dropna()
    worst = str(behind.idxmax())
    yield Bar(
        f"on no set more than {BEHIND:.2f} behind the best reference",
        bool(behind.max() <= BEHIND),
        f"{worst} {behind.max():+.3f} behind",
    )
    for measure in ("cilisi", "bras") if mixing else ():
        mixed = averaged(rows, centred=centred, measure=measure).drop(columns="mean")
        gain = (mixed.loc[model] - mixed.loc[PCA_50]).dropna()
        types = (table.loc[model] - table.loc[PCA_50])[gain.index]
        yield Bar(
            f"batches mixed better than by PCA ({measure}) at no loss of types",
            bool(gain.mean() > 0 and types.mean() >= 0),
            f"{measure} {np.mean(gain):+.3f}, macro-F1 {np.mean(types):+.3f} on {len(gain)} sets",
        )
