"""Highly variable genes by dispersion, as Seurat's first way and scanpy's ``flavor="seurat"``."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.errors import ConfigError

_BINS = 20


def highly_variable(
    logged: npt.NDArray[np.floating], genes: int, bins: int = _BINS
) -> npt.NDArray[np.int64]:
    """Places of the most variable genes, ascending.

    Dispersion (variance over mean) of the values before log1p, logarithmic, standardised within
    bins of genes of like mean. Genes that never vary come last.

    Args:
        logged: log1p expression, ``(cells, genes)``.
        genes: how many; all, where there are fewer.
        bins: of the mean.

    Raises:
        ConfigError: fewer than one gene is asked for.
    """
    if genes < 1:
        raise ConfigError("the number of variable genes must be positive")
    values = np.expm1(logged.astype(np.float64))
    mean, variance = values.mean(0), values.var(0, ddof=min(1, len(values) - 1))
    mean = np.where(mean == 0, 1e-12, mean)
    dispersion = variance / mean
    dispersion[dispersion == 0] = np.nan
    table = pd.DataFrame({"mean": np.log1p(mean), "dispersion": np.log(dispersion)})
    groups = table.groupby(pd.cut(table["mean"], bins=bins), observed=True)["dispersion"]
    middle, spread = groups.transform("mean"), groups.transform("std")
    # A gene alone in its bin has no spread: it counts as 1 above.
    alone = spread.isna()
    middle, spread = middle.mask(alone, 0.0), spread.mask(alone, middle)
    score = ((table["dispersion"] - middle) / spread).to_numpy(na_value=np.nan)
    score = np.where(np.isfinite(score), score, -np.inf)
    order = np.argsort(-score, kind="stable")[: min(genes, len(score))]
    found: npt.NDArray[np.int64] = np.sort(order)
    return found
