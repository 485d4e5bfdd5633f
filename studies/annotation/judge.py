"""Labels carried from one study of blood to another: `sclong annotate` beside components.

    python -m studies.annotation.judge --data DATA                # makes the rows
    python -m studies.annotation.judge --page docs/annotating.md  # tables and figure from them

Every ordered pair of four studies is judged: the reference has the labels, the query's are
compared. Then each type in turn is taken out of the reference: are its cells found to be unlike it?
How cells are compared was chosen on these pairs, so two more studies, which had no part in it, are
told too. And each study is cut in halves, of which one tells the other: are stated rates kept?

Five seeds draw the cells that calibrate, and the halves. Components and regression have no seed.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, roc_auc_score

from sclong_bench.judging.models import Checkpoint
from sclong_bench.judging.references import own_log1p
from sclong_bench.judging.sets import JudgingSet, LabelledCells, read_labelled, read_sets
from sclong_core.checkpoint_names import packaged_checkpoint
from sclong_core.files import atomic_file
from sclong_tasks.annotation import Annotation, Reference, annotate_vectors
from sclong_tasks.annotation.agreement import compare_labels
from sclong_tasks.annotation.neighbours import Voters, told_codes
from sclong_tasks.annotation.space import Space

Floats = npt.NDArray[np.float32]
Names = npt.NDArray[np.str_]
ROOT = Path(__file__).parents[2]
ROWS = ROOT / "benchmarks" / "results" / "annotation.json"
SETS = ROOT / "studies" / "mini" / "sets.yaml"
SEEDS = range(5)
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
FRESH = {
    "zheng_sorted": {"B cells": "B", "CD4 T cells": "CD4 T", "CD8 T cells": "CD8 T"},
    "lung_tumour_blood": {
        "tB cells": "B", "tNK cells": "NK", "bNK cells": "NK", "bMonocytes": "CD14 monocyte",
        "bT cells": "", "tT cells": "", "tMoMacDC": "",
    },
}  # fmt: skip
"""The same of studies that had no part in any choice. Of mixed types nothing is compared; types of
the tumour that are not named are foreign to blood."""
SORTED = JudgingSet(
    name="zheng_sorted",
    role="report",
    path="cells/pbmc_sorted_zheng_garnett.h5ad",
    sha256="5cd90e3c238c54a4568fb9dfd408f035e810642ef6f5713e1888fa88ea30dfdd",
    study="Zheng 2017 doi:10.1038/ncomms14049, sorted",
    labels="cell_type",
)
OURS, ALIGNED = "sclong annotate", "the same, --align-query"
ON_COMPONENTS = "the same on PCA-50"
NEAREST, LOGISTIC = "15 neighbours, PCA-50", "logistic regression, PCA-50"
WITHIN = "half of itself"
BINS = np.linspace(0, 1, 11)


@dataclass(frozen=True)
class Row:
    """One measure, a value for each seed."""

    kind: str
    """"pair", "type" (one is left out), "fresh", "within" or "curve"."""
    reference: str
    query: str
    left_out: str
    method: str
    measure: str
    values: list[float]
    cells: int

    @property
    def mean(self) -> float:
        """Over seeds."""
        return float(np.mean(self.values))


def main() -> None:
    """Make the rows, or fill the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of the sets")
    parser.add_argument("--page", type=Path, help="Markdown page whose tables are filled")
    args = parser.parse_args()
    if args.data is not None:
        rows = [row for row in _judge(args.data) if np.isfinite(row.values).all()]
        lines = ",\n".join(
            json.dumps({**asdict(r), "values": [round(v, 4) for v in r.values]}) for r in rows
        )
        with atomic_file(ROWS) as temporary:
            temporary.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    if args.page is not None:
        from studies.annotation.page import fill  # noqa: PLC0415  # draws from what is made above

        fill(args.page, read_rows())


def read_rows() -> list[Row]:
    """The committed rows."""
    return [Row(**row) for row in json.loads(ROWS.read_text(encoding="utf-8"))]


def _judge(data: Path) -> Iterator[Row]:
    described = {one.name: one for one in (*read_sets(SETS), SORTED)}
    cells = {name: read_labelled(described[name], data) for name in (*LABELS, *FRESH)}
    types = {
        name: np.array([(LABELS | FRESH)[name].get(label, label) for label in found.types])
        for name, found in cells.items()
    }
    model = Checkpoint(packaged_checkpoint())
    vectors = {name: model.embed(found) for name, found in cells.items()}
    curves = _Curves()
    for name in LABELS:
        yield from _within(name, vectors[name], types[name], curves)
    for reference in LABELS:
        for query in (*LABELS, *FRESH):
            if query == reference:
                continue
            kind = "pair" if query in LABELS else "fresh"
            place = partial(Row, kind, reference, query)
            projected = _projected(cells[reference], cells[query])
            spaces = {
                OURS: (vectors[reference], vectors[query]),
                ON_COMPONENTS: projected,
            }
            yield from _told(place, spaces, types[reference], types[query], curves)
            yield from _plain(place, projected, types[reference], types[query])
            if kind == "pair":
                yield from _types(reference, query, spaces, types)
    yield from curves.rows()


_MEASURES = (
    "accuracy", "macro_f1", "covered", "labels_a_cell", "falsely_unknown", "called_unknown",
    "auroc_unknown",
)  # fmt: skip


def _told(
    place: "partial[Row]",
    spaces: Mapping[str, tuple[Floats, Floats]],
    labels: Names,
    truth: Names,
    curves: "_Curves",
) -> Iterator[Row]:
    """What is told with all labels of the reference."""
    for method, (known, asked) in spaces.items():
        for align in (False, True) if method == OURS else (False,):
            found = []
            for seed in SEEDS:
                reference = Reference.fit(known, labels, seed=seed)
                told = annotate_vectors(asked, reference, align=align)
                found.append(compare_labels(told, truth))
                if method == OURS:
                    curves.add("aligned" if align else "across", told, truth)
            for measure in _MEASURES:
                values = [float(getattr(one, measure)) for one in found]
                yield place("", ALIGNED if align else method, measure, values, found[0].cells)


def _plain(
    place: "partial[Row]", projected: tuple[Floats, Floats], labels: Names, truth: Names
) -> Iterator[Row]:
    """Neighbours by cosine, and regression, on components, with every labelled cell."""
    for method, one in ((NEAREST, _nearest), (LOGISTIC, _logistic)):
        told, strangeness = one(*projected, labels)
        named = truth != ""
        known = named & np.isin(truth, labels)
        values = {
            "accuracy": float((told[known] == truth[known]).mean()),
            "macro_f1": _macro_f1(truth[known], told[known]),
            "auroc_unknown": _auroc(~known[named], strangeness[named]),
        }
        for measure, value in values.items():
            yield place("", method, measure, [value], int(known.sum()))


def _types(
    reference: str,
    query: str,
    spaces: Mapping[str, tuple[Floats, Floats]],
    types: Mapping[str, Names],
) -> Iterator[Row]:
    """What is unknown where the reference lacks a type."""
    for left_out in sorted(set(types[reference]) & set(types[query])):
        place = partial(Row, "type", reference, query, left_out)
        kept = types[reference] != left_out
        # Others that the reference lacks are strange as well.
        foreign = ~np.isin(types[query], types[reference][kept])
        count = int((types[query] == left_out).sum())
        for method, (known, asked) in spaces.items():
            for align in (False, True) if method == OURS else (False,):
                auroc, called = [], []
                for seed in SEEDS:
                    fitted = Reference.fit(known[kept], types[reference][kept], seed=seed)
                    told = annotate_vectors(asked, fitted, align=align)
                    auroc.append(_auroc(foreign, told.remoteness))
                    called.append(float(told.unknown[types[query] == left_out].mean()))
                name = ALIGNED if align else method
                yield place(name, "auroc_unknown", auroc, count)
                yield place(name, "called_unknown", called, count)
        known, asked = spaces[ON_COMPONENTS]
        for method, one in ((NEAREST, _nearest), (LOGISTIC, _logistic)):
            _, strangeness = one(known[kept], asked, types[reference][kept])
            yield place(method, "auroc_unknown", [_auroc(foreign, strangeness)], count)


def _within(name: str, vectors: Floats, types: Names, curves: "_Curves") -> Iterator[Row]:
    """One half of a study tells the other."""
    found = []
    for seed in SEEDS:
        half = np.random.default_rng(seed).permutation(len(types)) < len(types) // 2
        reference = Reference.fit(vectors[half], types[half], seed=seed)
        told = annotate_vectors(vectors[~half], reference)
        found.append(compare_labels(told, types[~half]))
        curves.add("within", told, types[~half])
    for measure in ("accuracy", "macro_f1", "covered", "labels_a_cell", "falsely_unknown"):
        values = [float(getattr(one, measure)) for one in found]
        yield Row("within", WITHIN, name, "", OURS, measure, values, found[0].cells)


class _Curves:
    """How often cells that are told with some probability are told right."""

    def __init__(self) -> None:
        self._seen: dict[str, list[tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]]] = {}

    def add(self, kind: str, told: Annotation, truth: Names) -> None:
        known = np.isin(truth, told.labels)
        right = told.nearest_label[known] == truth[known]
        self._seen.setdefault(kind, []).append((told.shares.max(1)[known], right))

    def rows(self) -> Iterator[Row]:
        for kind, seen in self._seen.items():
            shares, right = (np.concatenate(column) for column in zip(*seen, strict=True))
            bins = np.digitize(shares, BINS[1:-1])
            for number in np.unique(bins):
                here = bins == number
                values = [float(shares[here].mean()), float(right[here].mean())]
                yield Row("curve", "", "", "", kind, f"bin {number}", values, int(here.sum()))


def _projected(reference: LabelledCells, query: LabelledCells) -> tuple[Floats, Floats]:
    """50 components of log1p of the genes in common, fitted on the reference."""
    names = [list(map(str, one.adata.var_names)) for one in (reference, query)]
    common = sorted(set(names[0]) & set(names[1]))
    tables = []
    for one, column in zip((reference, query), names, strict=True):
        places = {name: number for number, name in enumerate(column)}
        tables.append(own_log1p(one)[:, [places[name] for name in common]])
    found = PCA(min(50, *tables[0].shape), random_state=0).fit(tables[0])
    return np.float32(found.transform(tables[0])), np.float32(found.transform(tables[1]))  # type: ignore[return-value]  # arrays


def _nearest(known: Floats, asked: Floats, labels: Names) -> tuple[Names, npt.NDArray[np.float64]]:
    """Told labels, and the mean distance of the neighbours."""
    names, codes = np.unique(labels, return_inverse=True)
    space = Space(known.mean(0), np.zeros((known.shape[1], 0), dtype=np.float32))
    voters = Voters(space.place(known, "the reference"), codes.astype(np.int64), len(names))
    vote = voters.vote(space.place(asked, "the query"))
    return names[told_codes(vote)], vote.distance_q


def _logistic(known: Floats, asked: Floats, labels: Names) -> tuple[Names, npt.NDArray[np.float64]]:
    """Told labels, and 1 less the largest probability."""
    fitted = LogisticRegression(max_iter=2000).fit(known, labels)
    shares = fitted.predict_proba(asked)
    return fitted.classes_[shares.argmax(1)], 1 - shares.max(1)


def _macro_f1(truth: Names, told: Names) -> float:
    return float(f1_score(truth, told, average="macro", labels=np.unique(truth)))


def _auroc(foreign: npt.NDArray[np.bool_], strangeness: npt.NDArray[np.float64]) -> float:
    both = foreign.any() and not foreign.all()
    return float(roc_auc_score(foreign, strangeness)) if both else float("nan")


if __name__ == "__main__":
    main()
