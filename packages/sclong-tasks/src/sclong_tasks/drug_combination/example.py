"""Made-up files in the original format, with a signal to find: for tests and the benchmark.

A pair is synergistic where its drugs with chlorine meet a cell line that expresses the first gene,
or its drugs without chlorine one that does not. What a pair is alone decides nothing.
"""

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

_TAILS = ("", "O", "N", "C(=O)O", "c1ccccc1", "C#N", "S", "OC")


@dataclass(frozen=True)
class SyntheticSizes:
    """How much of each there is."""

    drugs: int = 10
    cells: int = 8
    test_drugs: int = 6
    test_cells: int = 4
    genes: int = 12
    rows: int | None = None
    """Rows of the training screen; all pairs in all cell lines by default."""


def write_synthetic_files(
    folder: Path, sizes: SyntheticSizes | None = None, *, seed: int = 0, scaled: bool = True
) -> None:
    """Write the files that DeepDDS publishes.

    Args:
        folder: where to.
        sizes: how much.
        seed: of expression and noise.
        scaled: give the expression of test lines scaled to 0..1, else as TPM.
    """
    sizes = sizes or SyntheticSizes()
    generator = np.random.default_rng(seed)
    drugs = synthetic_smiles(sizes.drugs + sizes.test_drugs)
    lines = [f"LINE{number}" for number in range(sizes.cells + sizes.test_cells)]
    tpm = _tpm(generator, len(lines), sizes.genes)
    genes = [f"ENSG{number:011d}" for number in range(1, sizes.genes + 1)]
    (folder / "independent_set").mkdir(parents=True, exist_ok=True)
    train_drugs, test_drugs = drugs[: sizes.drugs], drugs[sizes.drugs :]
    train_lines, test_lines = lines[: sizes.cells], lines[sizes.cells :]
    high = dict(zip(lines, tpm[:, 0] > np.median(tpm[:, 0]), strict=True))
    pairs = _pairs(train_drugs, train_lines, high)
    if sizes.rows is not None:
        pairs = pairs.sample(sizes.rows, replace=sizes.rows > len(pairs), random_state=seed)
    pairs.to_csv(folder / "new_labels_0_10.csv", index=False)
    test = _pairs(test_drugs, test_lines, high)
    test.to_csv(folder / "independent_set/independent_input.csv", index=False)
    names = {smiles: f"drug{number}" for number, smiles in enumerate(drugs)}
    named = test.assign(drug1=test["drug1"].map(names), drug2=test["drug2"].map(names))
    path = folder / "independent_set/independent_input_drug_cell.csv"
    named.to_csv(path, index=False, header=False)
    listed = pd.DataFrame({"name": [names[smiles] for smiles in train_drugs], "smile": train_drugs})
    listed.to_csv(folder / "smiles.csv", index=False)
    _write_tpm(folder / "new_cell_features_954.csv", train_lines, genes, tpm[: sizes.cells])
    if scaled:
        low, spread = tpm.min(0), np.ptp(tpm, axis=0)
        table = pd.DataFrame((tpm - low) / spread, index=lines, columns=genes)
        kept = [*train_lines[:3], *test_lines]
        path = folder / "processed_independent_cell_features_filtered.csv"
        table.loc[kept].rename_axis("cell_line_name").to_csv(path)
    else:
        path = folder / "independent_set/independent_cell_features_954.csv"
        suffixed = [f"{line}_LUNG" for line in test_lines]
        _write_tpm(path, suffixed, genes, tpm[sizes.cells :])


def synthetic_smiles(count: int) -> list[str]:
    """Different molecules, every second of them with chlorine."""
    found = []
    for number in range(count):
        kind, length = divmod(number // 2, 6)
        tail = _TAILS[kind % len(_TAILS)]
        head = "Cl" if number % 2 else ""
        found.append(f"{head}{'C' * (length + 2 + 6 * (kind // len(_TAILS)))}{tail}")
    return found


def _tpm(generator: np.random.Generator, lines: int, genes: int) -> npt.NDArray[np.float64]:
    tpm = generator.gamma(1.0, 20.0, size=(lines, genes))
    tpm[:, 0] = np.where(np.arange(lines) % 2, 100.0, 1.0) + generator.uniform(0, 1, lines)
    return np.round(tpm, 2)


def _pairs(drugs: list[str], lines: list[str], high: dict[str, bool]) -> pd.DataFrame:
    rows = []
    for number, (one, other) in enumerate(combinations(drugs, 2)):
        chlorine = ("Cl" in one) + ("Cl" in other)
        for place, line in enumerate(lines):
            sign = (chlorine - 1) * (1 if high[line] else -1)
            # Pairs with one of each kind are synergistic in every second cell line.
            label = int(sign > 0) if sign else (number + place // 2) % 2
            rows.append((one, other, line, label))
    return pd.DataFrame(rows, columns=["drug1", "drug2", "cell", "label"])


def _write_tpm(
    path: Path, lines: list[str], genes: list[str], tpm: npt.NDArray[np.float64]
) -> None:
    transcripts = ["transcript_id", *(gene.replace("ENSG", "ENST") for gene in genes)]
    rows = [["gene_id", *genes], transcripts]
    rows += [[line, *map(str, values)] for line, values in zip(lines, tpm, strict=True)]
    path.write_text("\n".join(",".join(row) for row in rows) + "\n", encoding="utf-8")
