"""Made-up tables in Norman's formats, with a signal to find: for tests.

The fitter a pair is than its genes would have it, the smaller its magnitude.
"""

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from sclong_tasks.genetic_interactions import data as files
from sclong_tasks.genetic_interactions.reading import NEGATIVE


def write_norman_example(folder: Path, *, genes: int = 16, seed: int = 0) -> Path:
    """Write published measures, classes, fitness and conditions of all pairs of some genes."""
    generator = np.random.default_rng(seed)
    names = [f"G{number}" for number in range(genes)]
    pairs = list(combinations(names, 2))
    alone = dict(zip(names, generator.uniform(-0.5, 0, genes), strict=True))
    extra = generator.normal(0, 0.2, len(pairs))
    size = np.clip(1 - 2 * extra + generator.normal(0, 0.05, len(pairs)), 0.05, None)
    angle = generator.uniform(0.3, 1.2, len(pairs))
    first, second = size * np.cos(angle), size * np.sin(angle)
    folder.mkdir(parents=True, exist_ok=True)
    fits = pd.DataFrame({"name": [f"{one}_{other}" for one, other in pairs]})
    for kind in ("coef", "ts_coef"):
        fits[f"{kind}_first"], fits[f"{kind}_second"] = first, second
    for name in ("corr_fit", "dcor", "dcor_first", "dcor_second", "dcor_singles"):
        fits[name] = generator.uniform(0.2, 1, len(pairs))
    fits.to_csv(folder / files.FITS, index=False)
    order = np.argsort(size)
    named = {
        "SUPPRESSOR": order[:8],
        "ADDITIVE": order[len(order) // 2 : len(order) // 2 + 8],
        "SYNERGY_SIMILAR_PHENO": order[-8:],
    }
    lines = [(kind, "+".join(pairs[row])) for kind, rows in named.items() for row in rows]
    pd.DataFrame(lines, columns=["gi_class", "pair"]).to_csv(folder / files.CLASSES, index=False)
    fitness = pd.DataFrame(0.0, index=[*names, NEGATIVE], columns=[*names, NEGATIVE])
    for (one, other), difference in zip(pairs, extra, strict=True):
        fitness.loc[one, other] = fitness.loc[other, one] = alone[one] + alone[other] + difference
    for name, value in alone.items():
        fitness.loc[name, NEGATIVE] = fitness.loc[NEGATIVE, name] = value
    fitness.rename_axis("gene").to_csv(folder / files.FITNESS)
    conditions = ["ctrl 500", *(f"{name}+ctrl 50" for name in names)]
    conditions += [f"{one}+{other} 50" for one, other in pairs]
    (folder / files.CONDITIONS).write_text(";".join(conditions), encoding="utf-8")
    return folder
