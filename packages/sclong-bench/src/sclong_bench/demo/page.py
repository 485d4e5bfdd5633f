"""The page of the demonstration."""

from xml.etree.ElementTree import Element

from sclong_bench.demo.demo_run import DemoRun
from sclong_bench.demo.figures import loss_figure, map_figure, reconstruction_figure
from sclong_bench.demo.notes import notes, provenance
from sclong_bench.demo.results import LARGEST_TYPE, MINI, PCA, SCLONG, summarise, values_of
from sclong_bench.demo.story import (
    BASELINES,
    accuracies,
    accuracy_verdict,
    best_baseline,
    counted,
    duration,
    reconstruction_scores,
    reconstruction_verdict,
    shipped_accuracy,
    shipped_verdict,
    spread,
)
from sclong_data.report.page import Page, Section, key_figures
from sclong_data.report.table import Cell, Column, Table, number


def demo_page(outcome: DemoRun) -> Page:
    """The page of a run."""
    return Page(
        title=f"scLong on {outcome.data.training.size} real cells",
        lede=_lede(outcome),
        summary=_facts(outcome),
        sections=[
            Section("Maps of the cells", [_maps(outcome), map_figure(outcome)]),
            Section("Cell types", [_voting(outcome), _accuracies(outcome)]),
            Section(
                "A tiny model learns from scratch", [_pretraining(outcome), loss_figure(outcome)]
            ),
            Section(
                "Reconstruction of hidden values",
                [reconstruction_verdict(outcome), reconstruction_figure(outcome), _r2(outcome)],
            ),
            Section("What is real, and what is not", [notes(outcome)]),
            Section("Where this comes from", [provenance(outcome)]),
        ],
    )


def _lede(outcome: DemoRun) -> str:
    training = int(outcome.data.training.sum())
    held_out = outcome.data.training.size - training
    trained = (
        f"scLong model of {outcome.training.parameters:,} parameters was pretrained on "
        f"{training} human blood cells, by hiding {outcome.settings.masked:.0%} of the non-zero "
        "values of each cell and learning to tell them from the others. It was then judged on "
        f"{held_out} cells that it had never seen, and asked to embed all {training + held_out}. "
        "It says nothing about the published model."
    )
    if outcome.shipped is None:
        return f"A {trained}"
    return (
        f"{training + held_out} human blood cells, embedded by scLong-mini, the model that comes "
        "with the package and never saw them. `sclong embed cells.h5ad -o embedded.h5ad` does the "
        f"same with yours. Below, what pretraining is, from scratch: a {trained}"
    )


def _maps(outcome: DemoRun) -> str:
    shipped = outcome.shipped
    if shipped is None:
        return shipped_verdict(outcome)
    study = (
        "Other cells of the same study (Zheng et al. 2017) were among them; its scores on studies "
        "that it never saw are on its card (`sclong info`)."
        if shipped.same_study
        else "No cell of the study behind these cells was among them."
    )
    return f"{MINI} was trained on {shipped.cells:,} cells of other data sets. {study}"


def _facts(outcome: DemoRun) -> Element:
    shipped = shipped_accuracy(outcome)
    score = reconstruction_scores(outcome)[SCLONG]
    name, best = best_baseline(outcome)
    ours, theirs = accuracies(outcome)
    of_shipped = (
        ()
        if shipped is None
        else (
            (
                "cell types told by scLong-mini",
                f"{shipped.mean:.1%}",
                f"from principal components: {theirs.mean:.1%}",
            ),
        )
    )
    facts = (
        *of_shipped,
        (
            "R² of hidden values, held-out cells",
            number(score.mean, 2),
            f"best average ({name}): {number(best.mean, 2)}",
        ),
        (
            "cell types told by the tiny model",
            f"{ours.mean:.1%}",
            f"from principal components: {theirs.mean:.1%}",
        ),
        (
            "from cells to this page",
            duration(outcome.total_seconds),
            f"{outcome.machine.used}, no GPU",
        ),
    )
    return key_figures(facts)


def _pretraining(outcome: DemoRun) -> str:
    settings, training = outcome.settings, outcome.training
    return (
        f"{counted(settings.epochs, 'epoch')}, {training.steps:,} steps of {settings.batch_size} "
        "cells. The "
        f"learning rate rises to {settings.learning_rate:g} and falls as half a cosine; the "
        "paper's schedule is made for 48 million cells and would move a new model little in so "
        "few steps."
    )


def _r2(outcome: DemoRun) -> Table:
    rows: list[list[Cell]] = [
        [
            name,
            spread(summarise(outcome.rows, "r2", name), 3),
            summarise(outcome.rows, "pearson", name).mean,
            summarise(outcome.rows, "mse", name).mean,
        ]
        for name in (SCLONG, *BASELINES)
    ]
    columns = (Column("method"), Column("R²", 3), Column("Pearson r", 3), Column("MSE", 3))
    caption = (
        f"Means over {outcome.settings.masks} draws of hidden values, R² ± standard deviation. "
        "MSE: mean squared error"
    )
    return Table(columns, rows, caption=caption, best=0)


def _voting(outcome: DemoRun) -> str:
    return (
        f"The {outcome.settings.nearest} nearest of four fifths of the cells vote on the types of "
        f"the last fifth, in {outcome.settings.splits} splits of all cells. "
        f"{'' if outcome.shipped is None else shipped_verdict(outcome) + ' '}"
        f"{accuracy_verdict(outcome)}"
    )


def _accuracies(outcome: DemoRun) -> Table:
    methods = (*(() if outcome.shipped is None else (MINI,)), SCLONG, PCA, LARGEST_TYPE)
    by_method = [values_of(outcome.rows, "accuracy", name) for name in methods]
    found = [summarise(outcome.rows, "accuracy", name) for name in methods]
    rows: list[list[Cell]] = [
        [str(outcome.settings.seed + draw), *values]
        for draw, values in enumerate(zip(*by_method, strict=True))
    ]
    rows.append(["mean", *(summary.mean for summary in found)])
    rows.append(["s.d.", *(summary.deviation for summary in found)])
    return Table(
        (Column("seed of the split"), *(Column(name, 3) for name in methods)),
        rows,
        caption="Share of cells whose type is told correctly; the last column always guesses the "
        "largest type",
        best=len(rows) - 2,
    )
