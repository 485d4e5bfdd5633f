"""The figure of each page in ``docs/tasks``: ``python -m benchmarks.task_figures`` draws all.

The rows are those behind ``docs/results.md``. A test compares the files with the rows.
"""

from pathlib import Path

from sclong_data.report.standalone import svg_text
from sclong_tasks.result_figures import result_figures
from sclong_tasks.tables import read_rows

ROOT = Path(__file__).resolve().parents[1]
ROWS = ROOT / "benchmarks" / "results"
FOLDER = ROOT / "docs" / "images" / "tasks"
FIGURES = {
    "drug-response": ("drug_response", "drug_response-honest-cell_line-pearson-all"),
    "drug-combination": ("drug_combination", "drug_combination-honest-independent-auroc-all"),
    "batch-integration-mixing": (
        "batch_integration_pbmc",
        "batch_integration-honest-zero_shot-bras-all",
    ),
    "batch-integration-types": (
        "batch_integration_pbmc",
        "batch_integration-honest-zero_shot-nmi-all",
    ),
    "genetic-perturbation": (
        "genetic_perturbation",
        "genetic_perturbation-honest-simulation-pearson_delta_de_non_dropout-all",
    ),
    "genetic-interactions": (
        "genetic_interactions",
        "genetic_interactions-honest-simulation-pearson_magnitude-all",
    ),
    "chemical-perturbation": (
        "chemical_perturbation",
        "chemical_perturbation-honest-compound-pearson-all",
    ),
    "gene-networks": ("grn_mixology", "grn-honest-string-aupr_ratio-all"),
    "cell-type-annotation": (
        "cell_type_annotation_lung",
        "cell_type_annotation-honest-held_out-macro_f1-all",
    ),
    "marker-clustering": ("marker_clustering", "marker_clustering-honest-zero_shot-marker_z-all"),
}
"""Rows and drawing by name of the file."""


def drawn(name: str) -> str:
    """Content of one figure."""
    rows, drawing = FIGURES[name]
    metric = drawing.split("-")[-2]
    return svg_text(result_figures(read_rows(ROWS / f"{rows}.csv.gz"), [metric])[drawing])


def main() -> None:
    """Write every figure."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in FIGURES:
        (FOLDER / f"{name}.svg").write_text(drawn(name), encoding="utf-8")


if __name__ == "__main__":
    main()
