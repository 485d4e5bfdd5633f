"""The parts of sclong-mini one at a time: trained, judged on development sets, compared.

    python -m studies.mini.parts CORPUS --data DATA -o parts
    python -m studies.mini.parts --page docs/parts.md           # table and figures, from the rows

Runs that are there are not made again, and a run that was stopped goes on.
"""

import argparse
import csv
import json
import logging
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
import yaml

from sclong_bench.judging.measure import measure
from sclong_bench.judging.models import Checkpoint
from sclong_bench.judging.sets import LabelledCells, read_labelled, read_sets
from sclong_bench.statistics.correction import adjust
from sclong_bench.statistics.sample import Sample
from sclong_bench.statistics.tests import compare_samples
from sclong_core.files import atomic_file
from sclong_core.vocabulary import GeneVocabulary
from sclong_data.report.bars import Bar, bar_chart
from sclong_data.report.standalone import write_svg
from sclong_data.report.svg import Text
from sclong_tasks.tables import fill_block

HERE = Path(__file__).parent
ROWS = HERE.parents[1] / "benchmarks" / "results" / "mini" / "parts.json"
FULL, UNTRAINED = "full", "untrained"
MEASURES = {
    "macro_f1": "macro-F1 of types",
    "cilisi": "CiLISI of batches",
    "bras": "BRAS of batches",
    "val/cell_r2": "R² of values, from the vector",
    "val/cell_detection_auroc": "detection, from the vector",
}
"""By name: a mean over the development sets, or a measure of held-out cells of the corpus."""
FIGURES = {
    "macro_f1": "images/parts-types.svg",
    "val/cell_detection_auroc": "images/parts-detection.svg",
}
_LOG = logging.getLogger("sclong")


@dataclass(frozen=True)
class Row:
    """One number of one run."""

    variant: str
    seed: int
    measure: str
    data: str
    """Development set, or "corpus" for its held-out cells."""
    value: float


def main() -> None:
    """Train and judge what is missing, and fill the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", nargs="?", type=Path, help="made by `sclong data harmonise`")
    parser.add_argument("--data", type=Path, help="folder of the sets that judge")
    parser.add_argument("--graph", type=Path, help="graph.npz of the corpus's vocabulary")
    parser.add_argument("--variants", nargs="+", help="these alone")
    parser.add_argument("-o", "--output", type=Path, default=Path("parts"))
    parser.add_argument("--page", type=Path, help="Markdown page to fill, from the rows")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    study = yaml.safe_load((HERE / "parts.yaml").read_text(encoding="utf-8"))
    if args.corpus is not None:
        if args.data is None:
            parser.error("--data is missing: the folder of the sets that judge")
        _make(study, args)
    if args.page is not None:
        text = args.page.read_text(encoding="utf-8")
        with atomic_file(args.page) as temporary:
            temporary.write_text(filled_page(text, read_rows()), encoding="utf-8")
        for measured, path in FIGURES.items():
            write_svg(args.page.parent / path, figure(read_rows(), measured))


def _make(study: Mapping[str, Any], args: argparse.Namespace) -> None:
    sets = [one for one in read_sets(HERE / "sets.yaml") if one.role == "development"]
    cells = [read_labelled(one, args.data) for one in sets]
    chosen = args.variants or list(study["variants"])
    for seed in study["seeds"]:
        for variant in chosen:
            settings = study["variants"][variant]
            if settings.get("graph") and args.graph is None:
                _LOG.warning("%s is left out: it needs --graph", variant)
                continue
            run = args.output / f"{variant}-{seed}"
            _train(study, variant, seed, run, args)
            _judge(variant, seed, run, cells)
    found = [
        Row(**row)
        for seed in study["seeds"]
        for variant in (*study["variants"], UNTRAINED)
        if (path := args.output / f"{variant}-{seed}" / "rows.json").is_file()
        for row in json.loads(path.read_text(encoding="utf-8"))
    ]
    _write(ROWS, found)


def _train(
    study: Mapping[str, Any], variant: str, seed: int, run: Path, args: argparse.Namespace
) -> None:
    if (run / "model").is_dir():
        return
    run.mkdir(parents=True, exist_ok=True)
    settings = study["variants"][variant]
    (run / "budget.yaml").write_text(yaml.safe_dump(study["budget"]), encoding="utf-8")
    (run / "part.yaml").write_text(yaml.safe_dump(settings.get("config", {})), encoding="utf-8")
    words = ["--data.path", str(args.corpus), "--seed_everything", str(seed)]
    words += ["--trainer.default_root_dir", str(run)]
    if settings.get("graph"):
        words += ["--model.graph", str(args.graph), "--model.network.graph", settings["graph"]]
    if settings.get("random_gene_vectors"):
        genes = len(GeneVocabulary.read(args.corpus / "vocabulary.tsv"))
        vectors = np.random.default_rng(seed).standard_normal((genes, 64)) * 64**-0.5
        np.save(run / "vectors.npy", vectors.astype(np.float32))
        words += ["--model.gene_vectors", str(run / "vectors.npy")]
    _LOG.info("training %s, seed %d", variant, seed)
    subprocess.run(  # noqa: S603  # this study's own settings
        [
            *(sys.executable, "-P", "-m", "sclong_core", "pretrain", "fit", "--config", "mini"),
            *("--config", str(run / "budget.yaml"), "--config", str(run / "part.yaml"), *words),
        ],
        check=True,
        stdout=(run / "log.txt").open("w"),
        stderr=subprocess.STDOUT,
    )


def _judge(variant: str, seed: int, run: Path, cells: Sequence[LabelledCells]) -> None:
    if (run / "rows.json").is_file():
        return
    checkpoint = Checkpoint(run / "model")
    rows = [*_measured(variant, seed, checkpoint.embed, cells), *_held_out(variant, seed, run)]
    _write(run / "rows.json", rows)
    if variant == FULL:
        beside = run.with_name(f"{UNTRAINED}-{seed}")
        beside.mkdir(exist_ok=True)

        def embed(of: LabelledCells) -> Any:
            return checkpoint.embed_untrained(of, seed)

        _write(beside / "rows.json", list(_measured(UNTRAINED, seed, embed, cells)))


def _measured(variant: str, seed: int, embed: Any, cells: Sequence[LabelledCells]) -> Iterator[Row]:
    for one in cells:
        for found in measure(embed(one), one, draws=0, clusters=False):
            if found.measure in MEASURES:
                yield Row(variant, seed, found.measure, one.described.name, found.value)


def _held_out(variant: str, seed: int, run: Path) -> Iterator[Row]:
    """The last validation of the training."""
    with max(run.glob("logs/version_*/metrics.csv")).open(encoding="utf-8") as file:
        lines = [line for line in csv.DictReader(file) if line.get("val/cell_r2")]
    for name in MEASURES:
        if (lines and lines[-1].get(name)) or None:
            yield Row(variant, seed, name, "corpus", float(lines[-1][name]))


def _write(path: Path, rows: Sequence[Row]) -> None:
    lines = ",\n".join(json.dumps({**asdict(row), "value": round(row.value, 5)}) for row in rows)
    with atomic_file(path) as temporary:
        temporary.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def read_rows(path: Path = ROWS) -> list[Row]:
    """The rows of all runs."""
    return [Row(**row) for row in json.loads(path.read_text(encoding="utf-8"))]


def filled_page(text: str, rows: Sequence[Row]) -> str:
    """The page with its table written from the rows."""
    study = yaml.safe_load((HERE / "parts.yaml").read_text(encoding="utf-8"))
    words = {name: one["words"] for name, one in study["variants"].items()}
    words[UNTRAINED] = "as it ships, never trained"
    table = "\n".join(_table(rows, words))
    return fill_block(text, "parts", f"{table}\n")


def figure(rows: Sequence[Row], measured: str) -> Element:
    """The mean over seeds of each variant, as bars."""
    study = yaml.safe_load((HERE / "parts.yaml").read_text(encoding="utf-8"))
    names = {name: one["short"] for name, one in study["variants"].items()}
    names[UNTRAINED] = "never trained"
    samples = {name: _by_seed(rows, name, measured) for name in names}
    return bar_chart(
        Text(
            f"parts-{measured.rpartition('/')[2].replace('_', '-')}",
            f"{MEASURES[measured]}, one part changed at a time",
            "Means over seeds of training; the table below has each number with its spread.",
        ),
        [
            Bar(names[name], sample.mean, emphasis=name == FULL)
            for name, sample in samples.items()
            if sample.n
        ],
        label=MEASURES[measured],
        decimals=3,
    )


def _table(rows: Sequence[Row], words: Mapping[str, str]) -> Iterator[str]:
    yield "| | seeds | " + " | ".join(MEASURES.values()) + " |"
    yield "| --- | ---: |" + " ---: |" * len(MEASURES)
    named = [name for name in (FULL, UNTRAINED, *words) if any(r.variant == name for r in rows)]
    names = list(dict.fromkeys(named))
    samples = {
        (name, measured): _by_seed(rows, name, measured) for name in names for measured in MEASURES
    }
    others = [name for name in names if name != FULL]
    corrected: dict[tuple[str, str], float] = {}
    for measured in MEASURES:
        tested = [name for name in others if samples[name, measured].n > 1]
        full = samples[FULL, measured]
        # A seed decides which cells are held out, for every variant alike.
        found = [compare_samples(samples[name, measured], full, "paired") for name in tested]
        q = adjust([outcome.p_value for outcome in found])
        corrected.update(
            {(name, measured): float(value) for name, value in zip(tested, q, strict=True)}
        )
    for name in names:
        cells = []
        for measured in MEASURES:
            sample = samples[name, measured]
            mark = "*" if corrected.get((name, measured), 1.0) < 0.05 else ""
            spread = f" ± {np.std(sample.values, ddof=1):.3f}" if sample.n > 1 else ""
            cells.append(f"{sample.mean:.3f}{spread}{mark}" if sample.n else "")
        yield f"| {words[name]} | {samples[name, 'macro_f1'].n} | " + " | ".join(cells) + " |"


def _by_seed(rows: Sequence[Row], variant: str, measured: str) -> Sample:
    chosen = [row for row in rows if row.variant == variant and row.measure == measured]
    seeds = sorted({row.seed for row in chosen})
    means = [np.mean([row.value for row in chosen if row.seed == seed]) for seed in seeds]
    return Sample.of([float(value) for value in means], seeds or None)


if __name__ == "__main__":
    main()
