"""``sclong explain``: which genes make the vectors of a type of cells what they are."""

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

_LOG = logging.getLogger("sclong")
_SHOWN = 8
_APART = 0.05
"""Least difference in score, a cosine, of which a share says anything."""
_FIGURES = (".png", ".svg", ".pdf")


class ExplainCommand:
    """Explains groups of cells; see :mod:`sclong_tasks.in_silico.explaining`."""

    help = "tell which genes make the vectors of each type of cells what they are"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare cells, groups and places."""
        parser.description = (
            "Compare cells of each group with cells of the others, and share out among the genes "
            "how much nearer their vectors lie to the group's own direction: by integrated "
            "gradients for all genes, checked by occlusion for the first ones."
        )
        parser.add_argument("cells", type=Path, metavar="CELLS.h5ad")
        parser.add_argument(
            "--by", required=True, metavar="COLUMN", help="of obs: the groups, for example types"
        )
        parser.add_argument(
            "-o", "--output", type=Path,
            help=".csv, .tsv or .parquet: the table; .h5ad: the cells with table and vectors",
        )  # fmt: skip
        parser.add_argument(
            "--figure", type=Path, metavar="FILE",
            help="heat map of groups and genes, .png, .svg or .pdf (needs sclong-core[scanpy])",
        )  # fmt: skip
        parser.add_argument(
            "--attention", type=Path, metavar="FILE",
            help="attention between the first genes of each group, as a table of group, source, "
            "target and weight; of models whose encoders read all genes",
        )  # fmt: skip
        parser.add_argument("--overwrite", action="store_true", help="replace an output")
        parser.add_argument(
            "--top", type=int, default=20, metavar="N",
            help="genes of each group that are also occluded, and as many others (default: 20)",
        )  # fmt: skip
        parser.add_argument(
            "--cells-per-group", type=int, default=100, metavar="N",
            help="cells of each group that are explained, drawn by --seed (default: 100)",
        )  # fmt: skip
        parser.add_argument(
            "--steps", type=int, default=16, metavar="N", help="of the integral (default: 16)"
        )
        parser.add_argument(
            "--checkpoint", metavar="FOLDER_OR_HUB_ID",
            help="the model (default: mini, which comes with the package)",
        )  # fmt: skip
        parser.add_argument("--seed", type=int, default=0, help="draws cells and their pairs")
        parser.add_argument("--batch-size", type=int, default=64, metavar="CELLS")
        parser.add_argument("--device", default="auto")
        add_reading(parser)

    def run(self, args: argparse.Namespace) -> int:
        """Explain, write, and print the first genes of each group."""
        with messages():
            _explain(args)
        return 0


def _explain(args: argparse.Namespace) -> None:
    for output, formats in (
        (args.output, FORMATS),
        (args.attention, FORMATS[1:]),
        (args.figure, _FIGURES),
    ):
        if output is not None:
            check_output(output, cells=args.cells, formats=formats, overwrite=args.overwrite)
    places = [place for place in (args.output, args.attention, args.figure) if place is not None]
    if len({place.absolute() for place in places}) < len(places):
        raise ConfigError("two outputs have one name: give each its own")
    if args.figure is not None:
        from sclong_tasks.plot import require_scanpy  # noqa: PLC0415  # needs an extra

        require_scanpy()
    from sclong_tasks.annotation.vectors import Embedder  # noqa: PLC0415  # heavy
    from sclong_tasks.cells import read_h5ad  # noqa: PLC0415
    from sclong_tasks.in_silico.explaining import (  # noqa: PLC0415
        ExplainOptions,
        attention_table,
        explain_cells,
        require_attention,
    )

    options = ExplainOptions(
        args.by, top=args.top, cells=args.cells_per_group, steps=args.steps, seed=args.seed,
        batch_size=args.batch_size, progress=is_interactive(),
    )  # fmt: skip
    cells = read_h5ad(args.cells)
    reading = reading_of(args)
    embedder = Embedder(args.checkpoint, device=args.device, progress=is_interactive(), **reading)
    if args.attention is not None:
        require_attention(embedder)
    record = explain_cells(cells, embedder, options, args.cells)
    _write(cells, record, args)
    if args.attention is not None:
        from sclong_tasks.predict import write_table  # noqa: PLC0415  # heavy

        write_table(attention_table(cells, embedder, options, args.cells, reading), args.attention)
    print_table(("group", "cells", "genes that make it so"), list(_first_genes(record)))
    print_facts(_facts(record, args))


def _write(cells: "anndata.AnnData", record: dict[str, Any], args: argparse.Namespace) -> None:
    from sclong_core.embedding.tables import sidecar  # noqa: PLC0415  # heavy
    from sclong_core.files import atomic_file, json_text  # noqa: PLC0415
    from sclong_tasks.predict import write_table  # noqa: PLC0415

    if args.figure is not None:
        from sclong_tasks import plot  # noqa: PLC0415  # needs an extra

        figure = plot.explanation(cells, return_fig=True)
        with atomic_file(args.figure, overwrite=args.overwrite) as temporary:
            figure.savefig(temporary, dpi=150, bbox_inches="tight")  # type: ignore[union-attr]
    if args.output is None:
        return
    args.output.parent.mkdir(parents=True, exist_ok=True)
    if args.output.suffix == ".h5ad":
        with atomic_file(args.output, overwrite=args.overwrite) as temporary:
            cells.write_h5ad(temporary)
        return
    write_table(record["table"], args.output)
    about = {name: value for name, value in record.items() if name not in ("table", "groups")}
    about["groups"] = record["groups"].to_dict("records")
    with atomic_file(sidecar(args.output)) as temporary:
        temporary.write_text(json_text(about), encoding="utf-8")


def _first_genes(record: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    table = record["table"]
    for about in record["groups"].itertuples():
        rows = table[(table["group"] == about.group) & (table["attribution"] > 0)].head(_SHOWN)
        words = [f"{row.gene}{'' if row.q < 0.05 else ' (n.s.)'}" for row in rows.itertuples()]
        yield about.group, f"{about.pairs:,}", ", ".join(words)


def _facts(record: dict[str, Any], args: argparse.Namespace) -> Iterator[tuple[str, str]]:
    table, groups = record["table"], record["groups"]
    beyond = table[table["q"] < 0.05]
    words = f"{len(beyond):,} of {len(table):,} pairs of group and gene at a false discovery rate"
    yield "beyond chance", f"{words} of 5%; n.s. marks the others"
    apart = groups[groups["score_gained"] > _APART]
    if len(apart):
        share = (apart["attributed"] / apart["score_gained"]).median()
        yield "attributed", f"{share:.0%} of what the scores differ by, in the median group"
    else:
        yield "attributed", "little: the vectors of these groups hardly differ"
    words = (
        f"rank correlation with occlusion {groups['agreement'].median():.2f} in the median group"
    )
    yield "checked", f"{words}, over {groups['genes_occluded'].max()} genes each"
    for name, place in (("written", args.output), ("figure", args.figure)):
        if place is not None:
            yield name, str(place)


command = ExplainCommand()
