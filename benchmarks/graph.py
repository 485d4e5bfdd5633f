"""The gene graph: a blockwise product beside a plain double loop over the genes, in one run.

``python -m benchmarks.graph`` builds graphs of growing size both ways, in turn and each in a
process of its own, compares their edges, and then builds that of a whole vocabulary; what the
double loop would take there is extrapolated by the number of pairs. Annotations are made up in the
shape of the Gene Ontology's, or real with ``--annotations``. Results go to
``benchmarks/results/graph.md`` and ``graph.json``. Nothing is judged.
"""

import argparse
import hashlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.machine import (
    ROOT,
    add_output,
    current_commit,
    describe_machine,
    load_average,
    machine_in_words,
    memory,
    require_quiet,
    was_busy,
)
from sclong_core.files import atomic_file, write_json
from sclong_data.graph.annotations import collect_terms
from sclong_data.graph.building import NEIGHBOURS, THRESHOLD, build_gene_graph
from sclong_data.graph.reading import read_annotations

GENES = 18_768
TERMS = 18_009
"""Annotated human genes, and terms that annotate them, in NCBI's gene2go of November 2023."""
SIZES = (500, 1_000, 2_000)
TURNS = 3
Terms = dict[str, set[Any]]


def made_up_annotations(genes: int = GENES, terms: int = TERMS, *, seed: int = 0) -> Terms:
    """Sets of terms as large and as unequally common as the Gene Ontology's."""
    generator = np.random.default_rng(seed)
    # Real genes have 14.9 terms in the mean; two thirds have the most common one.
    sizes = np.maximum(1, generator.lognormal(2.3, 0.85, size=genes)).astype(int)
    common = 1 / (np.arange(terms - 1) + 3.0) ** 0.95
    drawn = generator.choice(terms - 1, size=int(sizes.sum()), p=common / common.sum()) + 1
    parts = np.split(drawn, np.cumsum(sizes)[:-1])
    most = generator.random(genes) < 2 / 3
    return {
        f"gene{number:05d}": {*part.tolist(), *[0] * bool(most[number])}
        for number, part in enumerate(parts)
    }


def double_loop(terms: Terms) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The same graph pair by pair, as the authors' release makes it.

    The release compares every two genes in a loop over the genes in a loop over the genes.
    """
    sets = list(terms.values())
    edges: list[tuple[int, int, float]] = []
    for target, own in enumerate(sets):
        row = []
        for source, other in enumerate(sets):
            similarity = len(own & other) / len(own | other)
            if similarity > THRESHOLD:
                row.append((source != target, -similarity, source))
        row.sort()
        edges += [(source, target, -negative) for _, negative, source in row[: NEIGHBOURS + 1]]
    edges.sort()
    ends = np.array([edge[:2] for edge in edges], dtype=np.int64).T
    return ends, np.array([edge[2] for edge in edges], dtype=np.float32)


def product(terms: Terms) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The graph as the package builds it."""
    graph = build_gene_graph(terms, list(terms))
    return graph.edge_index, graph.edge_weight


WAYS = {"double loop": double_loop, "sclong-data": product}


def load(annotations: str | None) -> Terms:
    """The annotations of all genes, real or made up, in an order that mixes genes of all kinds."""
    if annotations is None:
        return made_up_annotations()
    terms = collect_terms(read_annotations(annotations), None).terms
    names = sorted(terms)
    return {
        names[place]: terms[names[place]]
        for place in np.random.default_rng(0).permutation(len(names))
    }


def measure(way: str, genes: int, annotations: str | None) -> dict[str, Any]:
    """One build in this process: its time, the process's peak of memory, and what came out."""
    terms = dict(list(load(annotations).items())[:genes])
    before = memory()["peak"]
    start, busy = time.perf_counter(), time.process_time()
    edges, weights = WAYS[way](terms)
    seconds, processor = time.perf_counter() - start, time.process_time() - busy
    digest = hashlib.sha256(np.ascontiguousarray(edges).tobytes() + weights.tobytes()).hexdigest()
    return {
        "way": way,
        "genes": len(terms),
        "seconds": seconds,
        "processor_seconds": processor,
        "edges": int(weights.size),
        "digest": digest,
        "bytes_before": before,
        "bytes_peak": memory()["peak"],
    }


def _in_a_process(way: str, genes: int, annotations: str | None) -> dict[str, Any]:
    request = json.dumps({"way": way, "genes": genes, "annotations": annotations})
    command = [sys.executable, "-m", "benchmarks.graph", "--one", request]
    done = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    print(f"{way}, {found['genes']:,} genes: {found['seconds']:.2f} s")
    return found


def run(sizes: Sequence[int], annotations: str | None, *, turns: int = TURNS) -> dict[str, Any]:
    """Both ways in turn at each size, and the package's at all genes."""
    results: dict[str, Any] = {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": current_commit(),
        "load_at_start": load_average(),
        "annotations": "made up" if annotations is None else Path(annotations).name,
        "measurements": [],
    }
    for genes in sizes:
        found = [_in_a_process(way, genes, annotations) for _ in range(turns) for way in WAYS]
        results["measurements"] += [_middle(found, way) for way in WAYS]
        results["same_edges"] = len({row["digest"] for row in found}) == 1 and results.get(
            "same_edges", True
        )
    whole = [_in_a_process("sclong-data", GENES, annotations) for _ in range(turns)]
    results["measurements"].append(_middle(whole, "sclong-data"))
    results["machine"] = describe_machine()
    return results


def _middle(found: Iterable[dict[str, Any]], way: str) -> dict[str, Any]:
    """The median time of a way's builds, and their largest memory."""
    rows = [row for row in found if row["way"] == way]
    return {
        **rows[0],
        "seconds": statistics.median(row["seconds"] for row in rows),
        "processor_seconds": statistics.median(row["processor_seconds"] for row in rows),
        "all_seconds": [row["seconds"] for row in rows],
        "bytes_peak": max(row["bytes_peak"] for row in rows),
    }


def write_report(results: dict[str, Any], folder: Path) -> None:
    """Write ``graph.json`` and ``graph.md``."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "graph.json", results)
    with atomic_file(folder / "graph.md") as temporary:
        temporary.write_text("\n".join(_lines(results)) + "\n", encoding="utf-8")


def _lines(results: dict[str, Any]) -> Iterable[str]:
    rows = {(row["way"], row["genes"]): row for row in results["measurements"]}
    whole = max(genes for _, genes in rows)
    largest = max(genes for way, genes in rows if way == "double loop")
    yield "# Gene graph: blockwise product and double loop"
    yield ""
    words = machine_in_words(results["machine"], ("numpy", "scipy", "python"))
    yield f"{results['date']}, commit {results['commit'] or 'unknown'}. {words}"
    if was_busy(results):
        yield ""
        yield (
            f"**Other processes were running (load {results['load_at_start']:.1f} at the start)**: "
            "seconds say little; seconds of processor time count no waiting, over all cores."
        )
    yield ""
    yield (
        f"Annotations: {results['annotations']}. The ways ran in turn, each build in a process of "
        f"its own; times are medians of {len(results['measurements'][0]['all_seconds'])}. Memory "
        "is the peak of the process, annotations and libraries included. The edges of both ways "
        f"are {'the same' if results['same_edges'] else 'NOT the same'} at every size where both "
        "ran."
    )
    yield ""
    yield "| genes | way | s | processor s | x double loop | pairs/s | GB peak | edges |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for (way, genes), row in sorted(rows.items(), key=lambda item: (item[0][1], item[0][0])):
        loop = rows.get(("double loop", genes))
        times = f"{loop['seconds'] / row['seconds']:,.0f}" if loop else ""
        yield (
            f"| {genes:,} | {way} | {row['seconds']:.2f} | {row['processor_seconds']:.2f} | "
            f"{times} | "
            f"{genes**2 / row['seconds']:,.0f} | {row['bytes_peak'] / 1e9:.2f} | {row['edges']:,} |"
        )
    loop, ours = rows["double loop", largest], rows["sclong-data", whole]
    pairs = (whole / largest) ** 2
    estimate, processor = loop["seconds"] * pairs, loop["processor_seconds"] * pairs
    yield (
        f"| {whole:,} | double loop, extrapolated from {largest:,} genes | {estimate:,.0f} "
        f"| {processor:,.0f} | 1 | | | |"
    )
    yield ""
    yield (
        f"At {whole:,} genes: {ours['processor_seconds']:.1f} s of processor time beside "
        f"{processor / 60:,.0f} minutes, 1/{processor / ours['processor_seconds']:,.0f} of it. The "
        "double loop intersects and unites Python sets and sorts each gene's row once; a slower "
        "way to compare a pair, or keeping all pairs in a data frame, takes longer in proportion."
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.graph", description=__doc__)
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES), metavar="GENES")
    parser.add_argument("--annotations", type=Path, metavar="FILE", help="instead of made-up ones")
    parser.add_argument("--turns", type=int, default=TURNS, help="builds of each (default: 3)")
    add_output(parser)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one is not None:
        print(json.dumps(measure(**json.loads(options.one))))
        return 0
    require_quiet(parser, options)
    annotations = None if options.annotations is None else str(options.annotations.resolve())
    results = run(options.sizes, annotations, turns=options.turns)
    write_report(results, options.output)
    print(f"wrote {options.output / 'graph.md'} and graph.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
