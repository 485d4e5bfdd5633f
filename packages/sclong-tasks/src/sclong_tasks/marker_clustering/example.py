"""Made-up cells with types, and lists of their markers in the original formats: for tests.

In cells of a type its markers go up and down together, as one programme does; other genes that are
expressed as much go their own way. Between types nothing differs.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
from scipy import sparse

from sclong_tasks.marker_clustering.markers import PEGASUS, SCTYPE


@dataclass(frozen=True)
class ExampleSizes:
    """How much of each there is."""

    types: int = 3
    cells: int = 30
    """Of each type."""
    genes: int = 60
    markers: int = 6
    """Of each type."""


def write_marker_example(folder: Path, sizes: ExampleSizes | None = None, *, seed: int = 0) -> Path:
    """Write ``pbmc68k_reduced.h5ad``, ScType's workbook and Pegasus's file; give the first."""
    sizes = sizes or ExampleSizes()
    generator = np.random.default_rng(seed)
    genes = [f"GENE{number}" for number in range(sizes.genes)]
    kinds = [f"Type {number}" for number in range(sizes.types)]
    lists = {
        kind: genes[number * sizes.markers : (number + 1) * sizes.markers]
        for number, kind in enumerate(kinds)
    }
    types = np.repeat(kinds, sizes.cells)
    rates = np.tile(generator.uniform(3, 12, sizes.genes), (len(types), 1))
    for number, kind in enumerate(kinds):
        here = np.flatnonzero(types == kind)
        together = generator.lognormal(0, 0.8, len(here))
        columns = np.arange(number * sizes.markers, (number + 1) * sizes.markers)
        rates[np.ix_(here, columns)] *= together[:, None]
    cells = anndata.AnnData(
        sparse.csr_matrix(generator.poisson(rates), dtype="f4"),
        obs=pd.DataFrame(
            {"bulk_labels": types}, index=[f"cell{number}" for number in range(len(types))]
        ),
        var=pd.DataFrame(index=genes),
    )
    folder.mkdir(parents=True, exist_ok=True)
    cells.write_h5ad(folder / "pbmc68k_reduced.h5ad")
    rows = [("Immune system", kind, ",".join(found), "", kind) for kind, found in lists.items()]
    named = ["tissueType", "cellName", "geneSymbolmore1", "geneSymbolmore2", "shortName"]
    pd.DataFrame(rows, columns=named).to_excel(folder / SCTYPE, index=False)
    groups: list[dict[str, Any]] = [
        {"name": kind, "markers": [{"genes": [*(f"{gene}+" for gene in found), "GENE0-"]}]}
        for kind, found in lists.items()
    ]
    groups[0]["subtypes"] = {"cell_types": [groups.pop()]}
    text = json.dumps({"title": "made up", "cell_types": groups})
    (folder / PEGASUS).write_text(text, encoding="utf-8")
    return folder / "pbmc68k_reduced.h5ad"
