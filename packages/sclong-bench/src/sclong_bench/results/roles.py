"""What each model is in a comparison: the reference, a floor, a ceiling, ...

A number can only be read beside what is reached without any model, and beside what can be reached
at most. The role stands in the column "role" of the results, or follows from the model's name.
"""

import re
from collections.abc import Mapping

import pandas as pd

from sclong_bench.published.numbers import key
from sclong_bench.results.schema import LABEL
from sclong_core.errors import InputError

ROLES = ("reference", "model", "ablation", "simple", "floor", "ceiling")
"""In the order of tables. "floor" has seen nothing of what the metric is about, or has no learnt
representation; "simple" learns, but little; "ceiling" is as good as the data allow."""
BASELINES = {
    "drug_response": ("drug_line_offsets", "ridge_pca", "linear", "drug_mean"),
    "drug_combination": (
        *("gradient_boosting", "random_forest", "logistic_regression", "drug_prior", "pair_prior"),
    ),
    "genetic_perturbation": ("linear", "additive", "perturbed_mean", "training_mean"),
    "genetic_interactions": ("additive", "gene_effects"),
    "chemical_perturbation": ("linear", "knn", "cell_dose_mean"),
    "batch_integration": ("hvg", "pca", "raw"),
    "grn": ("correlation", "genie3", "partial_correlation"),
    "marker_clustering": ("correlation", "expression_cosine"),
}
"""The simple methods of each task that a reference is taken from, the first choice first.

Some are known from the literature to be (effects of drugs and lines that add up: Nat Commun 2026,
10.1038/s41467-026-72903-w; linear models of perturbations: Nat Methods 2025,
10.1038/s41592-025-02772-6; variable genes: Genome Biol 2025, 26:101). The order stands before any
result is read: one by results would be a selection on test data.
"""

_CEILINGS = re.compile(r"ceiling|oracle|duplicate|labelembedding|truth")
_FLOORS = re.compile(
    r"(?:global|training|perturbed|matching|drug|line|cellline|gene|cell|celldose|type|pair)?mean|"
    r"nochange|zero|constant|constantandnoise|majority|chance|random|identity|noise|sclongpermuted|"
    r"(?:shuffled|permuted|untrained|random)"
    r"(?:sclong\w*|embedding|representation|vectors|pca|labels|cells)?|"
    r"druglineoffsets|lowrank|(?:drug|pair|cell|line)prior"
)
_SIMPLE = re.compile(
    r"alm|additive|linear\w*|ridge\w*|lasso|elasticnet|logistic\w*|pca\d*|hvg|raw|scvi|harmony|knn|"
    r"randomforest|gradientboosting|boosting|correlation|partialcorrelation|genie3|grnboost2|"
    r"gograph|graph|gene2vec\w*|expressioncosine|geneeffects|fitness\w+"
)
_ABLATIONS = re.compile(
    r"wo(?:leg|go)|random(?:leg|go)|sclong(?:no|without|random|shuffled)(?!init)\w+|sclongsingleencoder|"
    r"sclongtop\d+"
)


def role_of(model: str) -> str:
    """The role that a name suggests."""
    name = key(model)
    if _CEILINGS.search(name):
        return "ceiling"
    for role, pattern in (("floor", _FLOORS), ("simple", _SIMPLE), ("ablation", _ABLATIONS)):
        if pattern.fullmatch(name):
            return role
    return "model"


def roles(rows: pd.DataFrame, declared: Mapping[str, str] | None = None) -> dict[str, str]:
    """The role of each label in a table of results, whether or not others are compared with it.

    Args:
        rows: the table.
        declared: roles by model, which come first; then those of the table, then names.

    Raises:
        InputError: a role that there is not.
    """
    found: dict[str, str] = {}
    for _, row in rows.drop_duplicates([LABEL, "role"]).iterrows():
        name = row[LABEL]
        role = (declared or {}).get(row["model"]) or (declared or {}).get(name) or row["role"]
        if role and role not in ROLES:
            raise InputError(
                f"the role {role!r} of {name} is unknown: choose one of {', '.join(ROLES)}"
            )
        found[name] = found.get(name) or role
    return {name: role or role_of(name.partition(" (")[0]) for name, role in found.items()}
