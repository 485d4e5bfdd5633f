"""A user's table of what to predict: compounds at doses in cell lines."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from sclong_core.errors import InputError
from sclong_tasks.chemical_perturbation.data import LABELS, ChemicalData
from sclong_tasks.chemical_perturbation.profiles import parse_dose
from sclong_tasks.chemistry.molecules import read_molecules, shown


def read_conditions(inputs: Mapping[str, Path], known: ChemicalData) -> ChemicalData:
    """Rows to predict.

    The table has a column ``cell_id``, a column ``dose`` or ``pert_idose`` (micromolar where it has
    no unit), and a column ``pert_id`` of known compounds, or ``smiles``, or both.

    Raises:
        InputError: a column is missing, or a compound, dose or cell line cannot be understood.
    """
    if "conditions" not in inputs:
        raise InputError("give a table of conditions: --input conditions=FILE")
    path = inputs["conditions"]
    table = _read(path)
    dose = next((name for name in ("dose", "pert_idose") if name in table), None)
    if "cell_id" not in table or dose is None or not {"pert_id", "smiles"} & set(table.columns):
        raise InputError(
            f"{path} needs the columns cell_id, dose (or pert_idose), and pert_id or smiles"
        )
    if table.empty:
        raise InputError(f"{path} has no rows")
    doses = np.array([parse_dose(text) for text in table[dose]])
    wrong = np.flatnonzero(~(doses > 0))
    if len(wrong):
        raise InputError(
            f"{path}: {len(wrong)} doses are not positive numbers, "
            f"{table[dose][int(wrong[0])]!r} in line {int(wrong[0]) + 2} the first"
        )
    empty = np.flatnonzero(table["cell_id"] == "")
    if len(empty):
        raise InputError(f"{path}, line {int(empty[0]) + 2}: cell_id is empty")
    smiles, names = _smiles(path, table, known)
    rows = pd.DataFrame(
        {
            "profile": [f"row {number}" for number in range(1, len(table) + 1)],
            "pert_id": names,
            "drug": table.get("drug", ""),
            "cell_id": table["cell_id"],
            "dose": doses,
            "hours": float(known.table["hours"].iloc[0]),
            "replicates": 0,
            "part": "",
        }
    )
    values = np.full((len(rows), len(known.genes)), np.nan, np.float32)
    return ChemicalData(
        rows[list(LABELS)], values, known.genes, read_molecules(smiles), known.gene_vectors
    )


def _smiles(
    path: Path, table: pd.DataFrame, known: ChemicalData
) -> tuple[dict[str, str], list[str]]:
    """SMILES by name, and the name of each row's compound."""
    given = list(table["smiles"]) if "smiles" in table else [""] * len(table)
    names = list(table["pert_id"]) if "pert_id" in table else given
    names = [name or text for name, text in zip(names, given, strict=True)]
    there = {one.name: one.smiles for one in known.molecules.molecules}
    found: dict[str, str] = {}
    for row, (name, text) in enumerate(zip(names, given, strict=True)):
        smiles = text or there.get(name, "")
        if found.setdefault(name, smiles) != smiles:
            raise InputError(f"{path}, line {row + 2}: {name} has two SMILES")
    missing = [name for name, text in found.items() if not text]
    if missing:
        raise InputError(
            f"{path}: {len(missing)} compounds are not among the known ones: {shown(missing)}: "
            "add a column smiles"
        )
    return found, names


def _read(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return pd.read_parquet(path).astype(str)
    try:
        sep = "\t" if ".tsv" in path.suffixes or ".txt" in path.suffixes else ","
        table = pd.read_csv(path, sep=sep, dtype=str, keep_default_na=False)
        return table.map(str.strip)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
