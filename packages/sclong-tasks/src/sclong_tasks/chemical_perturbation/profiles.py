"""What every file of profiles is read into, and how its fields are understood.

L1000 files name the same things differently: by ``pert_iname`` or ``cmap_name``, by a dose with its
unit or by ``pert_idose``. Times and doses are numbers here, hours and micromolar.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.errors import InputError
from sclong_tasks.chemistry.molecules import shown
from sclong_tasks.task import Rows

Values = npt.NDArray[np.float32]
COLUMNS = ("profile", "pert_id", "drug", "pert_type", "cell_id", "dose", "hours", "plate", "part")
VEHICLE = "ctl_vehicle"
MISSING = ("", "-666", "-666.0", "nan", "NaN", "NA", "na", "None")
"""How L1000 files say that nothing is known."""
_NAMES: Mapping[str, tuple[str, ...]] = {
    "pert_id": ("pert_id",),
    "drug": ("pert_iname", "cmap_name"),
    "pert_type": ("pert_type",),
    "cell_id": ("cell_id", "cell_iname"),
    "plate": ("rna_plate", "det_plate", "brew_prefix"),
    "smiles": ("canonical_smiles", "SMILES", "smiles"),
}
"""Fields by the names that they go by, the first one that says anything is taken."""
_REQUIRED = ("pert_id", "cell_id")
_SYMBOLS = ("pr_gene_symbol", "gene_symbol")
_LANDMARK = ("pr_is_lm", "pr_is_lmark", "is_lm", "feature_space")
_YES = ("1", "1.0", "Y", "True", "true", "landmark")
_UNITS = {"um": 1.0, "µm": 1.0, "μm": 1.0, "<b5>m": 1.0, "nm": 1e-3, "mm": 1e3, "pm": 1e-6}
_DOSE = re.compile(r"([0-9.]+(?:[eE][-+]?\d+)?)\s*(\S+)?")
_HOURS = re.compile(r"([0-9.]+)\s*(h|hr|hrs|hours?)?", re.IGNORECASE)
_HOURS_IN_NAME = re.compile(r"_(\d+(?:\.\d+)?)H(?=[_:]|$)")


@dataclass(frozen=True, eq=False)
class Profiles:
    """Profiles of a file: what they are, and how their values are read."""

    table: pd.DataFrame
    """One line each, the columns of ``COLUMNS``; dose and hours NaN where they are not known."""
    genes: tuple[str, ...]
    """Symbols, each once."""
    read: Callable[[Rows], Iterator[Values]]
    """Blocks ``(some, genes)`` of the values of these rows, in order."""
    smiles: Mapping[str, str] = field(default_factory=dict)
    """SMILES by pert_id, where the file holds them."""


def parse_dose(text: str) -> float:
    """Micromolar of "1.11 um", "500 nM", "10 µM"; NaN of what is not a dose."""
    found = _DOSE.fullmatch(text.strip())
    unit = (found[2] or "um").lower() if found else ""
    if found is None or unit not in _UNITS:
        return float("nan")
    try:
        return float(f"{float(found[1]) * _UNITS[unit]:.6g}")
    except ValueError:
        return float("nan")


def parse_hours(text: str) -> float:
    """Hours of "24 h" and "24"; NaN of what is not a time."""
    found = _HOURS.fullmatch(text.strip())
    try:
        return float(found[1]) if found else float("nan")
    except ValueError:
        return float("nan")


def hours_in_name(name: str) -> float:
    """Hours in the name of a plate or signature, "24" of "CPC006_A375_24H:BRD-..."; else NaN."""
    found = _HOURS_IN_NAME.search(name)
    return float(found[1]) if found else float("nan")


def profile_table(path: Path, names: Sequence[str], fields: pd.DataFrame) -> pd.DataFrame:
    """The columns of ``COLUMNS`` and ``smiles``, from the fields of a file.

    Args:
        path: for messages.
        names: of the profiles.
        fields: one line a profile, of text.

    Raises:
        InputError: a field that is needed is missing, or a profile occurs twice.
    """
    text = fields.astype(str).map(str.strip)
    missing = [name for name in _REQUIRED if not set(_NAMES[name]) & set(text.columns)]
    if missing:
        raise InputError(
            f"{path} does not say {' and '.join(missing)} of its profiles: it has the fields "
            f"{shown(sorted(map(str, text.columns)))}; give sig_info.txt beside it"
        )
    index = pd.Index(list(names))
    if index.has_duplicates:
        raise InputError(f"{path}: the profile {index[index.duplicated()][0]!r} occurs twice")
    found = {"profile": list(names), **{name: _field(text, name) for name in _NAMES}}
    table = pd.DataFrame(found)
    if not set(_NAMES["pert_type"]) & set(text.columns):
        table["pert_type"] = "trt_cp"
    table["dose"] = _doses(text)
    table["hours"] = _hours(text, names)
    return table.assign(part="")[[*COLUMNS, "smiles"]]


def _field(text: pd.DataFrame, name: str) -> list[str]:
    found = pd.Series("", index=text.index)
    for column in _NAMES[name]:
        if column in text:
            known = ~text[column].isin(MISSING)
            found = found.mask((found == "") & known, text[column])
    return list(found)


def _doses(text: pd.DataFrame) -> list[float]:
    if "pert_idose" in text:
        return [parse_dose(one) for one in text["pert_idose"]]
    if "pert_dose" in text:
        units = text.get("pert_dose_unit", pd.Series("um", index=text.index))
        pairs = zip(text["pert_dose"], units, strict=True)
        return [
            float("nan") if dose in MISSING else parse_dose(f"{dose} {unit}")
            for dose, unit in pairs
        ]
    return [float("nan")] * len(text)


def _hours(text: pd.DataFrame, names: Sequence[str]) -> list[float]:
    for column in ("pert_itime", "pert_time"):
        if column in text:
            return [parse_hours(one) for one in text[column]]
    return [hours_in_name(name) for name in names]


@dataclass(frozen=True)
class GeneChoice:
    """Which genes of a file are taken, and their symbols."""

    places: Rows
    symbols: tuple[str, ...]


def choose_genes(
    path: Path, ids: Sequence[str], fields: pd.DataFrame, wanted: Sequence[str] = ()
) -> GeneChoice:
    """The landmark genes of a file.

    Args:
        path: for messages.
        ids: of all genes of the file.
        fields: one line a gene, of text: symbols, and which are landmarks, where it is stated.
        wanted: symbols to take, in this order, where the fields do not say which are landmarks.

    Raises:
        InputError: it cannot be told which genes are landmarks, or one occurs twice.
    """
    text = fields.astype(str)
    symbols = next((list(text[name]) for name in _SYMBOLS if name in text), list(ids))
    landmark = next((text[name].isin(_YES) for name in _LANDMARK if name in text), None)
    places = np.arange(len(ids))
    if landmark is not None and landmark.any():
        places = np.flatnonzero(landmark.to_numpy())
    elif wanted and len(ids) > len(wanted):
        position = {symbol: place for place, symbol in enumerate(symbols)}
        absent = [symbol for symbol in wanted if symbol not in position]
        if absent:
            raise InputError(f"{path} lacks {len(absent)} landmark genes: {shown(absent)}")
        places = np.array([position[symbol] for symbol in wanted])
    elif len(ids) > _LARGEST:
        raise InputError(
            f"{path} has {len(ids)} genes and does not say which are landmarks: give gene_info.txt "
            "or gene_vector.csv beside it"
        )
    chosen = pd.Index([symbols[place] for place in places])
    if chosen.has_duplicates:
        raise InputError(f"{path}: the gene {chosen[chosen.duplicated()][0]!r} occurs twice")
    return GeneChoice(places.astype(np.int64), tuple(map(str, chosen)))


_LARGEST = 1000
"""Genes that a file may have without saying which are landmarks: 978 and some controls."""


def check_finite(path: Path, values: Values, names: Sequence[str], genes: Sequence[str]) -> None:
    """Refuse values that are not numbers.

    Raises:
        InputError: names the first by profile and gene.
    """
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        row, gene = wrong[0]
        raise InputError(
            f"{path}: profile {names[row]!r} has no number for gene {genes[gene]} "
            f"({len(wrong)} such values)"
        )
