"""Labels carried from one study of blood to another: `sclong annotate` beside components.

    python -m studies.annotation.judge --data DATA            # makes the rows
    python -m studies.annotation.judge --page docs/annotating.md   # writes the tables from them

Every ordered pair of studies is judged: the reference has the labels, the query's are compared.
Then each type in turn is taken out of the reference: are its cells found to be unlike it?
"""

import argparse
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from sclong_bench.judging.models import Checkpoint
from sclong_bench.judging.references import own_log1p
from sclong_bench.judging.sets import LabelledCells, read_labelled, read_sets
from sclong_core.files import atomic_file
from sclong_core.packaged import packaged_checkpoint
from sclong_tasks.annotation import Reference, annotate
from sclong_tasks.annotation.agreement import Agreement, compare_labels

Floats = npt.NDArray[np.float32]
ROOT = Path(__file__).parents[2]
ROWS = ROOT / "benchmarks" / "results" / "annotation.json"
SETS = ROOT / "studies" / "mini" / "sets.yaml"
LABELS = {
    "pbmc3k": {
        "B": "B", "CD14+ Mono": "CD14 monocyte", "FCGR3A+ Mono": "CD16 monocyte", "NK": "NK",
        "CD8 T": "CD8 T", "Memory CD4 T": "CD4 T", "Naive CD4 T": "CD4 T", "DC": "dendritic",
        "Platelet": "platelet",
    },
    "kang": {
        "B": "B", "CD14+Mono": "CD14 monocyte", "FCGR3A+Mono": "CD16 monocyte", "NK": "NK",
        "CD8T": "CD8 T", "CD4T": "CD4 T", "Dendritic": "dendritic",
    },
    "symphony": {
        "B": "B", "Mono_CD14": "CD14 monocyte", "Mono_CD16": "CD16 monocyte", "NK": "NK",
        "T_CD8": "CD8 T", "T_CD4": "CD4 T", "DC": "dendritic", "MK": "platelet",
    },
    "pbmc68k": {
        "CD19+ B": "B", "CD14+ Monocyte": "CD14 monocyte", "CD56+ NK": "NK",
        "CD8+ Cytotoxic T": "CD8 T", "CD8+/CD45RA+ Naive Cytotoxic": "CD8 T",
        "CD4+/CD25 T Reg": "CD4 T", "CD4+/CD45RA+/CD25- Naive T": "CD4 T",
        "CD4+/CD45RO+ Memory": "CD4 T", "Dendritic": "dendritic", "CD34+": "CD34",
    },
}  # fmt: skip
"""Types of each study in common words."""
OURS, COMPONENTS, LOGISTIC = "sclong annotate", "neighbours, PCA-50", "logistic regression, PCA-50"
MEASURES = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "covered": "true label in the set",
    "auroc_unknown": "AUROC of unknown",
}


@dataclass(frozen=True)
class Row:
    """One number."""

    reference: str
    query: str
    left_out: str
    """Type that the reference lacks; empty where it has all of its own."""
    method: str
    measure: str
    value: float
    cells: int


def main() -> None:
    """Make the rows, or fill the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of the sets")
    parser.add_argument("--page", type=Path, help="Markdown page whose tables are filled")
    args = parser.parse_args()
    if args.data is not None:
        rows = [row for row in _judge(args.data) if np.isfinite(row.value)]
        lines = ",\n".join(json.dumps({**asdict(r), "value": round(r.value, 4)}) for r in rows)
        with atomic_file(ROWS) as temporary:
            temporary.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    if args.page is not None:
        text = filled_page(args.page.read_text(encoding="utf-8"), read_rows())
        with atomic_file(args.page) as temporary:
            temporary.write_text(text, encoding="utf-8")


def read_rows() -> list[Row]:
    """The committed rows."""
    return [Row(**row) for row in json.loads(ROWS.read_text(encoding="utf-8"))]


def _judge(data: Path) -> Iterator[Row]:
    described = {one.name: one for one in read_sets(SETS)}
    cells = {name: read_labelled(described[name], data) for name in LABELS}
    types = {
        name: np.array([LABELS[name][label] for label in found.types])
        for name, found in cells.items()
    }
    model = Checkpoint(packaged_checkpoint())
    vectors = {name: model.embed(found) for name, found in cells.items()}
    for reference in LABELS:
        for query in LABELS:
            if query == reference:
                continue
            ours = (vectors[reference], vectors[query])
            projected = _projected(cells[reference], cells[query])
            for left_out in ("", *sorted(set(types[reference]) & set(types[query]))):
                kept = types[reference] != left_out
                for method, (known, asked) in ((OURS, ours), (COMPONENTS, projected)):
                    found = _told(known[kept], types[reference][kept], asked, types[query])
                    for measure in MEASURES if not left_out else ("auroc_unknown",):
                        value = float(getattr(found, measure))
                        yield Row(reference, query, left_out, method, measure, value, found.cells)
            yield from _logistic(reference, query, projected, types)


def _told(known: Floats, labels: npt.ArrayLike, asked: Floats, truth: npt.ArrayLike) -> Agreement:
    reference = Reference.fit(known, labels, encoder="")
    return compare_labels(annotate(asked, reference), truth, reference)


def _projected(reference: LabelledCells, query: LabelledCells) -> tuple[Floats, Floats]:
    """50 components of log1p of the genes in common, fitted on the reference."""
    names = [list(map(str, one.adata.var_names)) for one in (reference, query)]
    common = sorted(set(names[0]) & set(names[1]))
    tables = [
        own_log1p(one)[:, [column.index(name) for name in common]]
        for one, column in zip((reference, query), names, strict=True)
    ]
    found = PCA(min(50, *tables[0].shape), random_state=0).fit(tables[0])
    return np.float32(found.transform(tables[0])), np.float32(found.transform(tables[1]))


def _logistic(
    reference: str,
    query: str,
    projected: tuple[Floats, Floats],
    types: dict[str, npt.NDArray[np.str_]],
) -> Iterator[Row]:
    fitted = LogisticRegression(max_iter=2000).fit(projected[0], types[reference])
    known = np.isin(types[query], types[reference])
    truth, told = types[query][known], fitted.predict(projected[1][known])
    values: dict[str, Callable[[], float]] = {
        "accuracy": lambda: float((truth == told).mean()),
        "macro_f1": lambda: float(f1_score(truth, told, average="macro", labels=np.unique(truth))),
    }
    for measure, value in values.items():
        yield Row(reference, query, "", LOGISTIC, measure, value(), int(known.sum()))


def filled_page(text: str, rows: Sequence[Row]) -> str:
    """The page with its two tables written from the rows."""
    tables = {"pairs": _pairs(rows), "unknown": _unknown(rows)}
    for name, lines in tables.items():
        block = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        table = "\n".join(lines)
        text = block.sub(lambda match, table=table: f"{match[1]}\n{table}\n\n{match[2]}", text)
    return text


def _pairs(rows: Sequence[Row]) -> Iterator[str]:
    methods = (OURS, COMPONENTS, LOGISTIC)
    yield (
        "| reference | query | cells | "
        + " | ".join(f"{m}: accuracy, macro-F1" for m in methods)
        + " | true label in the set of annotate |"
    )
    yield "| --- | --- | ---: |" + " ---: |" * (len(methods) + 1)
    pairs = list(dict.fromkeys((row.reference, row.query) for row in rows))
    for reference, query in pairs:
        mine = [r for r in rows if (r.reference, r.query, r.left_out) == (reference, query, "")]
        value = {(r.method, r.measure): r.value for r in mine}
        cells = " | ".join(
            f"{value[m, 'accuracy']:.3f}, {value[m, 'macro_f1']:.3f}" for m in methods
        )
        count = next(r.cells for r in mine)
        yield f"| {reference} | {query} | {count:,} | {cells} | {value[OURS, 'covered']:.3f} |"
    means = " | ".join(
        ", ".join(f"{_mean(rows, m, measure):.3f}" for measure in ("accuracy", "macro_f1"))
        for m in methods
    )
    yield f"| **mean** | | | {means} | {_mean(rows, OURS, 'covered'):.3f} |"


def _mean(rows: Sequence[Row], method: str, measure: str) -> float:
    chosen = [r.value for r in rows if (r.method, r.measure, r.left_out) == (method, measure, "")]
    return float(np.mean(chosen))


def _unknown(rows: Sequence[Row]) -> Iterator[str]:
    yield f"| type that the reference lacks | pairs | {OURS} | {COMPONENTS} |"
    yield "| --- | ---: | ---: | ---: |"
    for left_out in sorted({row.left_out for row in rows} - {""}):
        found = {
            method: [r.value for r in rows if (r.left_out, r.method) == (left_out, method)]
            for method in (OURS, COMPONENTS)
        }
        numbers = " | ".join(
            f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"
            for values in found.values()
        )
        yield f"| {left_out} | {len(found[OURS])} | {numbers} |"


if __name__ == "__main__":
    main()
