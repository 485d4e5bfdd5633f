"""The report of the evidence: claims first, then everything that any report of results has."""

from dataclasses import replace
from pathlib import Path
from xml.etree.ElementTree import Element

import pandas as pd

from sclong_bench.evidence.claims import CLAIMS, FAMILY, MEASURES, gains, judgement, summary
from sclong_bench.evidence.collect import Collected
from sclong_bench.evidence.known import Coverage
from sclong_bench.evidence.measure import GENE_MEANS
from sclong_bench.evidence.similarity import similarity_figure
from sclong_bench.evidence.suite import FULL, EvidenceSuite
from sclong_bench.evidence.tables import (
    BASELINE_HEADINGS,
    KNOWN_HEADINGS,
    baseline_cells,
    gains_table,
    known_cells,
    primary_settings,
)
from sclong_bench.evidence.words import budget, data_words, known_words, limits
from sclong_bench.report.comparison import Comparison, gather
from sclong_bench.report.figures import ablation_figure
from sclong_bench.report.maps import MapPanel, map_figure
from sclong_bench.report.page import report_page
from sclong_bench.report.words import name_of
from sclong_bench.statistics.comparison import Plan
from sclong_data.report.markup import tag
from sclong_data.report.page import Block, Page, Section, key_figures, write_page
from sclong_data.report.table import Cell, Column, Table

COMMAND = "sclong bench evidence --data FOLDER --output evidence"
"""That makes all of it."""
ROLES = {
    "gene_and_cell_mean": "floor",
    "expression_cosine": "simple",
    "gene_vectors": "simple",
}
"""Of models whose name does not tell."""
_EVERY = 3
"""Of so many cells one is drawn."""


def evidence_of(collected: Collected) -> Comparison:
    """The comparisons of the evidence, by the plan that was declared.

    The mean over genes as another way from genes to a cell stays in the rows: with it the page
    would be twice as long.
    """
    rows = collected.results.rows
    shown = replace(collected.results, rows=rows[rows["protocol"].ne(GENE_MEANS)])
    return gather(shown, FULL, Plan(family=FAMILY), declared=ROLES, command=COMMAND)


def write_evidence(path: Path, collected: Collected, suite: EvidenceSuite) -> None:
    """Write the page, whole or not at all."""
    write_page(path, evidence_page(collected, suite))


def evidence_page(collected: Collected, suite: EvidenceSuite) -> Page:
    """The page of collected results."""
    evidence = evidence_of(collected)
    plain = report_page(evidence)
    sections = [
        Section("What helps, and what does not", _claims(evidence)),
        Section("Beside simple methods", _baselines(evidence)),
        Section("Maps of the cells", _maps(collected.maps)),
        Section("Similarity of genes", _similarity(collected)),
        Section("What was done", _done(suite, evidence, collected.coverage)),
    ]
    return replace(
        plain,
        title="Evidence at small scale",
        lede=(
            "The claim behind scLong is that pretraining, an encoder for genes of low expression "
            "and a gene graph help. Here a tiny scLong and the ablations of the paper, each "
            "pretrained from the start with the same budget, are judged on cells and data sets "
            "that none of them has seen. It says what these parts do at this size, and nothing "
            "about the published model."
        ),
        summary=_facts(evidence),
        sections=[*sections, *plain.sections[1:]],
    )


def _facts(evidence: Comparison) -> Element:
    return key_figures(
        (claim.part, judgement(found), summary(found))
        for claim in CLAIMS
        for found in [gains(evidence, claim)]
    )


def _claims(evidence: Comparison) -> list[Block]:
    blocks: list[Block] = []
    for claim in CLAIMS:
        found = gains(evidence, claim)
        blocks += [
            tag("h3", claim.part),
            f"{claim.part} {summary(found)}.",
            gains_table(claim, found),
        ]
    for task in evidence.tasks:
        drawn = ablation_figure(evidence, task, primary_settings(evidence))
        blocks += [drawn] if drawn is not None else []
    return blocks


def _baselines(evidence: Comparison) -> list[Block]:
    rows: list[list[Cell]] = [
        list(baseline_cells(evidence, setting, MEASURES[setting.task, setting.metric]))
        for setting in primary_settings(evidence)
    ]
    columns = [Column(name, words=place in (0, 5)) for place, name in enumerate(BASELINE_HEADINGS)]
    caption = (
        "The full model over seeds, and the best method without any network: averages for hidden "
        "values, the values themselves and their principal components for cells"
    )
    words = (
        "Principal components are fitted to the very cells that are measured, without their types; "
        "averages to the cells of pretraining. Shuffled points mix batches best of all and tell "
        "nothing: measures of mixing are read beside those of cell types."
    )
    return [words, Table(columns, rows, caption=caption)]


def _maps(maps: pd.DataFrame) -> list[Block]:
    blocks: list[Block] = []
    names = {"batch": "batch", "label": "cell type"}
    shown = maps[maps["model"].ne("pca")]
    for scenario, cells in shown.groupby("scenario", sort=False):
        for column, words in names.items():
            panels = [
                MapPanel(
                    name_of(str(model)),
                    points[["x", "y"]].to_numpy(dtype=float)[::_EVERY],
                    points[column].tolist()[::_EVERY],
                )
                for model, points in cells.groupby("model", sort=False)
            ]
            caption = (
                f"UMAP of {len(panels[0].points)} cells of {name_of(str(scenario))}, coloured by "
                f"{words}: in the space of the model and of the untrained one; first seed, every "
                "third cell. Distances between groups in a UMAP mean little."
            )
            blocks.append(map_figure(f"{scenario}-{column}", panels, caption))
    return blocks or ["No data set has both types and batches."]


def _similarity(collected: Collected) -> list[Block]:
    drawn = similarity_figure(collected.similarity)
    return [drawn] if drawn is not None else ["No type has enough markers that models know."]


def _done(suite: EvidenceSuite, evidence: Comparison, coverage: Coverage) -> list[Block]:
    lists = (data_words(suite), limits(suite, coverage))
    rows: list[list[Cell]] = [list(line) for line in known_cells(coverage)]
    columns = [Column(name, words=place in (1, 3)) for place, name in enumerate(KNOWN_HEADINGS)]
    known = Table(columns, rows, caption="What is known of genes, and how much of it models know")
    return [
        budget(suite, evidence, coverage),
        *(tag("ul", *(tag("li", line) for line in lines), class_="notes") for lines in lists),
        tag("h3", "What is known of genes"),
        known_words(suite, coverage),
        known,
    ]
