"""Figures that runs drew of themselves, put into the page as pictures that cannot do anything."""

import base64
import re
from xml.etree.ElementTree import Element

from sclong_bench.report.comparison import Comparison
from sclong_bench.report.words import name_of
from sclong_bench.results.schema import LABEL, SOURCE
from sclong_data.report.markup import tag

_MOST, _LARGEST = 6, 400_000


def drawn_model(comparison: Comparison, task: str) -> str:
    """The model whose runs' figures are shown: the reference, or the first where there is none."""
    labels = comparison.results.rows.loc[comparison.results.rows["task"].eq(task), LABEL]
    return comparison.reference_of(task) or str(labels.iloc[0])


def run_figures(comparison: Comparison, task: str) -> Element | None:
    """Those of the model's first run of each scenario; None where there are none."""
    rows = comparison.results.rows
    rows = rows[rows["task"].eq(task) & rows[LABEL].eq(drawn_model(comparison, task))]
    first = rows.sort_values("seed").drop_duplicates(["protocol", "scenario"])
    pictures: list[Element] = []
    for _, row in first.iterrows():
        folder = comparison.results.folders.get(row[SOURCE])
        if folder is None:
            continue
        for path in sorted((folder / "figures").glob("*.svg")):
            if path.stat().st_size <= _LARGEST and len(pictures) < _MOST:
                where = name_of(" ".join(filter(None, [row["protocol"], row["scenario"]])))
                what = re.sub("[-_]+", " ", path.stem)
                words = f"{what} of the run with seed {row['seed']}, {where}"
                content = base64.b64encode(path.read_bytes()).decode()
                source = f"data:image/svg+xml;base64,{content}"
                picture = tag("img", src=source, alt=f"{name_of(task)}: {words}")
                pictures.append(tag("div", picture, tag("small", words)))
    return tag("div", *pictures, class_="embedded") if pictures else None
