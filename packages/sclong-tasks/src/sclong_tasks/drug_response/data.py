"""Data of drug response: one row is a cell line, a drug and ln IC50.

Shapes: r rows, l cell lines, d drugs (distinct structures), g genes.
"""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.errors import InputError
from sclong_tasks.cache import digest_of
from sclong_tasks.chemistry.molecules import Molecules, read_molecules, shown
from sclong_tasks.drug_response import reading
from sclong_tasks.encoders.protocol import ExpressionTable
from sclong_tasks.task import Rows

_LOG = logging.getLogger("sclong")
TARGET = "ln_ic50"
_LABELS = ("line", "line_name", "tissue", "tcga", "drug_id", "drug", "pubchem")


@dataclass(frozen=True, eq=False)
class DrugResponseData:
    """Validated rows with what describes their lines and drugs."""

    table: pd.DataFrame
    """``r`` lines: the columns of ``_LABELS``."""
    target: npt.NDArray[np.float64]
    """``(r,)`` ln IC50; NaN where hidden."""
    molecules: Molecules
    """``d`` drugs, named by PubChem id."""
    expression: ExpressionTable | None
    """``(l, g)`` log2 of TPM plus 1, of all lines of the rows; None where some have none."""

    @cached_property
    def digest(self) -> str:
        """SHA-256 over rows, targets, molecules and expression."""
        digest = hashlib.sha256(self.table.to_csv(index=False).encode())
        digest.update(self.target.tobytes())
        digest.update(self.molecules.digest.encode())
        digest.update(b"" if self.expression is None else self.expression.digest.encode())
        return digest.hexdigest()

    @cached_property
    def parts_digest(self) -> str:
        """SHA-256 over molecules and expression: what a network is bound to."""
        expression = "" if self.expression is None else self.expression.digest
        return digest_of([self.molecules.digest, expression])

    @property
    def labels(self) -> pd.DataFrame:
        """Names of each row."""
        return self.table

    @property
    def truth(self) -> pd.DataFrame:
        """The measured ln IC50."""
        return pd.DataFrame({TARGET: self.target}, index=self.table.index)

    def hide(self, rows: Rows) -> Self:
        """The same data without the targets of these rows."""
        target = self.target.copy()
        target[rows] = np.nan
        return replace(self, target=target)

    @cached_property
    def drug(self) -> npt.NDArray[np.int64]:
        """``(r,)`` place of each row's drug among the molecules."""
        return _places(self.table["pubchem"], self.molecules.position)

    @cached_property
    def line(self) -> npt.NDArray[np.int64]:
        """``(r,)`` place of each row's line in the expression table."""
        place = {name: number for number, name in enumerate(self.need_expression().cells)}
        return _places(self.table["line"], place)

    @cached_property
    def compound(self) -> npt.NDArray[np.object_]:
        """``(r,)`` InChIKey block that stereoisomers and salts of one compound share."""
        names = np.array([molecule.compound for molecule in self.molecules.molecules])
        found: npt.NDArray[np.object_] = names[self.drug].astype(object)
        return found

    def need_expression(self) -> ExpressionTable:
        """Expression of all lines.

        Raises:
            InputError: some lines have none.
        """
        if self.expression is None:
            raise InputError(
                "some cell lines have no expression, which this model needs: use "
                "task.lines=expression, or give the expression of all lines"
            )
        return self.expression


def prepare(sources: Mapping[str, Path], folder: Path, names: Mapping[str, str]) -> None:
    """Convert the original files.

    Args:
        sources: original files by name.
        folder: where to write.
        names: of the files by what they hold.
    """
    responses = reading.read_responses(sources[names["responses"]])
    drugs = reading.read_drug_list(sources[names["drugs"]])
    smiles = reading.read_smiles(sources[names["smiles"]])
    annotations = reading.read_annotations(sources[names["annotations"]])
    expression = reading.read_expression(sources[names["expression"]])
    listed = set(expression.index)
    if names["methylation"] in sources:
        listed |= set(reading.read_line_names(sources[names["methylation"]]))
    read_molecules({f"PubChem {name}": text for name, text in smiles.items()})
    rows = _rows(responses, drugs, smiles, annotations, sorted(listed))
    rows.to_parquet(folder / "responses.parquet", index=False)
    pd.DataFrame(sorted(smiles.items()), columns=["pubchem", "smiles"]).to_parquet(
        folder / "drugs.parquet", index=False
    )
    expression.astype(np.float32).rename_axis("line").reset_index().to_parquet(
        folder / "expression.parquet", index=False
    )


def _rows(
    responses: pd.DataFrame,
    drugs: pd.DataFrame,
    smiles: Mapping[str, str],
    annotations: pd.DataFrame,
    listed: list[str],
) -> pd.DataFrame:
    """One row for each measured pair of a known drug and a listed, annotated line."""
    known = [name for name in responses.index if name in drugs.index]
    compound = drugs["pubchem"].to_dict()
    usable = [name for name in known if compound[name] in smiles]
    _say("GDSC drugs without a PubChem id of a known structure", responses.index, usable)
    lines = [name for name in listed if name in responses.columns and name in annotations.index]
    _say("cell lines of the tables without response or annotation", listed, lines)
    _say("cell lines of GDSC that no table describes", responses.columns, lines)
    values = responses.loc[usable, lines]
    long = values.rename_axis("drug_id").melt(
        ignore_index=False, var_name="line", value_name=TARGET
    )
    long = long.reset_index().dropna(subset=[TARGET])
    if long.empty:
        raise InputError("no ln IC50 is left: drug list, SMILES and lines share no pair")
    notes = annotations.loc[long["line"]]
    table = pd.DataFrame(
        {
            "line": long["line"].to_numpy(),
            "line_name": notes["name"].to_numpy(),
            "tissue": notes["tissue"].to_numpy(),
            "tcga": notes["tcga"].to_numpy(),
            "drug_id": long["drug_id"].to_numpy(),
            "drug": drugs.loc[long["drug_id"], "name"].to_numpy(),
            "pubchem": [compound[name] for name in long["drug_id"]],
            TARGET: long[TARGET].to_numpy(),
        }
    )
    return table.sort_values(["line", "drug_id"], kind="stable").reset_index(drop=True)


def load(folder: Path, *, lines: str) -> DrugResponseData:
    """Read what :func:`prepare` wrote.

    Args:
        folder: of prepared data.
        lines: "expression" or "listed", see the settings.
    """
    rows = pd.read_parquet(folder / "responses.parquet")
    table = pd.read_parquet(folder / "expression.parquet").set_index("line")
    drugs = pd.read_parquet(folder / "drugs.parquet")
    described = rows["line"].isin(table.index)
    if lines == "expression" and not described.all():
        without = sorted(set(rows["line"][~described]))
        _LOG.info(
            "%d of %d rows are of %d cell lines without expression and are left out: %s",
            int((~described).sum()), len(rows), len(without), shown(without),
        )  # fmt: skip
        rows = rows[described].reset_index(drop=True)
        described = described[described]
    expression = None
    if described.all():
        cells = sorted(set(rows["line"]))
        expression = expression_table(table.loc[cells])
    used = drugs[drugs["pubchem"].isin(set(rows["pubchem"]))]
    molecules = read_molecules(dict(zip(used["pubchem"], used["smiles"], strict=True)))
    data = DrugResponseData(
        rows[list(_LABELS)], rows[TARGET].to_numpy(dtype=np.float64), molecules, expression
    )
    report(data)
    return data


def expression_table(table: pd.DataFrame) -> ExpressionTable:
    """Log2 of TPM plus 1, checked."""
    return ExpressionTable(
        table.to_numpy(dtype=np.float32),
        tuple(map(str, table.index)),
        tuple(map(str, table.columns)),
        "log2",
    )


def report(data: DrugResponseData) -> dict[str, int]:
    """Say what there is, and how many pairs are measured several times."""
    pairs = data.table.groupby(["line", "pubchem"], sort=False)
    frame = data.table.assign(target=data.target)
    spread = frame.groupby(["line", "pubchem"])["target"].agg(["size", "nunique"])
    facts: dict[str, int] = {
        "rows": len(data.table),
        "lines": data.table["line"].nunique(),
        "drug_ids": data.table["drug_id"].nunique(),
        "compounds": data.table["pubchem"].nunique(),
        "pairs": pairs.ngroups,
        "repeated_pairs": int((spread["size"] > 1).sum()),
        "conflicting_pairs": int((spread["nunique"] > 1).sum()),
    }
    _LOG.info(
        "%d rows of %d cell lines and %d drug ids (%d compounds); %d pairs of line and compound "
        "occur more than once, %d of them with different values: all are kept, and splits by pair "
        "never part them",
        facts["rows"], facts["lines"], facts["drug_ids"], facts["compounds"],
        facts["repeated_pairs"], facts["conflicting_pairs"],
    )  # fmt: skip
    return facts


def read_pairs(inputs: Mapping[str, Path], known: DrugResponseData) -> DrugResponseData:
    """Rows to predict: a table of pairs, and the expression of lines that are new.

    ``pairs`` has a column ``line`` and either ``smiles`` or ``pubchem`` of a known drug.

    Raises:
        InputError: a column, a line's expression or a drug is missing.
    """
    if "pairs" not in inputs:
        raise InputError("give a table of pairs: --input pairs=FILE")
    pairs = _read_any(inputs["pairs"])
    if "line" not in pairs or not {"smiles", "pubchem"} & set(pairs.columns) or pairs.empty:
        raise InputError(
            f"{inputs['pairs']} needs rows, a column line, and a column smiles or pubchem"
        )
    smiles = _smiles_of(pairs, known, inputs["pairs"])
    molecules = read_molecules(smiles)
    names = pairs["pubchem"] if "pubchem" in pairs else pairs["smiles"]
    table = pd.DataFrame({name: pairs.get(name, "") for name in _LABELS}, index=pairs.index)
    return DrugResponseData(
        table.assign(pubchem=names),
        np.full(len(table), np.nan),
        molecules,
        _expression_of(sorted(set(pairs["line"])), inputs.get("expression"), known),
    )


def _smiles_of(pairs: pd.DataFrame, known: DrugResponseData, path: Path) -> dict[str, str]:
    if "pubchem" not in pairs:
        return {text: text for text in dict.fromkeys(pairs["smiles"])}
    given = dict(zip(pairs["pubchem"], pairs["smiles"], strict=True)) if "smiles" in pairs else {}
    there = {one.name: one.smiles for one in known.molecules.molecules}
    found = {
        name: given.get(name) or there.get(name, "") for name in dict.fromkeys(pairs["pubchem"])
    }
    missing = [name for name, text in found.items() if not text]
    if missing:
        raise InputError(
            f"{path}: {len(missing)} drugs are not among the known ones: {shown(missing)}: add a "
            "column smiles"
        )
    return found


def _expression_of(
    lines: list[str], path: Path | None, known: DrugResponseData
) -> ExpressionTable | None:
    there = known.expression
    if there is None:
        return None
    frame = pd.DataFrame(there.values, index=list(there.cells), columns=list(there.genes))
    if path is not None:
        new = reading_expression(path)
        missing = [gene for gene in there.genes if gene not in new.columns]
        if missing:
            raise InputError(f"{path} lacks {len(missing)} genes of the data: {shown(missing)}")
        frame = pd.concat([frame.drop(index=new.index, errors="ignore"), new[list(there.genes)]])
    absent = [name for name in lines if name not in frame.index]
    if absent:
        raise InputError(
            f"{len(absent)} cell lines are unknown: {shown(absent)}: give their expression with "
            "--input expression=FILE (rows lines, columns genes, log2 of TPM plus 1)"
        )
    return expression_table(frame.loc[lines])


def reading_expression(path: Path) -> pd.DataFrame:
    """Expression of a user's lines, whose names are free."""
    frame = _read_any(path)
    frame = frame.set_index(frame.columns[0])
    values = frame.apply(pd.to_numeric, errors="coerce")
    if values.isna().to_numpy().any():
        row, column = np.argwhere(values.isna().to_numpy())[0]
        raise InputError(
            f"{path}: no number in row {values.index[row]}, column {values.columns[column]}"
        )
    return values


def _places(names: pd.Series, place: Mapping[str, int]) -> npt.NDArray[np.int64]:
    return np.array([place[name] for name in names], dtype=np.int64)


def _read_any(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return pd.read_parquet(path).astype(str)
    try:
        sep = "\t" if ".tsv" in path.suffixes or ".txt" in path.suffixes else ","
        return pd.read_csv(path, sep=sep, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {' '.join(str(error).split())}") from error


def _say(what: str, every: Any, kept: list[str]) -> None:
    rest = [str(name) for name in every if name not in set(kept)]
    if rest:
        _LOG.info("%d %s are left out: %s", len(rest), what, shown(rest))
