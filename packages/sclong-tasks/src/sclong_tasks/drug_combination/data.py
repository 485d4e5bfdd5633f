"""Rows of two drugs and a cell line, with what is known of drugs and cell lines."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.errors import InputError
from sclong_core.files import atomic_file
from sclong_tasks.cache import digest_arrays, digest_of
from sclong_tasks.chemistry.molecules import Molecules, read_molecules, shown
from sclong_tasks.drug_combination.config import CombinationSettings
from sclong_tasks.encoders.protocol import ExpressionTable
from sclong_tasks.task import Rows

_LOG = logging.getLogger("sclong")
TARGET = "synergy"
TRAINING_SCREEN, TEST_SCREEN = "training", "independent"


@dataclass(frozen=True, eq=False)
class CombinationData:
    """Validated rows; places refer to ``molecules`` and to the cell lines of ``expression``."""

    molecules: Molecules
    expression: ExpressionTable
    first: npt.NDArray[np.int64]
    """``(rows,)`` place of the first drug."""
    second: npt.NDArray[np.int64]
    """``(rows,)`` place of the second drug."""
    cell: npt.NDArray[np.int64]
    """``(rows,)`` place of the cell line."""
    synergy: npt.NDArray[np.float64]
    """``(rows,)`` 1 synergistic, 0 antagonistic, NaN hidden."""
    screen: tuple[str, ...]
    """Of each row: the training screen, or that of another laboratory."""

    @cached_property
    def digest(self) -> str:
        """SHA-256 over rows, drugs and expression."""
        arrays = digest_arrays(self.first, self.second, self.cell, self.synergy)
        return digest_of([arrays, self.molecules.digest, self.expression.digest, self.screen])

    @cached_property
    def parts_digest(self) -> str:
        """SHA-256 over drugs and expression, which networks are bound to."""
        return digest_of([self.molecules.digest, self.expression.digest])

    @cached_property
    def labels(self) -> pd.DataFrame:
        """Names of drugs, cell line and screen."""
        drugs, cells = np.array(self.molecules.names), np.array(self.expression.cells)
        return pd.DataFrame(
            {
                "drug1": drugs[self.first],
                "drug2": drugs[self.second],
                "cell_line": cells[self.cell],
                "screen": list(self.screen),
            }
        )

    @property
    def truth(self) -> pd.DataFrame:
        """Synergy of each row."""
        return pd.DataFrame({TARGET: self.synergy})

    def hide(self, rows: Rows) -> "CombinationData":
        """The same rows, without the targets of some."""
        synergy = self.synergy.copy()
        synergy[rows] = np.nan
        return replace(self, synergy=synergy)

    @cached_property
    def compounds(self) -> npt.NDArray[np.str_]:
        """``(rows, 2)`` InChIKeys of both drugs, in the order of the alphabet."""
        keys = np.array([molecule.compound for molecule in self.molecules.molecules])
        return np.sort(np.stack([keys[self.first], keys[self.second]], axis=1), axis=1)

    @cached_property
    def pairs(self) -> npt.NDArray[np.str_]:
        """``(rows,)`` the two compounds, whatever their order."""
        return np.array([f"{one}+{other}" for one, other in self.compounds])

    @cached_property
    def cell_lines(self) -> npt.NDArray[np.str_]:
        """``(rows,)`` name of the cell line."""
        return np.array(self.expression.cells)[self.cell]

    def rows_of(self, screen: str) -> Rows:
        """Rows of a screen."""
        return np.flatnonzero(np.array(self.screen) == screen)


def write_data(
    folder: Path, pairs: pd.DataFrame, names: dict[str, str], expression: Sequence[ExpressionTable]
) -> None:
    """Write ``rows.parquet``, ``drugs.tsv`` and ``expression.npz``.

    Args:
        folder: where to.
        pairs: ``drug1``, ``drug2`` (SMILES), ``cell``, ``label`` and ``screen``.
        names: of drugs by SMILES; others go by their SMILES.
        expression: tables over the same genes; of a cell line in several the first counts.
    """
    every = dict.fromkeys([*pairs["drug1"], *pairs["drug2"]])
    called = _distinct_names({smiles: names.get(smiles, smiles) for smiles in every})
    frame = pairs.assign(drug1=pairs["drug1"].map(called), drug2=pairs["drug2"].map(called))
    with atomic_file(folder / "rows.parquet") as path:
        frame.to_parquet(path, index=False)
    with atomic_file(folder / "drugs.tsv") as path:
        drugs = pd.DataFrame({"drug": list(called.values()), "smiles": list(called)})
        drugs.to_csv(path, sep="\t", index=False)
    merged = merge_expression(expression)
    with atomic_file(folder / "expression.npz") as path:
        np.savez_compressed(
            path,
            values=merged.values,
            cells=np.array(merged.cells),
            genes=np.array(merged.genes),
            scale=np.array(merged.scale),
        )


def _distinct_names(names: dict[str, str]) -> dict[str, str]:
    """Names by SMILES; one that stands for several SMILES gets the SMILES behind it."""
    several = {name for name in names.values() if list(names.values()).count(name) > 1}
    return {s: f"{name} ({s})" if name in several else name for s, name in names.items()}


def merge_expression(tables: Sequence[ExpressionTable]) -> ExpressionTable:
    """One table of several over the same genes; of a cell line in several the first counts.

    Raises:
        InputError: their genes differ.
    """
    first = tables[0]
    if any(set(table.genes) != set(first.genes) or table.scale != first.scale for table in tables):
        raise InputError("the expression tables differ in genes or scale: they make no one table")
    cells: dict[str, npt.NDArray[np.float32]] = {}
    for table in tables:
        place = {gene: number for number, gene in enumerate(table.genes)}
        order = [place[gene] for gene in first.genes]
        for cell, values in zip(table.cells, table.values[:, order], strict=True):
            cells.setdefault(cell, values)
    return ExpressionTable(np.stack(list(cells.values())), tuple(cells), first.genes, first.scale)


def read_data(folder: Path, settings: CombinationSettings) -> CombinationData:
    """Read what :func:`write_data` wrote, and say what is left out.

    Raises:
        InputError: a drug that RDKit cannot read, no usable row, or one class only.
    """
    drugs = pd.read_csv(folder / "drugs.tsv", sep="\t", dtype=str, keep_default_na=False)
    with (folder / "expression.npz").open("rb") as handle, np.load(handle) as arrays:
        expression = ExpressionTable(
            arrays["values"],
            tuple(arrays["cells"].tolist()),
            tuple(arrays["genes"].tolist()),
            arrays["scale"].item(),
        )
    molecules = read_molecules(dict(zip(drugs["drug"], drugs["smiles"], strict=True)))
    rows = pd.read_parquet(folder / "rows.parquet")
    return clean_rows(make_data(rows, molecules, expression), settings)


def make_data(
    rows: pd.DataFrame, molecules: Molecules, expression: ExpressionTable
) -> CombinationData:
    """Rows with known drugs and cell lines; others are left out and said.

    Args:
        rows: names ``drug1``, ``drug2``, ``cell``; ``label`` and ``screen``.
        molecules: all drugs.
        expression: of cell lines.

    Raises:
        InputError: a drug is not among ``molecules``, or no row is left.
    """
    lines = {name: place for place, name in enumerate(expression.cells)}
    unknown = rows.loc[~rows["cell"].isin(list(lines)), "cell"]
    if len(unknown):
        counts = [f"{name} ({count} rows)" for name, count in unknown.value_counts().items()]
        _LOG.warning(
            "%d of %d rows are left out, whose %d cell lines have no expression: %s",
            len(unknown), len(rows), len(counts), shown(counts),
        )  # fmt: skip
    drugs = set(rows["drug1"]) | set(rows["drug2"])
    missing = sorted(drugs - set(molecules.names))
    if missing:
        raise InputError(f"{len(missing)} drugs have no SMILES: {shown(missing)}")
    kept = rows[rows["cell"].isin(list(lines))]
    if kept.empty:
        raise InputError("no row is left: none of the cell lines has expression")
    return CombinationData(
        molecules=molecules,
        expression=expression,
        first=kept["drug1"].map(molecules.position).to_numpy(np.int64),
        second=kept["drug2"].map(molecules.position).to_numpy(np.int64),
        cell=kept["cell"].map(lines).to_numpy(np.int64),
        synergy=kept["label"].to_numpy(np.float64),
        screen=tuple(kept["screen"]),
    )


def clean_rows(data: CombinationData, settings: CombinationSettings) -> CombinationData:
    """Conflicting and repeated rows, and drugs paired with themselves, named and counted.

    Raises:
        InputError: a screen has one class only.
    """
    keys = pd.Series([f"{p} in {c}" for p, c in zip(data.pairs, data.cell_lines, strict=True)])
    synergy = pd.Series(data.synergy)
    conflicting = synergy.groupby(keys).transform("nunique") > 1
    repeated = keys.duplicated() & ~conflicting
    named = _key_names(data)
    for what, chosen, kept in (
        ("contradict each other", conflicting, settings.keep_conflicting_pairs),
        ("say the same again", repeated, settings.keep_repeated_pairs),
    ):
        if chosen.any():
            examples = list(dict.fromkeys(named[chosen.to_numpy()]))
            _LOG.info(
                "%d rows of %d pairs and cell lines %s (%s): %s",
                int(chosen.sum()), keys[chosen].nunique(), what,
                "kept" if kept else "left out", shown(examples, 3),
            )  # fmt: skip
    selves = np.flatnonzero(data.compounds[:, 0] == data.compounds[:, 1])
    if len(selves):
        _LOG.info(
            "%d rows pair a compound with itself: %s", len(selves), shown(list(named[selves]))
        )
    out = np.zeros(len(keys), dtype=bool)
    if not settings.keep_conflicting_pairs:
        out |= conflicting.to_numpy()
    if not settings.keep_repeated_pairs:
        out |= repeated.to_numpy()
    cleaned = take_rows(data, np.flatnonzero(~out))
    for screen in dict.fromkeys(cleaned.screen):
        classes = np.unique(cleaned.synergy[cleaned.rows_of(screen)])
        if len(classes) < 2:
            raise InputError(
                f"the {screen} screen has one class only ({classes[0]:.0f}, "
                f"{len(cleaned.rows_of(screen))} rows): nothing can be learnt or measured"
            )
    return cleaned


def _key_names(data: CombinationData) -> npt.NDArray[np.object_]:
    labels = data.labels
    return np.array(
        [f"{r.drug1} + {r.drug2} in {r.cell_line}" for r in labels.itertuples()], dtype=object
    )


def take_rows(data: CombinationData, rows: Rows) -> CombinationData:
    """Some rows, with all drugs and cell lines."""
    return replace(
        data,
        first=data.first[rows],
        second=data.second[rows],
        cell=data.cell[rows],
        synergy=data.synergy[rows],
        screen=tuple(data.screen[int(row)] for row in rows),
    )
