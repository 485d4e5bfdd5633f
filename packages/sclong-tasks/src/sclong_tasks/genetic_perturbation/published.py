"""The paper's numbers on Norman's screen, by how many of the perturbed genes were seen."""

from sclong_tasks.task import PublishedNumber

_PAPER = "scLong, section on genetic perturbations, Fig. 2b"
_SCRIPTS = "the authors' plotting scripts as of November 2024 (commit c2ce68e), s.d. with ddof 0"
_PEARSON, _MSE = "pearson_delta_de_non_dropout", "mse_de_non_dropout"
_STRATA = ("seen 0/2", "seen 1/2", "seen 2/2", "seen 0/1")

_IN_TEXT = {
    (_PEARSON, "seen 0/1"): {
        "sclong": 0.625,
        "gears": 0.561,
        "Geneformer": 0.576,
        "scGPT": 0.577,
        "scFoundation": 0.581,
        "UCE": 0.530,
        "additive": 0.509,
        "no_change": -0.012,
    },
    (_MSE, "seen 0/2"): {
        "sclong": 0.170,
        "gears": 0.218,
        "Geneformer": 0.185,
        "scGPT": 0.199,
        "scFoundation": 0.190,
        "UCE": 0.276,
        "additive": 0.346,
        "no_change": 0.503,
    },
}
"""What the text says."""

_IN_SCRIPTS = {
    (_MSE, "gears"): ((0.2188, 0.0109), (0.2211, 0.0065), (0.1303, 0.0068), (0.1915, 0.0052)),
    (_MSE, "Geneformer"): ((0.1853, 0.0159), (0.2371, 0.0131), (0.1958, 0.0151), (0.1692, 0.0040)),
    (_MSE, "sclong"): ((0.1702, 0.0037), (0.2041, 0.0055), (0.1233, 0.0117), (0.1673, 0.0020)),
    (_PEARSON, "gears"): ((0.8615, 0.0098), (0.8192, 0.0122), (0.8552, 0.0148), (0.5612, 0.0133)),
    (_PEARSON, "Geneformer"): (
        (0.8599, 0.0048),
        (0.7999, 0.0084),
        (0.8057, 0.0343),
        (0.5755, 0.0128),
    ),
    (_PEARSON, "sclong"): ((0.8936, 0.0046), (0.8343, 0.0005), (0.8846, 0.0076), (0.6254, 0.0055)),
}
"""Mean and s.d. in the order of ``_STRATA``."""


def published_numbers() -> tuple[PublishedNumber, ...]:
    """The text's numbers, and those of the scripts where the text has none."""
    found = [
        PublishedNumber(model, "simulation", metric, value, _PAPER, stratum=stratum)
        for (metric, stratum), values in _IN_TEXT.items()
        for model, value in values.items()
    ]
    said = {(number.model, number.metric, number.stratum) for number in found}
    found += [
        PublishedNumber(model, "simulation", metric, value, _SCRIPTS, sd, stratum)
        for (metric, model), values in _IN_SCRIPTS.items()
        for stratum, (value, sd) in zip(_STRATA, values, strict=True)
        if (model, metric, stratum) not in said
    ]
    return tuple(found)
