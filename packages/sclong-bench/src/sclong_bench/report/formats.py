"""Tables as CSV, Markdown and LaTeX, and figures as SVG files, beside the page."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path

import pandas as pd

from sclong_bench.report.comparison import Comparison
from sclong_bench.report.figures import bar_panels
from sclong_bench.report.page import title, write_report
from sclong_bench.report.summaries import Line, Setting
from sclong_bench.report.tables import decimals_of, family_caption, role_words
from sclong_bench.report.units import Beyond
from sclong_bench.report.verdicts import metric_of, place_of, reference_words
from sclong_bench.report.words import heading_of, interval, name_of, p_text, plain
from sclong_core.errors import ConfigError
from sclong_core.escaping import (
    for_latex,
    for_markdown,
    for_spreadsheet,
    table_for_spreadsheet,
    visible,
)
from sclong_core.files import atomic_file, atomic_folder
from sclong_data.outputs import begins_with, require_output
from sclong_data.report.page import is_page
from sclong_data.report.standalone import require_drawings, write_svg

FORMATS = ("html", "csv", "markdown", "latex", "svg")
FIGURES = ".figures"
"""Ending of the folder of figures."""
_MARKDOWN_MARK = "<!-- Written by sclong bench report, which replaces it. -->"
_LATEX_MARK = "% Written by sclong bench report, which replaces it."
_HEADINGS = ("model", "kind", "published", "ours", "s.d.", "seeds", "p", "q", "Hedges g")


def write_formats(
    path: Path, comparison: Comparison, formats: Sequence[str], *, inputs: Sequence[Path] = ()
) -> list[Path]:
    """Write what is asked for; returns what was written.

    A former report of the same name is replaced, and nothing else.

    Args:
        path: of the page; other files have its name with other endings.
        comparison: what is reported.
        formats: some of :data:`FORMATS`.
        inputs: what was read, which is never written to.

    Raises:
        ConfigError: an unknown format.
        InputError: a file or folder is there that no report has written; nothing is written then.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise ConfigError(f"there is no format {unknown[0]!r}: choose among {', '.join(FORMATS)}")
    writers: dict[str, Callable[[Path, Comparison], list[Path]]] = {
        "html": _html,
        "csv": _csv,
        "markdown": _markdown,
        "latex": _latex,
        "svg": _svg,
    }
    for name in formats:
        _require_places(name, path, comparison, inputs)
    path.parent.mkdir(parents=True, exist_ok=True)
    return [
        written for name in dict.fromkeys(formats) for written in writers[name](path, comparison)
    ]


def models_frame(comparison: Comparison) -> pd.DataFrame:
    """One row a model and setting, unrounded."""
    rows = [
        {
            "task": setting.task,
            "protocol": setting.protocol,
            "scenario": setting.scenario,
            "stratum": setting.stratum,
            "metric": setting.metric,
            "higher_is_better": setting.higher_is_better,
            "model": line.label,
            "role": line.role,
            "published": None if line.published is None else line.published.value,
            "published_origin": "" if line.published is None else line.published.origin,
            "n_seeds": len(line.seeds),
            "missing_seeds": line.missing,
            "mean": line.mean,
            "sd": line.sd,
            "mean_low": line.low,
            "mean_high": line.high,
            "unit": line.unit,
            "unit_low": line.unit_low,
            "unit_high": line.unit_high,
            "n": line.n,
            "reason": line.reason,
        }
        for setting in comparison.settings
        for line in setting.lines
    ]
    return pd.DataFrame(rows)


def _html(path: Path, comparison: Comparison) -> list[Path]:
    write_report(path, comparison)
    return [path]


def _require_places(name: str, path: Path, comparison: Comparison, inputs: Sequence[Path]) -> None:
    """Refuse to replace what no report has written in this format."""
    if name == "svg":
        require_drawings(path.with_suffix(FIGURES))
    elif name == "csv":
        for kind, table in _tables(comparison).items():
            header = ",".join(map(for_spreadsheet, map(str, table.columns)))
            target = path.with_suffix(f".{kind}.csv")
            require_output(target, inputs, ours=partial(begins_with, text=header))
    elif name == "html":
        require_output(path, inputs, ours=is_page)
    else:
        ending, mark = {"markdown": (".md", _MARKDOWN_MARK), "latex": (".tex", _LATEX_MARK)}[name]
        require_output(path.with_suffix(ending), inputs, ours=partial(begins_with, text=mark))


def _tables(comparison: Comparison) -> dict[str, pd.DataFrame]:
    return {
        "models": models_frame(comparison),
        "comparisons": comparison.comparisons,
        "beyond_seeds": pd.DataFrame(
            [vars(one) for one in comparison.beyond], columns=[one.name for one in fields(Beyond)]
        ),
    }


def _csv(path: Path, comparison: Comparison) -> list[Path]:
    written = []
    for name, table in _tables(comparison).items():
        if len(table):
            target = path.with_suffix(f".{name}.csv")
            with atomic_file(target) as temporary:
                table_for_spreadsheet(table).to_csv(temporary, index=False)
            written.append(target)
    return written


def _markdown(path: Path, comparison: Comparison) -> list[Path]:
    parts = [
        _MARKDOWN_MARK,
        f"# {for_markdown(title(comparison))}",
        "\n".join(f"- {for_markdown(line)}" for line in _references(comparison)),
    ]
    for setting in comparison.settings:
        parts.append(f"## {for_markdown(_title(setting))}")
        rows = [_HEADINGS, ["---"] * len(_HEADINGS), *_rows(comparison, setting)]
        parts.append("\n".join(f"| {' | '.join(map(for_markdown, row))} |" for row in rows))
        if len(comparison.comparisons_of(setting)):
            parts.append(for_markdown(family_caption(comparison, setting)))
    target = path.with_suffix(".md")
    with atomic_file(target) as temporary:
        temporary.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return [target]


def _latex(path: Path, comparison: Comparison) -> list[Path]:
    """Tables for the package booktabs, each a float of its own."""
    parts = [
        _LATEX_MARK,
        f"% {visible(title(comparison))}; needs \\usepackage{{booktabs}}",
        "\n".join(f"% {visible(line)}" for line in _references(comparison)),
        *(_latex_table(comparison, setting) for setting in comparison.settings),
    ]
    target = path.with_suffix(".tex")
    with atomic_file(target) as temporary:
        temporary.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return [target]


def _latex_table(comparison: Comparison, setting: Setting) -> str:
    caption = _title(setting) + "."
    if len(comparison.comparisons_of(setting)):
        caption += f" {family_caption(comparison, setting)}"
    lines = [
        r"\begin{table}",
        r"\centering",
        r"\begin{tabular}{ll" + "r" * (len(_HEADINGS) - 2) + "}",
        r"\toprule",
        " & ".join(map(for_latex, _HEADINGS)) + r" \\",
        r"\midrule",
        *(" & ".join(map(for_latex, row)) + r" \\" for row in _rows(comparison, setting)),
        r"\bottomrule",
        r"\end{tabular}",
        rf"\caption{{{for_latex(caption)}}}",
        rf"\label{{tab:{setting.slug}}}",
        r"\end{table}",
    ]
    return "\n".join(lines)


def _svg(path: Path, comparison: Comparison) -> list[Path]:
    target = path.with_suffix(FIGURES)
    written = []
    with atomic_folder(target, overwrite=True) as temporary:
        for setting in comparison.settings:
            bars, enlarged = bar_panels(setting)
            for kind, drawing in (("bars", bars), ("enlarged", enlarged)):
                name = f"{setting.slug}-{kind}.svg"
                write_svg(temporary / name, drawing)
                written.append(target / name)
    return written


def _references(comparison: Comparison) -> list[str]:
    return [f"{name_of(task)}: {reference_words(comparison, task)}" for task in comparison.tasks]


def _title(setting: Setting) -> str:
    place = place_of(setting)
    return f"{heading_of(setting.task)}: {metric_of(setting)}{', ' if place else ''}{place}"


def _rows(comparison: Comparison, setting: Setting) -> list[list[str]]:
    table = comparison.comparisons_of(setting).set_index("model")
    decimals = decimals_of(setting)
    found = []
    for line in setting.lines:
        tested = ["", "", ""]
        if line.label in table.index:
            row = table.loc[line.label]
            tested = [p_text(row["p_value"]), p_text(row["q_value"]), plain(row["hedges_g"], 1)]
        published = "" if line.published is None else line.published.printed
        ours = _ours(line, decimals)
        sd = plain(line.sd, decimals + 1)
        found.append([line.label, role_words(line), published, ours, sd, _seeds(line), *tested])
    return found


def _ours(line: Line, decimals: int) -> str:
    if not line.values:
        reason = line.reason or "no runs"
        return reason if reason == "not run" else f"could not be run: {reason}"
    return f"{plain(line.mean, decimals)} {interval(line.low, line.high, decimals)}".strip()


def _seeds(line: Line) -> str:
    lacking = len(line.missing.split())
    return f"{len(line.seeds)} of {len(line.seeds) + lacking}" if lacking else str(len(line.seeds))
