"""Made-up screens in the original formats, with a signal to find: for tests and the benchmark.

Genes belong to modules. Perturbing a gene raises its whole module, perturbing two raises both, so
that a gene that was never perturbed is predictable from those of its module, and a pair from its
parts.
"""

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import anndata
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from sclong_tasks.genetic_perturbation.conditions import CONTROL, genes_of
from sclong_tasks.genetic_perturbation.ranking import Moments, rank_genes


@dataclass(frozen=True)
class ExampleSizes:
    """How much of each there is."""

    modules: int = 4
    genes_per_module: int = 8
    perturbed_per_module: int = 4
    cells: int = 12
    """Of each condition; of the control ten times as many."""
    pairs: bool = True


def write_gears_example(folder: Path, sizes: ExampleSizes | None = None, *, seed: int = 0) -> Path:
    """Write ``perturb_processed.h5ad`` as GEARS publishes it."""
    sizes = sizes or ExampleSizes()
    names = _conditions(sizes)
    condition = np.repeat([CONTROL, *names], [10 * sizes.cells] + [sizes.cells] * len(names))
    counts = _counts(condition, sizes, np.random.default_rng(seed))
    cells = sparse.csr_matrix(np.log1p(counts / counts.sum(1, keepdims=True) * 1000), dtype="f4")
    doses = ["1" if name == CONTROL else "1+1" for name in condition]
    obs = pd.DataFrame(
        {
            "condition": condition,
            "cell_type": "A549",
            "dose_val": doses,
            "control": (condition == CONTROL).astype(int),
            "condition_name": [
                f"A549_{name}_{dose}" for name, dose in zip(condition, doses, strict=True)
            ],
        },
        index=[f"cell{number}" for number in range(len(condition))],
    )
    symbols = _symbols(sizes)
    ids = [f"ENSG{number:011d}" for number in range(len(symbols))]
    control = Moments.of(cells[np.flatnonzero(condition == CONTROL)])
    ranked = {
        f"A549_{name}_1+1": np.array(ids)[
            rank_genes(Moments.of(cells[np.flatnonzero(condition == name)]), control)
        ]
        for name in names
    }
    table = anndata.AnnData(cells, obs=obs, var=pd.DataFrame({"gene_name": symbols}, index=ids))
    table.uns["rank_genes_groups_cov_all"] = ranked
    folder.mkdir(parents=True, exist_ok=True)
    table.write_h5ad(folder / "perturb_processed.h5ad")
    return folder / "perturb_processed.h5ad"


def write_annotations_example(folder: Path, sizes: ExampleSizes | None = None) -> Path:
    """Write ``gene2go.csv``: genes of a module share three terms, and each has one of its own."""
    lines = ["symbol,go_id"]
    for gene in _symbols(sizes or ExampleSizes()):
        module = int(gene[1:].split("G")[0])
        terms = [f"GO:{module:05d}{number:02d}" for number in range(3)]
        lines += [f"{gene},{term}" for term in (*terms, f"GO:{gene}")]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gene2go.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "gene2go.csv"


def write_counts_example(folder: Path, sizes: ExampleSizes | None = None, *, seed: int = 0) -> Path:
    """Write ``papalexi_lowmoi_subset.h5ad``: counts, and a target for each cell."""
    sizes = sizes or ExampleSizes(pairs=False)
    names = [f"{gene}+{CONTROL}" for gene in _perturbed(sizes)]
    condition = np.repeat([CONTROL, *names], [10 * sizes.cells] + [sizes.cells] * len(names))
    generator = np.random.default_rng(seed)
    counts = _counts(condition, sizes, generator)
    obs = pd.DataFrame(
        {
            "target": [
                "non-targeting" if name == CONTROL else genes_of(name)[0] for name in condition
            ],
            "top_grna_fraction": generator.uniform(0.4, 1.0, len(condition)),
        },
        index=[f"cell{number}" for number in range(len(condition))],
    )
    table = anndata.AnnData(
        sparse.csr_matrix(counts, dtype="f4"), obs=obs, var=pd.DataFrame(index=_symbols(sizes))
    )
    folder.mkdir(parents=True, exist_ok=True)
    table.write_h5ad(folder / "papalexi_lowmoi_subset.h5ad")
    return folder / "papalexi_lowmoi_subset.h5ad"


def _symbols(sizes: ExampleSizes) -> list[str]:
    return [
        f"M{module}G{gene}"
        for module in range(sizes.modules)
        for gene in range(sizes.genes_per_module)
    ]


def _perturbed(sizes: ExampleSizes) -> list[str]:
    return [
        name for name in _symbols(sizes) if int(name.split("G")[1]) < sizes.perturbed_per_module
    ]


def _conditions(sizes: ExampleSizes) -> list[str]:
    """Singles, every third of them in both spellings, and every second pair."""
    genes = _perturbed(sizes)
    singles = [f"{gene}+{CONTROL}" for gene in genes]
    swapped = [f"{CONTROL}+{gene}" for gene in genes[::3]]
    pairs = [f"{one}+{other}" for one, other in combinations(genes, 2)][::2] if sizes.pairs else []
    return [*singles, *swapped, *pairs]


def _counts(
    condition: npt.NDArray[np.str_], sizes: ExampleSizes, generator: np.random.Generator
) -> npt.NDArray[np.float64]:
    module = np.repeat(np.arange(sizes.modules), sizes.genes_per_module)
    base = generator.uniform(2.0, 6.0, len(module))
    rates = np.tile(base, (len(condition), 1))
    for cell, name in enumerate(condition):
        for gene in genes_of(str(name)):
            rates[cell, module == int(gene[1:].split("G")[0])] *= 2.5
    return generator.poisson(rates).astype(np.float64)
