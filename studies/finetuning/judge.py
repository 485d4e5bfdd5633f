"""Classifiers trained on one study of blood, for held-out cells of it and for other studies.

    python -m studies.finetuning.judge --data DATA                # makes the rows
    python -m studies.finetuning.judge --page docs/finetuning.md  # tables from them

Each of four studies trains a head, adapters (LoRA) and all weights, by `sclong finetune` with its
defaults. Its held-out fifth is predicted, and the other three studies whole, in common words for
types. One more study keeps its donors apart. Beside them stands a logistic regression on 50
components of the genes in common, fitted on the cells that the classifier trains on and stops by.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import anndata
import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from sclong_bench.judging.references import own_log1p
from sclong_bench.judging.sets import LabelledCells, read_labelled, read_sets
from sclong_core import ScLong
from sclong_core.checkpoint_names import packaged_checkpoint
from sclong_core.files import atomic_file
from sclong_core.manifest import read_checkpoint_info
from sclong_tasks.annotation.vectors import CellVectors, keep_vectors
from sclong_tasks.finetuning import FinetuneOptions, finetune, predict
from sclong_tasks.finetuning.labels import LabelledCells as TrainingCells
from sclong_tasks.finetuning.labels import labelled_cells
from sclong_tasks.finetuning.scores import macro_f1
from sclong_tasks.tables import fill_block
from studies.annotation.judge import LABELS, SETS

ROOT = Path(__file__).parents[2]
ROWS = ROOT / "benchmarks" / "results" / "finetuning.json"
SEEDS = {"head": range(3), "lora": range(1), "full": range(1)}
"""Tuning takes minutes where a head takes seconds."""
ORDER = ("pbmc68k", "symphony", "kang", "pbmc3k")
"""Of studies, by size."""
LOGISTIC, COMMONEST = "logistic regression, PCA-50", "commonest label"
NAMES = {"head": "head", "lora": "LoRA", "full": "all weights"}
HELD_OUT, HELD_OUT_DONOR = "its held-out fifth", "a held-out donor"
Names = npt.NDArray[np.str_]


@dataclass(frozen=True)
class Row:
    """One method, trained once."""

    reference: str
    query: str
    method: str
    seed: int
    cells: int
    accuracy: float
    macro_f1: float


def main() -> None:
    """Make the rows, or fill the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of the sets")
    parser.add_argument("--page", type=Path, help="Markdown page whose tables are filled")
    args = parser.parse_args()
    if args.data is not None:
        rows: list[Row] = []
        for row in _judge(args.data):
            rows.append(row)
            _write(rows)  # a long run that is cut short has judged something
    if args.page is not None:
        text = filled_page(args.page.read_text(encoding="utf-8"), read_rows())
        with atomic_file(args.page) as temporary:
            temporary.write_text(text, encoding="utf-8")


def read_rows() -> list[Row]:
    """The committed rows."""
    return [Row(**row) for row in json.loads(ROWS.read_text(encoding="utf-8"))]


def _write(rows: Sequence[Row]) -> None:
    lines = ",\n".join(json.dumps(asdict(row)) for row in rows)
    with atomic_file(ROWS) as temporary:
        temporary.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def _judge(data: Path) -> Iterator[Row]:
    described = {one.name: one for one in read_sets(SETS)}
    cells = {name: read_labelled(described[name], data) for name in LABELS}
    for name, one in cells.items():
        one.adata.obs["type"] = [LABELS[name][label] for label in one.types]
        vectors = ScLong.from_pretrained().embed(one.adata, batch_size=32)
        keep_vectors(one.adata, CellVectors(vectors, _made_by(), new=True))
    for method, seeds in SEEDS.items():
        for seed in seeds:
            yield from _donors(cells["symphony"], method, seed)
            for name in ORDER:
                yield from _pairs(name, cells, method, seed)


def _made_by() -> str:
    return f"{read_checkpoint_info(packaged_checkpoint()).digest} cell"


def _donors(study: LabelledCells, method: str, seed: int) -> Iterator[Row]:
    """A donor is held out."""
    given = labelled_cells(study.adata, "type", "donor", seed=seed, path=Path("symphony"))
    made = finetune(study.adata, "type", group="donor", options=FinetuneOptions(method), seed=seed)
    held = given.rows[given.split.test]
    told = predict(study.adata[held].copy(), made, copy=True)
    assert told is not None
    truth = np.asarray(given.labels)[given.codes[given.split.test]]
    yield _row("symphony", HELD_OUT_DONOR, method, seed, truth, told)
    if method == "head":
        yield from _baselines("symphony", HELD_OUT_DONOR, seed, (study, given), study, held)


def _pairs(name: str, cells: dict[str, LabelledCells], method: str, seed: int) -> Iterator[Row]:
    """The other studies, and held-out cells of the same."""
    study = cells[name]
    given = labelled_cells(study.adata, "type", None, seed=seed, path=Path(name))
    made = finetune(study.adata, "type", options=FinetuneOptions(method), seed=seed)
    for query, other in cells.items():
        rows = np.arange(other.adata.n_obs)
        if query == name:
            rows = given.rows[given.split.test]
        rows = rows[other.adata.obs["type"].iloc[rows].isin(given.labels).to_numpy()]
        asked = HELD_OUT if query == name else query
        told = predict(other.adata[rows].copy(), made, copy=True)
        assert told is not None
        truth = other.adata.obs["type"].to_numpy(dtype=str)[rows]
        yield _row(name, asked, method, seed, truth, told)
        if method == "head":
            yield from _baselines(name, asked, seed, (study, given), other, rows)


def _row(
    reference: str, query: str, method: str, seed: int, truth: Names, told: anndata.AnnData
) -> Row:
    found = told.obs["predicted_label"].to_numpy(dtype=str)
    return _measured(reference, query, NAMES[method], seed, truth, found)


def _measured(  # one line of the rows
    reference: str, query: str, method: str, seed: int, truth: Names, told: Names
) -> Row:
    _, codes = np.unique(np.concatenate([truth, told]), return_inverse=True)
    true, found = codes[: len(truth)], codes[len(truth) :]
    accuracy = round(float((true == found).mean()), 4)
    return Row(
        reference, query, method, seed, len(truth), accuracy, round(macro_f1(true, found), 4)
    )


def _baselines(
    reference: str,
    query: str,
    seed: int,
    trained: tuple[LabelledCells, TrainingCells],
    asked: LabelledCells,
    rows: npt.NDArray[np.int64],
) -> Iterator[Row]:
    study, given = trained
    known = np.concatenate([given.split.train, given.split.validation])
    labels = np.asarray(given.labels)[given.codes[known]]
    truth = asked.adata.obs["type"].to_numpy(dtype=str)[rows]
    tables, columns = [], [list(map(str, one.adata.var_names)) for one in (study, asked)]
    common = sorted(set(columns[0]) & set(columns[1]))
    for one, names, chosen in (
        (study, columns[0], given.rows[known]),
        (asked, columns[1], rows),
    ):
        places = {name: number for number, name in enumerate(names)}
        tables.append(_logged(one)[np.ix_(chosen, [places[name] for name in common])])
    reduced = PCA(50, random_state=seed).fit(tables[0])
    scaler = StandardScaler().fit(reduced.transform(tables[0]))
    spaces = [scaler.transform(reduced.transform(table)) for table in tables]
    fitted = LogisticRegression(class_weight="balanced", max_iter=100).fit(spaces[0], labels)
    yield _measured(reference, query, LOGISTIC, seed, truth, fitted.predict(spaces[1]))
    names, counts = np.unique(labels, return_counts=True)
    often = np.full(len(truth), names[counts.argmax()])
    yield _measured(reference, query, COMMONEST, seed, truth, often)


@lru_cache
def _logged(study: LabelledCells) -> npt.NDArray[np.float32]:
    return own_log1p(study)


def filled_page(text: str, rows: Sequence[Row]) -> str:
    """The page with its tables between their marks."""
    for name, made in (("summary", _summary(rows)), ("pairs", _every(rows))):
        text = fill_block(text, name, f"{made}\n")
    return text


_SHOWN = (*NAMES.values(), LOGISTIC, COMMONEST)


def _summary(rows: Sequence[Row]) -> str:
    """Means over studies, with the range over seeds."""
    kinds = {HELD_OUT: "held-out cells of the study", HELD_OUT_DONOR: "a held-out donor"}
    found: dict[tuple[str, str], dict[int, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        kind = kinds.get(row.query, "another study")
        found[kind, row.method][row.seed].append(row)
    lines = [
        "| predicted | method | seeds | accuracy | macro-F1 |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for kind in ("held-out cells of the study", "a held-out donor", "another study"):
        for method in _SHOWN:
            seeds = list(found[kind, method].values())
            if seeds:
                shares = (_mean_and_range(seeds, name) for name in ("accuracy", "macro_f1"))
                lines.append(f"| {kind} | {method} | {len(seeds)} | {' | '.join(shares)} |")
    return "\n".join(lines)


def _mean_and_range(seeds: Sequence[list[Row]], name: str) -> str:
    values = [float(np.mean([getattr(row, name) for row in rows])) for rows in seeds]
    if len(values) < 2:
        return f"{np.mean(values):.3f}"
    return f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def _every(rows: Sequence[Row]) -> str:
    """Macro-F1 of each pair, mean over seeds."""
    methods = [method for method in _SHOWN if any(row.method == method for row in rows)]
    lines = [
        f"| trained on | predicted | cells | {' | '.join(methods)} |",
        f"| --- | --- | ---: |{' ---: |' * len(methods)}",
    ]
    for reference in LABELS:
        for query in (HELD_OUT, HELD_OUT_DONOR, *LABELS):
            here = [row for row in rows if (row.reference, row.query) == (reference, query)]
            if here:
                means = [
                    np.mean([row.macro_f1 for row in here if row.method == method] or [np.nan])
                    for method in methods
                ]
                cells = f"{round(np.mean([row.cells for row in here])):,}"
                shown = " | ".join(f"{one:.3f}" if np.isfinite(one) else "-" for one in means)
                lines.append(f"| {reference} | {query} | {cells} | {shown} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
