"""``sclong perturb``: delete or overexpress genes in the input, and see where cells move."""

import argparse
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sclong_core.cli.embed import add_reading, reading_of
from sclong_core.cli.terminal import is_interactive, messages, print_facts, print_table
from sclong_core.errors import ConfigError
from sclong_tasks.cli.places import FORMATS, check_output

if TYPE_CHECKING:
    import anndata
    import pandas as pd

_LOG = logging.getLogger("sclong")
_SHOWN = 40


class PerturbCommand:
    """Changes genes; see :mod:`sclong_tasks.in_silico`."""

    help = "delete or overexpress genes in the input, and see how far and where cells move"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare cells, genes and places."""
        parser.description = (
            "Delete or overexpress genes in what the model reads of each cell, and report how far "
            "and towards which other cells the vectors move, beside genes of like expression that "
            "are changed the same way. With 'all' in place of a gene, rank all genes by one "
            "backward pass and compute the highest exactly."
        )
        parser.add_argument("cells", type=Path, metavar="CELLS.h5ad")
        for kind in ("delete", "overexpress"):
            parser.add_argument(
                f"--{kind}", nargs="+", default=[], metavar="GENE",
                help=f"{kind} a gene; A+B changes both at once; a text file stands for the genes "
                "on its lines; all ranks every gene",
            )  # fmt: skip
        parser.add_argument("--by", metavar="COLUMN", help="of obs: move each group by itself")
        parser.add_argument(
            "--towards", metavar="COLUMN=VALUE",
            help="cells of obs to move towards; by default each other group of --by",
        )  # fmt: skip
        parser.add_argument(
            "-o", "--output", type=Path,
            help=".csv, .tsv or .parquet: the table; .h5ad: the cells with table and vectors",
        )  # fmt: skip
        parser.add_argument("--overwrite", action="store_true", help="replace an output")
        parser.add_argument(
            "--top", type=int, default=20, metavar="N",
            help="with all: genes that are computed exactly (default: 20)",
        )  # fmt: skip
        parser.add_argument(
            "--ranking", type=Path, metavar="FILE", help="with all: write the ranking of all genes"
        )
        parser.add_argument(
            "--null", type=int, default=100, metavar="N",
            help="genes of like expression to compare with (default: 100)",
        )  # fmt: skip
        parser.add_argument(
            "--cells-per-group", type=int, default=200, metavar="N",
            help="cells of each group that are changed, drawn by --seed; 0 for all (default: 200)",
        )  # fmt: skip
        parser.add_argument(
            "--quantile", type=float, default=0.95, metavar="SHARE",
            help="of the cells that express a gene: the value that overexpression sets "
            "(default: 0.95; 1 is the highest)",
        )  # fmt: skip
        parser.add_argument(
            "--checkpoint", metavar="FOLDER_OR_HUB_ID",
            help="the model (default: mini, which comes with the package)",
        )  # fmt: skip
        parser.add_argument("--seed", type=int, default=0, help="draws cells and directions")
        parser.add_argument("--batch-size", type=int, default=256, metavar="CELLS")
        parser.add_argument("--device", default="auto")
        add_reading(parser)

    def run(self, args: argparse.Namespace) -> int:
        """Change genes, write, and print what was found."""
        with messages():
            _perturb(args)
        return 0


def _perturb(args: argparse.Namespace) -> None:
    _check(args)
    from sclong_tasks.annotation.vectors import Embedder  # noqa: PLC0415  # heavy
    from sclong_tasks.cells import read_h5ad  # noqa: PLC0415
    from sclong_tasks.in_silico.cells import Options, perturb_cells  # noqa: PLC0415
    from sclong_tasks.in_silico.genes import ALL  # noqa: PLC0415

    options = Options(
        args.delete, args.overexpress, by=args.by, towards=args.towards, top=args.top,
        null=args.null, cells=args.cells_per_group, quantile=args.quantile, seed=args.seed,
        batch_size=args.batch_size, progress=is_interactive(),
    )  # fmt: skip
    if args.ranking is not None and ALL not in (*options.delete, *options.overexpress):
        raise ConfigError("--ranking goes with --delete all or --overexpress all")
    cells = read_h5ad(args.cells)
    embedder = Embedder(
        args.checkpoint, device=args.device, progress=is_interactive(), **reading_of(args)
    )
    record = perturb_cells(cells, embedder, options, args.cells)
    _write(cells, record, args)
    _print(record, args)


def _check(args: argparse.Namespace) -> None:
    for output, formats in ((args.output, FORMATS), (args.ranking, FORMATS[1:])):
        if output is not None:
            check_output(output, cells=args.cells, formats=formats, overwrite=args.overwrite)


def _write(cells: "anndata.AnnData", record: dict[str, Any], args: argparse.Namespace) -> None:
    from sclong_core.embedding.tables import sidecar  # noqa: PLC0415  # heavy
    from sclong_core.files import atomic_file, json_text  # noqa: PLC0415
    from sclong_tasks.predict import write_table  # noqa: PLC0415

    if args.ranking is not None:
        write_table(record["ranking"].drop(columns="position"), args.ranking)
    if args.output is None:
        return
    args.output.parent.mkdir(parents=True, exist_ok=True)
    if args.output.suffix == ".h5ad":
        with atomic_file(args.output, overwrite=args.overwrite) as temporary:
            cells.write_h5ad(temporary)
        return
    write_table(record["table"], args.output)
    about = {name: value for name, value in record.items() if name not in ("table", "ranking")}
    with atomic_file(sidecar(args.output)) as temporary:
        temporary.write_text(json_text(about), encoding="utf-8")


_MOVED = ("gene", "change", "group", "express it", "moved", "like genes", "p", "q", "most towards")


def _print(record: dict[str, Any], args: argparse.Namespace) -> None:
    table = record["table"]
    rows = list(_moved(table))
    print_table(_MOVED, rows[:_SHOWN])
    if len(rows) > _SHOWN:
        _LOG.info("%d more rows: write them with -o", len(rows) - _SHOWN)
    print_facts(_facts(record, args))


def _moved(table: "pd.DataFrame") -> Iterator[tuple[str, ...]]:
    for _, rows in table.groupby(["gene", "change", "group"], sort=False):
        row = rows.iloc[0]
        yield (
            str(row["gene"]),
            str(row["change"]),
            f"{row['group']} ({row['cells']:,})",
            f"{row['detection']:.0%}",
            f"{row['moved']:.2g}",
            _number(row["moved_null"], "{:.2g}"),
            _number(row["moved_p"], "{:.3f}"),
            _number(row["moved_q"], "{:.3f}"),
            _direction(rows),
        )


def _direction(rows: "pd.DataFrame") -> str:
    """The place that cells approach most, or else leave least, of several."""
    if rows["approach"].isna().all() or not rows["approach"].any():
        return ""
    best = rows.loc[rows["approach"].idxmax()]
    words = (
        f"{best['towards']} ({best['approach']:+.2g}, q {_number(best['approach_q'], '{:.3f}')})"
    )
    return words if best["approach"] > 0 or len(rows) == 1 else f"none; away least from {words}"


def _number(value: float, form: str) -> str:
    return "" if value != value else form.format(value)  # noqa: PLR0124  # NaN


def _facts(record: dict[str, Any], args: argparse.Namespace) -> Iterator[tuple[str, str]]:
    table = record["table"]
    tests = table.drop_duplicates(["gene", "change", "group"])
    words = (
        "mean cosine distance between the vectors of a cell before and after; beside it the median "
        "of genes of like expression, changed the same way in the same cells"
    )
    yield "moved", words
    beyond = int((tests["moved_q"] < 0.05).sum())
    yield "beyond chance", f"{beyond:,} of {len(tests):,} movements at a false discovery rate of 5%"
    aimed = table[table["approach"].notna()]
    if len(aimed):
        beyond = int((aimed["approach_q"] < 0.05).sum())
        yield (
            "directions",
            f"{beyond:,} of {len(aimed):,} differ from those of like genes, likewise",
        )
    least = tests["null_genes"].max()
    if least and 1 / (least + 1) * len(tests) > 0.05:
        words = f"{least} like genes give no p-value below {1 / (least + 1):.3f}"
        yield "resolution", f"{words}, and {len(tests):,} tests are corrected for: see --null"
    if "ranking" in record:
        words = (
            f"{record['ranking']['gene'].nunique():,} genes by one backward pass; rank correlation "
            f"with {record['first_order_genes_compared']:,} exact values "
            f"{record['first_order_rank_correlation']:.2f}. p-values count all genes ranked"
        )
        yield "ranking", words
    if args.output is not None:
        yield "written", str(args.output)


command = PerturbCommand()
