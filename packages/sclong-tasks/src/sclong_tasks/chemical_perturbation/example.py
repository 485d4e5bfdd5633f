"""Made-up files in the original formats, with a signal that is there to be found.

Drugs with chlorine move one half of the genes, and the others the other half, the more the higher
the dose; each cell line has a profile of its own beside. Whoever looks at structures finds more
than means can tell.
"""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
import pandas as pd

_TAILS = ("", "O", "N", "C(=O)O", "c1ccccc1", "C#N", "S", "OC")
_DOSES = ("0.04 um", "1.11 um", "10.0 um")
_PARTS = ("train", "dev", "test")


@dataclass(frozen=True)
class Example:
    """What was made: one line a profile, and its values."""

    folder: Path
    table: pd.DataFrame
    """Columns sig_id, pert_id, pert_type, cell_id, pert_idose, part."""
    values: npt.NDArray[np.float64]
    """``(profiles, genes)``."""
    genes: tuple[str, ...]
    smiles: dict[str, str]


def write_example(
    folder: Path, *, drugs: int = 30, genes: int = 24, lines: int = 2, seed: int = 0
) -> Example:
    """Write the files that DeepCE publishes.

    Args:
        folder: to create.
        drugs: of which six tenths are in the training file.
        genes: of each profile.
        lines: cell lines, of DeepCE's own.
        seed: of everything.
    """
    generator = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    symbols = tuple(f"GENE{number}" for number in range(genes))
    smiles = {f"BRD-K{number:08d}": text for number, text in enumerate(example_smiles(drugs))}
    table = _rows(list(smiles), ["MCF7", "A375", "PC3"][:lines])
    values = _values(generator, table, smiles, genes)
    for part in _PARTS:
        here = (table["part"] == part).to_numpy()
        fields = table[here].drop(columns="part").reset_index(drop=True)
        numbers = pd.DataFrame(values[here].round(6), columns=list(symbols))
        path = folder / f"signature_{part}.csv"
        pd.concat([fields, numbers], axis=1).to_csv(path, index=False)
    listed = pd.DataFrame(sorted(smiles.items()))
    listed.to_csv(folder / "drugs_smiles.csv", index=False, header=False)
    vectors = pd.DataFrame(generator.normal(size=(genes, 8)).round(6), index=list(symbols))
    vectors.to_csv(folder / "gene_vector.csv", header=False)
    return Example(folder, table, values.round(6), symbols, smiles)


def example_smiles(count: int) -> list[str]:
    """Different molecules, every second of them with chlorine."""
    found = []
    for number in range(count):
        kind, length = divmod(number // 2, 5)
        tail = _TAILS[kind % len(_TAILS)]
        chain = "C" * (length + 2 + 5 * (kind // len(_TAILS)))
        found.append(f"{'Cl' if number % 2 else ''}{chain}{tail}")
    return found


def write_gct(path: Path, example: Example) -> None:
    """The same profiles as GCT 1.3: genes by profiles, with probes, symbols and metadata."""
    names = list(example.table["sig_id"])
    lines = ["#1.3", f"{len(example.genes)}\t{len(names)}\t2\t4"]
    lines.append("\t".join(["id", "pr_gene_symbol", "pr_is_lmark", *names]))
    fields = ("pert_id", "pert_type", "cell_id", "pert_idose")
    lines.extend("\t".join([name, "na", "na", *example.table[name]]) for name in fields)
    for place, gene in enumerate(example.genes):
        numbers = [f"{value:.6f}" for value in example.values[:, place]]
        lines.append("\t".join([f"{place}_at", gene, "1", *numbers]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_gctx(path: Path, example: Example, *, others: int = 3, fields: bool = True) -> None:
    """The same profiles as GCTX, among genes that are not landmarks.

    Args:
        path: of the file.
        example: of the profiles.
        others: genes that are not landmarks, put before the others.
        fields: write metadata; else there are names alone, as in the large files of LINCS.
    """
    count = len(example.genes)
    with h5py.File(path, "w") as file:
        file.attrs["version"] = np.bytes_("GCTX1.0")
        padding = np.zeros((len(example.values), others))
        matrix = np.concatenate([padding, example.values], axis=1).astype(np.float32)
        file["0/DATA/0/matrix"] = matrix
        ids = [str(1000 + number) for number in range(others + count)]
        file["0/META/ROW/id"] = np.array(ids, dtype="S")
        file["0/META/COL/id"] = np.array(list(example.table["sig_id"]), dtype="S")
        if fields:
            symbols = [f"OTHER{number}" for number in range(others)] + list(example.genes)
            file["0/META/ROW/pr_gene_symbol"] = np.array(symbols, dtype="S")
            file["0/META/ROW/pr_is_lm"] = np.array([0] * others + [1] * count)
            for name in ("pert_id", "pert_type", "cell_id", "pert_idose"):
                file[f"0/META/COL/{name}"] = np.array(list(example.table[name]), dtype="S")


def _rows(drugs: list[str], lines: list[str]) -> pd.DataFrame:
    rows = []
    for number, drug in enumerate(drugs):
        place = 10 * number // len(drugs)
        part = "train" if place < 6 else "dev" if place < 8 else "test"
        for line in lines:
            for dose in _DOSES:
                name = f"CPC{number:03d}_{line}_24H:{drug}:{dose.split()[0]}"
                rows.append((name, drug, "trt_cp", line, dose, part))
    columns = ["sig_id", "pert_id", "pert_type", "cell_id", "pert_idose", "part"]
    return pd.DataFrame(rows, columns=columns)


def _values(
    generator: np.random.Generator, table: pd.DataFrame, smiles: dict[str, str], genes: int
) -> npt.NDArray[np.float64]:
    lines = {line: generator.normal(0, 0.3, genes) for line in sorted(set(table["cell_id"]))}
    half = np.arange(genes) < genes // 2
    pattern = generator.choice([-1.0, 1.0], genes)
    found = np.empty((len(table), genes))
    for place, row in enumerate(table.itertuples()):
        chlorine = "Cl" in smiles[str(row.pert_id)]
        strength = 1.5 + 0.5 * np.log10(float(str(row.pert_idose).split()[0]))
        moved = pattern * (half if chlorine else ~half) * strength
        found[place] = lines[str(row.cell_id)] + moved + generator.normal(0, 0.2, genes)
    return found
