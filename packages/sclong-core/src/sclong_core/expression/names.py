"""Names of features as files hold them, without what tools and editors leave on them."""

import re

import pandas as pd

_REMAINS = "\ufeff\u200b\u00a0\x00 \t\r\n\"'"
"""Byte order marks, spaces, ends of lines of other systems, quotation marks."""
_LACKING = frozenset({"nan", "NaN", "<NA>", "None", "NaT"})
_GENOME = re.compile(
    r"(?P<genome>GRCh\d+|GRCm\d+|hg\d\d|mm\d{1,2}|Mmul_?\d+|rheMac\d+|Rnor_?[\d.]+|rn[67]|mRatBN7\.2"
    r"|GRCz\d+|danRer\d+|GRCg\d\w*|Sscrofa[\d.]+|susScr\d+|T2T[-_]?CHM13\w*|human|mouse"
    r"|Homo_sapiens|Mus_musculus)(_{1,}|-{1,}|[:.])(?P<name>.+)",
    re.IGNORECASE,
)


def clean_name(value: object) -> str:
    """A name without byte order marks, spaces and quotes around it; empty where it is missing."""
    if isinstance(value, str):
        text = value.strip(_REMAINS)
        return "" if text in _LACKING else text
    if value is None or value is pd.NA or value is pd.NaT:
        return ""
    text = str(value).strip(_REMAINS)
    return "" if text in _LACKING else text


def genome_prefix(name: str) -> tuple[str, str]:
    """The genome that a name begins with (``GRCh38_``, ``mm10___``), or "", and the rest."""
    found = _GENOME.fullmatch(name)
    return (found["genome"], found["name"]) if found else ("", name)


def is_text(column: pd.Series) -> bool:
    """Whether a column holds text, categories of text included."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return bool(pd.api.types.is_string_dtype(column.cat.categories))
    return bool(pd.api.types.is_string_dtype(column) or pd.api.types.is_object_dtype(column))
