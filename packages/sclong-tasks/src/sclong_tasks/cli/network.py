"""``sclong network``: pairs of genes that are alike to a model, by type of cells."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sclong_core.cli.embed import add_reading, reading_of
from sclong_core.cli.terminal import is_interactive, messages, print_facts, print_table
from sclong_tasks.cli.places import check_output

if TYPE_CHECKING:
    import anndata

_SHOWN = 20


class NetworkCommand:
    """Writes edges between genes; see :mod:`sclong_tasks.network`."""

    help = "write pairs of genes that are alike to the model, by type of cells"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare cells, genes and places."""
        parser.description = (
            "Compare the representations that the model has of genes in the cells of each type, "
            "and write the most similar pairs, with p-values beside pairs of genes of like "
            "expression. Edges from the gene vectors that enter the model and from the correlation "
            "of expression are counted in the same graph of genes, to see what the model adds."
        )
        parser.add_argument("cells", type=Path, metavar="CELLS.h5ad")
        parser.add_argument("--by", metavar="COLUMN", help="of obs: a network for each type")
        parser.add_argument(
            "-o", "--output", type=Path,
            help=".csv, .tsv or .parquet: the edges; .h5ad: the cells with the edges in uns",
        )  # fmt: skip
        parser.add_argument("--overwrite", action="store_true", help="replace an output")
        parser.add_argument(
            "--top", type=int, default=1_000, metavar="N", help="edges of a type (default: 1000)"
        )
        parser.add_argument(
            "--per-gene", type=int, metavar="N", help="edges of each gene, instead of --top"
        )
        parser.add_argument(
            "--graph", type=Path, metavar="FILE",
            help="graph to compare with: graph.npz of the model's vocabulary, or Gene Ontology "
            "annotations (default: the graph of the model, if it has one)",
        )  # fmt: skip
        parser.add_argument(
            "--source", choices=("representations", "attention"), default="representations",
            help="what the edges are made from (default: representations)",
        )  # fmt: skip
        parser.add_argument(
            "--genes", type=int, default=2_000, metavar="N",
            help="the most variable of a type; 0 for all (default: 2000)",
        )  # fmt: skip
        parser.add_argument(
            "--detection", type=float, default=0.05, metavar="SHARE",
            help="of the cells of a type that must express a gene (default: 0.05)",
        )  # fmt: skip
        parser.add_argument(
            "--cells-per-type", type=int, default=200, metavar="N",
            help="drawn by --seed; 0 for all (default: 200)",
        )  # fmt: skip
        parser.add_argument(
            "--checkpoint", metavar="FOLDER_OR_HUB_ID",
            help="the model (default: mini, which comes with the package)",
        )  # fmt: skip
        parser.add_argument("--seed", type=int, default=0, help="draws cells and random networks")
        parser.add_argument("--batch-size", type=int, default=8, metavar="CELLS")
        parser.add_argument("--device", default="auto")
        add_reading(parser)

    def run(self, args: argparse.Namespace) -> int:
        """Find edges, write them, and print what a graph has of them."""
        with messages():
            _network(args)
        return 0


def _network(args: argparse.Namespace) -> None:
    if args.output is not None:
        check_output(args.output, cells=args.cells, overwrite=args.overwrite)
    from sclong_tasks.annotation.vectors import Embedder  # noqa: PLC0415  # heavy
    from sclong_tasks.cells import read_h5ad  # noqa: PLC0415
    from sclong_tasks.network.cells import Options, network_of_cells  # noqa: PLC0415

    options = Options(
        by=args.by, source=args.source, graph=args.graph, top=args.top, per_gene=args.per_gene,
        genes=args.genes, detection=args.detection, cells=args.cells_per_type, seed=args.seed,
        batch_size=args.batch_size, progress=is_interactive(),
    )  # fmt: skip
    cells = read_h5ad(args.cells)
    embedder = Embedder(args.checkpoint, device=args.device, **reading_of(args))
    record = network_of_cells(cells, embedder, options, args.cells)
    _write(cells, record, args)
    _print(record, args)


def _write(cells: "anndata.AnnData", record: dict[str, Any], args: argparse.Namespace) -> None:
    from sclong_core.embedding.tables import sidecar  # noqa: PLC0415  # heavy
    from sclong_core.files import atomic_file, json_text  # noqa: PLC0415
    from sclong_tasks.predict import write_table  # noqa: PLC0415

    if args.output is None:
        return
    args.output.parent.mkdir(parents=True, exist_ok=True)
    if args.output.suffix == ".h5ad":
        with atomic_file(args.output, overwrite=args.overwrite) as temporary:
            cells.write_h5ad(temporary)
        return
    write_table(record["table"], args.output)
    about = {name: value for name, value in record.items() if name != "table"}
    about["enrichment"] = record["enrichment"].to_dict("records")
    with atomic_file(sidecar(args.output)) as temporary:
        temporary.write_text(json_text(about), encoding="utf-8")


def _print(record: dict[str, Any], args: argparse.Namespace) -> None:
    table, enriched = record["table"], record["enrichment"]
    shown = table.groupby("group", sort=False).head(max(1, _SHOWN // len(record["types"])))
    print_table(
        ("type", "gene", "gene", "weight", "q", "gene vectors", "correlation"),
        (
            (
                str(row.group), str(row.source), str(row.target), f"{row.weight:.2f}",
                f"{row.q:.2g}", f"{row.gene_vectors:.2f}", f"{row.correlation:.2f}",
            )
            for row in shown.itertuples()
        ),
    )  # fmt: skip
    if len(enriched):
        print_table(
            ("type", "edges by", "edges", "in the graph", "expected", "odds ratio", "p"),
            (
                (
                    str(row.group), str(row.edges_by).replace("_", " "), f"{row.edges:,}",
                    f"{row.found:,}", f"{row.expected:.1f}", f"{row.odds_ratio:.1f}",
                    f"{row.p:.3f}",
                )
                for row in enriched.itertuples()
            ),
        )  # fmt: skip
    print_facts(_facts(record, args))


def _facts(record: dict[str, Any], args: argparse.Namespace) -> Iterator[tuple[str, str]]:
    table = record["table"]
    yield "edges", f"{len(table):,}, the most similar pairs of each type"
    beyond = int((table["q"] < 0.05).sum())
    words = f"{beyond:,} edges at a false discovery rate of 5%, beside pairs of like expression"
    yield "beyond chance", words
    if len(record["enrichment"]):
        yield "expected", "in random networks in which each gene has as many edges"
    else:
        yield "graph", "none to compare with: give Gene Ontology annotations to --graph"
    if args.output is not None:
        yield "written", str(args.output)


command = NetworkCommand()
