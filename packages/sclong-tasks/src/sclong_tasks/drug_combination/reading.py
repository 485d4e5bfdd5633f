"""The original files of DeepDDS, read as their authors publish them and checked cell by cell.

Source: Wang et al. 2022, "DeepDDS: deep graph neural network with attention mechanism to predict
synergistic drug combinations". Labels: O'Neil et al. 2016; AstraZeneca, by Menden et al. 2019.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.errors import InputError
from sclong_tasks.chemistry.molecules import shown
from sclong_tasks.encoders.protocol import ExpressionTable

_LOG = logging.getLogger("sclong")
COLUMNS = ("drug1", "drug2", "cell", "label")
_MOST_ERROR = 1e-3


def read_pairs(path: Path) -> pd.DataFrame:
    """``drug1,drug2,cell,label``: SMILES, SMILES, cell line, 0 or 1.

    Returns:
        The columns as text, and ``label`` as 0 and 1.

    Raises:
        InputError: names the file, row and column; the header is row 1.
    """
    frame = _read(path)
    if tuple(frame.columns) != COLUMNS:
        raise InputError(f"{path.name}: the columns must be {','.join(COLUMNS)}")
    if frame.empty:
        raise InputError(f"{path.name} has no rows")
    _refuse_empty(frame, path)
    wrong = np.flatnonzero(~frame["label"].isin(["0", "1"]))
    if len(wrong):
        raise InputError(
            f"{path.name}, row {wrong[0] + 2}, column label: {frame['label'].iloc[wrong[0]]!r} is "
            f"neither 0 nor 1 ({len(wrong)} such rows)"
        )
    return frame.assign(label=frame["label"].astype(np.int64))


def read_drug_names(path: Path) -> dict[str, str]:
    """``smiles.csv``: names by SMILES.

    Raises:
        InputError: names the file, row and column.
    """
    frame = _read(path)
    if tuple(frame.columns) != ("name", "smile"):
        raise InputError(f"{path.name}: the columns must be name,smile")
    _refuse_empty(frame, path)
    return dict(zip(frame["smile"], frame["name"], strict=True))


def read_named_pairs(path: Path, pairs: pd.DataFrame) -> dict[str, str]:
    """Names by SMILES from a copy of the pairs that has names and no header.

    Raises:
        InputError: it is not row by row the same table.
    """
    frame = _read(path, header=None)
    if frame.shape != (len(pairs), len(COLUMNS)):
        raise InputError(f"{path.name} must have {len(pairs)} rows of {','.join(COLUMNS)}")
    differs = np.flatnonzero(
        (frame[2].to_numpy() != pairs["cell"].to_numpy())
        | (frame[3].to_numpy() != pairs["label"].astype(str).to_numpy())
    )
    if len(differs):
        raise InputError(
            f"{path.name}, row {differs[0] + 1}: another cell line or label than in the table of "
            "SMILES"
        )
    names: dict[str, str] = {}
    for place, column in enumerate(("drug1", "drug2")):
        for smiles, name in zip(pairs[column], frame[place], strict=True):
            names.setdefault(smiles, name)
    return names


def read_tpm(path: Path) -> ExpressionTable:
    """Cell lines by genes in TPM: gene ids, transcript ids, then a line each.

    A suffix of a cell line's name from ``_`` on is removed, as the original does.

    Raises:
        InputError: names the file, row and column.
    """
    frame = _read(path)
    if frame.empty or not str(frame.iloc[0, 0]).startswith("transcript"):
        raise InputError(f"{path.name}, row 2: transcript ids are expected there")
    lines = [str(name).split("_")[0] for name in frame.iloc[1:, 0]]
    values = _numbers(frame.iloc[1:, 1:], path, first_row=3)
    return ExpressionTable(values, tuple(lines), tuple(frame.columns[1:]), "tpm")


def read_scaled(path: Path, reference: ExpressionTable) -> ExpressionTable:
    """TPM from a table that was brought to 0..1 gene by gene, with the help of shared cell lines.

    Each gene's map back is the line through the cell lines that both tables hold; it must fit them
    all. A gene that is constant in these has no known scale: it is set to their value, and counted.

    Args:
        path: ``cell_line_name`` and one column a gene.
        reference: TPM, some of whose cell lines are in the table too.

    Raises:
        InputError: names the file, row and column; or the two tables do not belong together.
    """
    frame = _read(path)
    if tuple(frame.columns[1:]) != reference.genes:
        raise InputError(f"{path.name}: its genes are not those of the training expression")
    names = frame.iloc[:, 0].astype(str)
    twice = names[names.duplicated()].unique()
    if len(twice):
        _LOG.warning("%s: the first row is kept of %s, which occur twice", path.name, shown(twice))
    frame, names = frame[~names.duplicated()], names[~names.duplicated()]
    scaled = _numbers(frame.iloc[:, 1:], path, first_row=2).astype(np.float64)
    shared = [name for name in names if name in set(reference.cells)]
    if len(shared) < 3:
        raise InputError(
            f"{path.name} is scaled and shares {len(shared)} cell lines with the training "
            "expression: 3 are needed to find the scale"
        )
    rows = [list(names).index(name) for name in shared]
    values, unknown = _unscale(scaled, rows, reference.take(shared).values.astype(np.float64), path)
    _LOG.info(
        "%s: TPM recovered from scaled values through %d shared cell lines; %d of %d genes are "
        "constant in these and set to their value there: %s",
        path.name, len(shared), len(unknown), len(reference.genes),
        shown([reference.genes[gene] for gene in unknown]),
    )  # fmt: skip
    table = np.maximum(values, 0).astype(np.float32)
    return ExpressionTable(table, tuple(names), reference.genes, "tpm")


def _unscale(
    scaled: npt.NDArray[np.float64],
    rows: Sequence[int],
    tpm: npt.NDArray[np.float64],
    path: Path,
) -> tuple[npt.NDArray[np.float64], list[int]]:
    known = scaled[rows]
    values = np.empty_like(scaled)
    unknown = []
    for gene in range(scaled.shape[1]):
        if np.ptp(known[:, gene]) == 0 or np.ptp(tpm[:, gene]) == 0:
            unknown.append(gene)
            values[:, gene] = tpm[:, gene].mean()
            continue
        slope, start = np.polyfit(known[:, gene], tpm[:, gene], 1)
        fitted = start + slope * known[:, gene]
        if np.abs(fitted - tpm[:, gene]).max() > _MOST_ERROR * max(1.0, np.ptp(tpm[:, gene])):
            raise InputError(
                f"{path.name}: gene {gene + 1} is not a scaled copy of the training "
                "expression in the shared cell lines"
            )
        values[:, gene] = start + slope * scaled[:, gene]
    return values, unknown


def read_new_pairs(path: Path) -> pd.DataFrame:
    """A user's ``drug1,drug2,cell``; other columns are ignored.

    Raises:
        InputError: names the file, row and column.
    """
    frame = _read(path)
    missing = [name for name in COLUMNS[:3] if name not in frame.columns]
    if missing or frame.empty:
        raise InputError(f"{path.name} needs rows with columns {', '.join(COLUMNS[:3])}")
    frame = frame[list(COLUMNS[:3])]
    _refuse_empty(frame, path)
    return frame


def read_new_expression(path: Path, genes: Sequence[str]) -> ExpressionTable:
    """A user's cell lines by genes in TPM, in the order of the genes that the data have.

    Raises:
        InputError: a gene is missing, with how many; or names the file, row and column.
    """
    frame = _read(path)
    missing = [gene for gene in genes if gene not in frame.columns]
    if missing or frame.columns[0] != "cell":
        raise InputError(
            f"{path.name} needs a first column cell and a column for each of {len(genes)} genes; "
            f"{len(missing)} are missing: {shown(missing)}"
        )
    values = _numbers(frame[list(genes)], path, first_row=2)
    return ExpressionTable(values, tuple(frame["cell"]), tuple(genes), "tpm")


def _read(path: Path, header: int | None = 0) -> pd.DataFrame:
    try:
        return pd.read_csv(path, header=header, dtype=str, keep_default_na=False, encoding="utf-8")
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path.name} is not a table of comma-separated text: {error}") from error


def _refuse_empty(frame: pd.DataFrame, path: Path) -> None:
    empty = frame.isna() | (frame == "")
    if empty.to_numpy().any():
        row, column = np.argwhere(empty.to_numpy())[0]
        raise InputError(
            f"{path.name}, row {row + 2}, column {frame.columns[column]}: a value is missing "
            f"({int(empty.to_numpy().sum())} in all)"
        )


def _numbers(frame: pd.DataFrame, path: Path, *, first_row: int) -> npt.NDArray[np.float32]:
    columns = frame.apply(pd.to_numeric, errors="coerce")
    numbers: npt.NDArray[np.float64] = columns.to_numpy(dtype=np.float64)
    wrong = np.argwhere(~np.isfinite(numbers) | (numbers < 0))
    if len(wrong):
        row, column = wrong[0]
        raise InputError(
            f"{path.name}, row {row + first_row}, column {frame.columns[column]}: "
            f"{frame.iloc[row, column]!r} is not an expression value ({len(wrong)} such "
            "values)"
        )
    return numbers.astype(np.float32)
