"""Made-up files in BEELINE's format, from cells that a known network made.

Each factor is drawn by itself, and each gene follows the factors that regulate it. Factors share a
hidden state of the cell, so that a gene correlates with factors that do not regulate it too.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class NetworkSizes:
    """How much of each there is."""

    factors: int = 8
    genes: int = 40
    """Factors among them."""
    cells: int = 200
    edges: int = 2
    """Factors that regulate each gene that is none."""
    dropout: float = 0.1


def write_network_files(
    folder: Path, sizes: NetworkSizes | None = None, *, seed: int = 0
) -> pd.DataFrame:
    """Write ``ExpressionData.csv``, three networks and a list of factors.

    Args:
        folder: to create.
        sizes: how much.
        seed: of everything.

    Returns:
        The edges, as in ``refNetwork.csv``.
    """
    sizes = sizes or NetworkSizes()
    generator = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"ENSG{number:011d}" for number in range(1, sizes.genes + 1)]
    factors = sizes.factors
    weights = np.zeros((factors, sizes.genes))
    for gene in range(factors, sizes.genes):
        chosen = generator.choice(factors, sizes.edges, replace=False)
        weights[chosen, gene] = generator.choice([-1.0, 1.0], sizes.edges)
    state = generator.normal(size=(sizes.cells, 1))
    drawn = 0.4 * state + generator.normal(size=(sizes.cells, factors))
    values = generator.normal(0, 0.4, size=(sizes.cells, sizes.genes)) + drawn @ weights
    values[:, :factors] = drawn
    values = np.maximum(values + 4, 0)
    values[generator.random(values.shape) < sizes.dropout] = 0
    cells = [f"cell_{number}" for number in range(sizes.cells)]
    table = pd.DataFrame(values.T.round(5), index=names, columns=cells)
    table.to_csv(folder / "ExpressionData.csv")
    source, target = np.nonzero(weights)
    edges = pd.DataFrame(
        {
            "Gene1": [names[place] for place in source],
            "Gene2": [names[place] for place in target],
            "Type": np.where(weights[source, target] > 0, "+", "-"),
        }
    )
    edges.to_csv(folder / "refNetwork.csv", index=False)
    edges[["Gene1", "Gene2"]].to_csv(folder / "ChIP-seq-network.csv", index=False)
    half = edges.iloc[::2, :2].assign(Score=1)
    half.to_csv(folder / "STRING-network.csv", index=False)
    listed = pd.DataFrame({"TF": names[:factors], "Sources": "made up"})
    listed.to_csv(folder / "human-tfs.csv", index=False)
    return edges
