"""Made-up files in the original format, with a signal that is there to be found.

ln IC50 is a mean of the drug, an offset of the line, and, for aromatic drugs, what one gene says
about the line; noise beside. Who learns from expression finds more than means can tell.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

SMILES = (
    "CCO", "CC(=O)O", "CCN(CC)CC", "CC(C)CC(=O)N", "C1CCCCC1O", "CCCCCC(=O)OC", "NCC(=O)NCC(=O)O",
    "CC(C)(C)OC(=O)N", "O=C1CCCN1CCO", "CS(=O)(=O)NCCO", "c1ccccc1O", "Cc1ccccc1N",
    "c1ccncc1C(=O)N",
    "COc1ccc(CCN)cc1", "CC(=O)Nc1ccc(O)cc1", "Clc1ccc(CC(=O)O)cc1", "c1ccc2[nH]ccc2c1",
    "O=C(O)c1ccccc1O", "Fc1ccc(cc1)C(=O)NCC", "Cn1cnc2c1c(=O)n(C)c(=O)n2C",
)  # fmt: skip
"""Of the made-up drugs: the first half without, the second with an aromatic ring."""
_TISSUES = ("lung", "skin", "breast", "liver", "ovary")
_TCGA = ("LUAD", "SKCM", "BRCA", "LIHC", "NA")


@dataclass(frozen=True)
class Example:
    """What was made."""

    folder: Path
    lines: tuple[str, ...]
    pubchem: tuple[str, ...]
    values: npt.NDArray[np.float64]
    """``(drugs, lines)`` ln IC50; the last drug is one compound more under another id."""


def write_example(
    folder: Path, *, lines: int = 40, genes: int = 12, missing: float = 0.1, seed: int = 0
) -> Example:
    """Write the six original files.

    Args:
        folder: to create.
        lines: cell lines, of five tissues; there is expression of all of them.
        genes: of the expression table.
        missing: share of pairs that were not measured.
        seed: of everything.
    """
    generator = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    names = tuple(f"ACH-{number:06d}" for number in range(1, lines + 1))
    expression = generator.gamma(2.0, 1.0, size=(lines, genes))
    pubchem = tuple(str(1000 + number) for number in range(len(SMILES)))
    values = _responses(generator, expression)
    table = pd.DataFrame(expression.round(6), index=list(names)).add_prefix("GENE")
    _write_table(folder, "genomic_expression_561celllines_697genes_demap_features.csv", table)
    ids = [f"GDSC:{number}" for number in range(1, len(values) + 1)]
    shown = np.where(generator.random(values.shape) < missing, np.nan, values.round(6))
    _write_table(folder, "GDSC_IC50.csv", pd.DataFrame(shown, index=ids, columns=list(names)))
    _write_drugs(folder, pubchem)
    _write_lines(folder, names)
    return Example(folder, names, pubchem, values)


def _responses(
    generator: np.random.Generator, expression: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    drugs, lines = len(SMILES), len(expression)
    aromatic = np.arange(drugs) >= drugs // 2
    signal = expression[:, 0] - expression[:, 0].mean()
    values = generator.normal(2, 2, size=(drugs, 1)) + generator.normal(0, 0.5, size=(1, lines))
    values = values + 1.5 * aromatic[:, None] * signal[None, :]
    values = np.vstack([values, values[-1]])  # the last compound, measured again under another id
    found: npt.NDArray[np.float64] = values + generator.normal(0, 0.2, size=values.shape)
    return found


def _write_drugs(folder: Path, pubchem: tuple[str, ...]) -> None:
    table = pd.DataFrame(
        {
            "drug_id": [*range(1, len(pubchem) + 2), 999],
            "Name": [*(f"drug {name}" for name in pubchem), "drug again", "a mixture"],
            "PubCHEM": [*pubchem, pubchem[-1], "several"],
        }
    )
    table.to_csv(folder / "1.Drug_listMon Jun 24 09_00_55 2019.csv", index=False)
    lines = [f"{name}\t{smiles}\n" for name, smiles in zip(pubchem, SMILES, strict=True)]
    (folder / "223drugs_pubchem_smiles.txt").write_text("".join(lines), encoding="utf-8")


def _write_lines(folder: Path, names: tuple[str, ...]) -> None:
    kinds = [number % len(_TISSUES) for number in range(len(names))]
    table = pd.DataFrame(
        {
            "CCLE_ID": [f"L{number}" for number in range(len(names))],
            "depMapID": names,
            "Name": [f"line {number}" for number in range(len(names))],
            "Site_Primary": [_TISSUES[kind] for kind in kinds],
            "tcga_code": [_TCGA[kind] for kind in kinds],
        }
    )
    path = folder / "Cell_lines_annotations_20181226.txt"
    table.to_csv(path, sep="\t", index=False)
    methylation = "genomic_methylation_561celllines_808genes_demap_features.csv"
    _write_table(folder, methylation, pd.DataFrame({"SITE": 0.5}, index=list(names)))


def _write_table(folder: Path, name: str, table: pd.DataFrame) -> None:
    table.to_csv(folder / name, na_rep="NA")
