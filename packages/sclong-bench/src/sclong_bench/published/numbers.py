"""Looking up what was published for a task, metric and model, whatever the spelling."""

import re
from functools import cache

import pandas as pd

from sclong_bench.published.build import PARQUET

_ALIASES = {
    # tasks
    "perturbation": "geneticperturbation",
    "interactions": "geneticinteractions",
    "geneticinteraction": "geneticinteractions",
    "chemical": "chemicalperturbation",
    "integration": "batchintegration",
    "markers": "markerclustering",
    "markergenes": "markerclustering",
    "generegulatorynetworks": "grn",
    # models
    "additive": "alm",
    "sclongnolowexpression": "woleg",
    "sclongrandomlowexpression": "randomleg",
    "sclongnograph": "wogo",
    "sclongrandomgraph": "randomgo",
    "linearmodel": "linear",
    "gograph": "graph",
    # metrics
    "rocauc": "auroc",
    "aupr": "auprratio",
    "asw": "batchasw",
}
_SHOWN = ("paper", "history")
"""Origins that a table shows, the best first. A history is shown only where the paper is silent."""


@cache
def published() -> pd.DataFrame:
    """All published numbers."""
    return pd.read_parquet(PARQUET)


def key(name: str) -> str:
    """A name without case, spaces and signs, and with its usual synonyms taken together."""
    bare = re.sub(r"[^a-z0-9]", "", name.casefold())
    return _ALIASES.get(bare, bare)


def published_results(
    task: str, metric: str, scenario: str = "", stratum: str = ""
) -> pd.DataFrame:
    """What was published for one metric, a row a model; the paper's own number where it has one.

    Args:
        task: as results name it.
        metric: the same.
        scenario: where the paper has several; one that it does not know finds what it gives
            without a scenario, or, if it has a single one, that.
        stratum: part of the test rows; where it is given, numbers of this part alone.
    """
    found = published()
    found = found[found["kind"].eq("result") & found["origin"].isin(_SHOWN)]
    found = found[found["task"].map(key).eq(key(task)) & found["metric"].map(key).eq(key(metric))]
    scenarios = list(dict.fromkeys(found["scenario"]))
    if stratum:
        found = found[found["scenario"].map(key).eq(key(stratum))]
    elif len(scenarios) > 1 or key(scenario) in map(key, scenarios):
        found = found[found["scenario"].map(key).eq(key(scenario))]
    order = found["origin"].map(_SHOWN.index)
    names = found["model"].map(key)
    return (
        found.assign(key=names).loc[order.sort_values(kind="stable").index].drop_duplicates("key")
    )
