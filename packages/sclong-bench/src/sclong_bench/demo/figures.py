"""Figures of the demonstration, each with the numbers behind it."""

import numpy as np

from sclong_bench.demo.data import SPLIT
from sclong_bench.demo.demo_run import DemoRun
from sclong_bench.demo.evaluate import Floats
from sclong_bench.demo.results import GENE_AND_CELL, SCLONG, summarise, values_of
from sclong_bench.demo.story import BASELINES, reconstruction_scores
from sclong_data.report.bars import Bar, bar_chart
from sclong_data.report.figure import Figure
from sclong_data.report.lines import Series, line_chart
from sclong_data.report.scatter import Group, legend, scatter
from sclong_data.report.svg import Text
from sclong_data.report.table import Cell, Column, Table, number


def loss_figure(outcome: DemoRun) -> Figure:
    """Loss of training and held-out cells over time."""
    training, held_out = outcome.training.training_loss, outcome.training.held_out_loss
    level = summarise(outcome.rows, "mse", GENE_AND_CELL).mean
    end = float(outcome.settings.epochs)
    chart = line_chart(
        Text(
            "loss",
            "Loss over time",
            f"Mean squared error of hidden values. Training cells: from {training[0][1]:.2f} to "
            f"{training[-1][1]:.2f}. Held-out cells: from {held_out[0][1]:.2f} to "
            f"{held_out[-1][1]:.2f}. The best average stays at {level:.2f}.",
        ),
        [
            Series("training", training),
            Series("held out", held_out),
            Series(GENE_AND_CELL, ((0.0, level), (end, level))),
        ],
        x_label="epochs",
        y_label="mean squared error, logarithmic",
        logarithmic=True,
    )
    caption = (
        "Mean squared error of scored values (log1p counts) while the model trains, in the cells "
        "it trains on and in those it never sees. In training one in ten of them stays visible, in "
        "held-out cells none does. The dashed line is what the best average reaches on held-out "
        f"cells: {GENE_AND_CELL}."
    )
    tables = [
        Table((Column("epoch", 2), Column(name, 4)), rows, caption=f"Loss of {name} cells")
        for name, rows in (("held-out", held_out), ("training", training))
    ]
    return Figure([chart], caption, tables)


def reconstruction_figure(outcome: DemoRun) -> Figure:
    """R2 of the model beside averages."""
    scores = reconstruction_scores(outcome)
    chart = bar_chart(
        Text(
            "r2",
            "Reconstruction of hidden values in held-out cells",
            "; ".join(f"{name}: R² {number(score.mean, 2)}" for name, score in scores.items())
            + ".",
        ),
        [Bar(name, score.mean, emphasis=name == SCLONG) for name, score in scores.items()],
        label="R² of hidden values in held-out cells",
    )
    caption = (
        "Share of the variance of hidden values that each method explains, in cells that none of "
        f"them was fitted to; mean over {outcome.settings.masks} draws of hidden values. Averages "
        "are of non-zero values, as hidden values are; those of cells are taken from the visible "
        "ones."
    )
    draws = [f"draw {draw + 1}" for draw in range(outcome.settings.masks)]
    table = Table(
        [Column("R²"), *(Column(name, 3) for name in draws)],
        [[name, *values_of(outcome.rows, "r2", name)] for name in (SCLONG, *BASELINES)],
        caption="R² of each draw of hidden values",
    )
    return Figure([chart], caption, [table])


def map_figure(outcome: DemoRun) -> Figure:
    """Maps of the cells, coloured by cell type."""
    cell_types = outcome.data.cell_types
    names, counts = np.unique(cell_types, return_counts=True)
    order = [str(names[place]) for place in np.argsort(-counts, kind="stable")]
    panels = {
        name: [Group(kind, _pairs(points[cell_types == kind])) for kind in order]
        for name, points in outcome.maps.items()
    }
    drawings = [
        scatter(
            Text(
                f"map-{name.lower()}",
                f"Map of the cells by {name}",
                f"UMAP of {cell_types.size} cells from the {name} space, coloured by the "
                f"{len(order)} cell types. Coordinates are in the table below.",
            ),
            groups,
            heading=name,
            axes="UMAP",
        )
        for name, groups in panels.items()
    ]
    caption = (
        f"UMAP of all cells, from {'' if outcome.shipped is None else 'scLong-mini, from '}"
        "the embedding of the tiny pretrained model and from "
        f"{outcome.settings.components} principal components of the same cells; same settings, "
        "same seed. Colours and shapes are cell types, with numbers of cells; the model never saw "
        "them. Distances between groups in a UMAP mean little."
    )
    return Figure(
        drawings, caption, [_coordinates(outcome)], legend=legend(next(iter(panels.values())))
    )


def _coordinates(outcome: DemoRun) -> Table:
    columns = [Column("cell"), Column("cell type"), Column("split")]
    columns += [Column(f"{name} {axis}", 2) for name in outcome.maps for axis in (1, 2)]
    cells = outcome.data.cells
    points = np.hstack(list(outcome.maps.values()))
    rows: list[list[Cell]] = [
        [str(name), str(kind), str(split), *map(float, place)]
        for name, kind, split, place in zip(
            cells.obs_names, outcome.data.cell_types, cells.obs[SPLIT], points, strict=True
        )
    ]
    return Table(columns, rows, caption="Coordinates of the cells")


def _pairs(points: Floats) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in points]
