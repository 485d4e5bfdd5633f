"""The page of a benchmark."""

import math
from pathlib import Path
from xml.etree.ElementTree import Element

from sclong_bench.report.checklist import checklist
from sclong_bench.report.comparison import Comparison
from sclong_bench.report.figures import ablation_figure, bar_figure, roc_figure
from sclong_bench.report.maps import run_maps
from sclong_bench.report.others import beyond_table, other_settings, recomputed_table
from sclong_bench.report.provenance import (
    commands,
    data_table,
    missing_table,
    runs_table,
    versions_blocks,
)
from sclong_bench.report.run_figures import drawn_model, run_figures
from sclong_bench.report.summaries import Setting
from sclong_bench.report.tables import comparison_table, decimals_of, models_table
from sclong_bench.report.verdicts import metric_of, place_of, reference_words, sentence, verdict
from sclong_bench.report.words import NOTHING, breakable, counted, heading_of, name_of, plain
from sclong_bench.results.schema import RUN, failed, measured
from sclong_data.report.markup import tag
from sclong_data.report.page import Block, Page, Section, key_figures, write_page
from sclong_data.report.table import Cell, Column, Ranked, Table

_STATES = {"yes": "✓ yes", "partly": "◐ partly", "no": "✗ no"}


def write_report(path: Path, comparison: Comparison) -> None:
    """Write the page, whole or not at all."""
    write_page(path, report_page(comparison))


def report_page(comparison: Comparison) -> Page:
    """The page of these results."""
    sections = [Section("Summary", _summary(comparison))]
    sections += [Section(heading_of(task), _task(comparison, task)) for task in comparison.tasks]
    sections.append(Section("Failed and missing runs", _missing(comparison)))
    recomputed = recomputed_table(comparison)
    if recomputed is not None:
        sections.append(Section("The paper's tests, made again", recomputed))
    sections.append(Section("What a credible report has", [_checks(comparison)]))
    sections.append(Section("Where this comes from", _origin(comparison)))
    return Page(
        title=title(comparison),
        lede=_lede(comparison),
        summary=_facts(comparison),
        sections=sections,
        contents=True,
    )


def title(comparison: Comparison) -> str:
    """What the results are of."""
    whose = f"{comparison.reference} and others" if comparison.reference else "Models"
    return f"{whose} on {counted(len(comparison.tasks), 'task')}"


def _lede(comparison: Comparison) -> str:
    runs = len(measured(comparison.results.rows).drop_duplicates(RUN))
    models = len(comparison.roles)
    beside = comparison.reference or "the reference of its task"
    return (
        f"{counted(runs, 'run')} of {counted(models, 'model')}, each compared with "
        f"{beside} over its seeds. The paper's numbers stand beside ours and are never "
        "mixed with them. Tests over seeds measure training noise only; "
        "intervals over units say how far a result holds for other drugs, cell lines or genes."
    )


def _facts(comparison: Comparison) -> Element:
    main = [setting for task in comparison.tasks for setting in comparison.main_settings(task)]
    found = [verdict(comparison, setting) for setting in main]
    found = [one for one in found if one.compared]
    good = sum(one.good for one in found)
    behind = sum(bool(one.behind) for one in found)
    checks = checklist(comparison)
    ticked = sum(check.state == "yes" for check in checks)
    failing = len(comparison.lacking.drop_duplicates(["task", "protocol", "scenario", "label"]))
    broken = len(failed(comparison.results.rows).drop_duplicates(RUN))
    name = comparison.reference or "the reference"
    facts = (
        (f"{name} clearly ahead of all", f"{good} of {len(found)}", "main tables, q < 0.05"),
        (f"{name} not ahead of some model", f"{behind} of {len(found)}", "main tables; see below"),
        ("models that lack runs", str(failing), f"{counted(broken, 'run')} failed; all listed"),
        ("checks of a credible report", f"{ticked} of {len(checks)}", "from the data alone"),
    )
    return key_figures(facts)


def _summary(comparison: Comparison) -> list[Block]:
    """One line a main setting: ours, the best other, the best trivial baseline, the verdict."""
    columns = (
        Column("task"),
        Column("metric, split"),
        Column(comparison.reference or "reference", right=True),
        Column("published", right=True),
        Column("best other", right=True),
        Column("best baseline", right=True),
        Column("verdict", words=True),
    )
    rows: list[list[Cell]] = []
    for task in comparison.tasks:
        for setting in comparison.main_settings(task):
            place = place_of(setting)
            where = f"{name_of(setting.metric)}{', ' if place else ''}{place}"
            ours = setting.of(comparison.reference_of(task))
            published = ours.published if ours is not None else None
            rows.append(
                [
                    name_of(task),
                    where,
                    _best(setting, "reference", named=not comparison.reference),
                    Ranked(published.printed, published.value)
                    if published is not None
                    else Ranked(NOTHING, math.nan),
                    _best(setting, "model", "ablation"),
                    _best(setting, "simple", "floor"),
                    verdict(comparison, setting).words,
                ]
            )
    caption = (
        "Means over seeds. “Ahead” is a better mean; “clearly” a q-value below 0.05. Baselines: "
        "the best of the simple and trivial ones"
    )
    return [Table(columns, rows, caption=caption, sortable=True)]


def _best(setting: Setting, *roles: str, named: bool = True) -> Cell:
    line = setting.best(*roles)
    if line is None:
        return Ranked(NOTHING, math.nan)
    text = plain(line.mean, decimals_of(setting))
    if not named:
        return Ranked(text, line.mean)
    name = tag("small", *breakable(line.label), class_="name")
    return Ranked(tag("span", text, " ", name), line.mean)


def _task(comparison: Comparison, task: str) -> list[Block]:
    blocks: list[Block] = [reference_words(comparison, task)]
    for setting in comparison.main_settings(task):
        place = place_of(setting)
        heading = f"{metric_of(setting)}{', ' if place else ''}{place}"
        blocks += [
            tag("h3", heading),
            sentence(comparison, setting),
            models_table(comparison, setting),
        ]
        blocks.append(bar_figure(setting))
        table = comparison_table(comparison, setting)
        blocks += [table] if table is not None else []
        roc = roc_figure(comparison, setting)
        blocks += [roc] if roc is not None else []
    parts = ablation_figure(comparison, task)
    maps = run_maps(comparison, task)
    blocks += [tag("h3", "Without parts of it"), parts] if parts is not None else []
    blocks += [tag("h3", "Maps of the cells"), *maps] if maps else []
    beyond = beyond_table(comparison, task)
    if beyond is not None:
        blocks += [tag("h3", "Beyond seeds: the same test rows"), beyond]
    blocks += other_settings(comparison, task)
    drawn = run_figures(comparison, task)
    if drawn is not None:
        blocks += [tag("h3", f"Figures of runs of {drawn_model(comparison, task)}"), drawn]
    return blocks


def _missing(comparison: Comparison) -> list[Block]:
    table = missing_table(comparison)
    if table is None:
        return ["None: every model has every seed that another one of its split has."]
    words = "A model that lacks a run is shown with the seeds that it has, and is not tested."
    return [words, table]


def _checks(comparison: Comparison) -> Element:
    items = (
        tag(
            "li",
            tag("span", _STATES[check.state], class_=f"state {check.state}"),
            tag("span", f"({check.letter}) {check.question}", tag("small", check.because)),
        )
        for check in checklist(comparison)
    )
    return tag("ul", *items, class_="checks")


def _origin(comparison: Comparison) -> list[Block]:
    blocks: list[Block] = [runs_table(comparison)]
    data = data_table(comparison)
    blocks += [data] if data is not None else []
    blocks += versions_blocks(comparison)
    typed = commands(comparison)
    if typed:
        blocks.append(
            "Commands, to type again, with --data and --checkpoint where these lie elsewhere:"
            if comparison.results.folders
            else "Commands, to type again:"
        )
        blocks.append(tag("ul", *(tag("li", tag("code", line)) for line in typed), class_="notes"))
    blocks.append(f"Read from {comparison.results.name}.")
    return blocks
