"""``sclong data list``: what archives and folders offer, as a manifest."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sclong_core.cli.terminal import messages, print_facts, print_table
from sclong_core.errors import ConfigError
from sclong_data.cli.sizes import print_size, read_size

if TYPE_CHECKING:
    from sclong_data.dataset_manifest import DatasetEntry
    from sclong_data.sources import Filters, Source

_ARCHIVES = ("cellxgene", "hca", "cellblast")
_SHOWN = 40
_HUMAN = "Homo sapiens"


class ListCommand:
    """Lists the data sets of a source; see :mod:`sclong_data.sources`."""

    help = "list the data sets of CELLxGENE, HCA, Cell BLAST or a folder, as a manifest"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the source and the filters."""
        parser.add_argument("source", metavar="SOURCE", help=f"{', '.join(_ARCHIVES)}, or a folder")
        parser.add_argument(
            "-o",
            "--output",
            type=Path,
            help="manifest to write (.tsv); replaces an older one",
        )
        group = parser.add_argument_group("filters; each may be repeated")
        group.add_argument(
            "--organism",
            action="append",
            default=[],
            metavar="NAME",
            help='species, or "any" (default for archives: Homo sapiens)',
        )
        for name in ("tissue", "assay", "disease"):
            group.add_argument(
                f"--{name}", action="append", default=[], metavar="TEXT", help="part of its name"
            )
        group.add_argument("--text", default="", help="part of the title")
        group.add_argument(
            "--secondary",
            action="store_true",
            help="include data sets that only contain copies from others (CELLxGENE)",
        )
        group.add_argument("--min-cells", type=int, default=0, metavar="N")
        group.add_argument(
            "--max-size", type=read_size, metavar="SIZE", help="maximum size of a file, such as 2GB"
        )
        group.add_argument("--limit", type=int, metavar="N", help="maximum number of data sets")
        census = parser.add_argument_group("slices of the CELLxGENE Census (optional package)")
        census.add_argument(
            "--census", metavar="VERSION", help="version of the Census, such as 2025-01-30"
        )
        census.add_argument(
            "--where",
            default="",
            metavar="FILTER",
            help="filter of cells, such as tissue_general == 'lung'",
        )
        other = parser.add_argument_group("other")
        other.add_argument(
            "--catalog", metavar="NAME", help="release of the HCA (default: the newest)"
        )
        other.add_argument("--api", metavar="URL", help="another address of the catalogue")

    def run(self, args: argparse.Namespace) -> int:
        """List, print, and write the manifest."""
        from sclong_data.dataset_manifest import Manifest  # noqa: PLC0415  # heavy
        from sclong_data.outputs import require_output  # noqa: PLC0415  # heavy

        with messages():
            if args.output is not None:
                require_output(args.output, ours=Manifest.wrote)
            source = _source(args)
            entries = source.list(_filters(args))
            _print(entries)
            if args.output is not None:
                folder = Path(args.source) if args.source not in _ARCHIVES else args.output.parent
                Manifest(tuple(entries), folder).write(args.output)
                print_facts([("manifest", str(args.output))])
        return 0


def _source(args: argparse.Namespace) -> "Source":
    from sclong_data import sources  # noqa: PLC0415  # heavy

    if args.census is not None and args.source != "cellxgene":
        raise ConfigError("--census belongs to the source cellxgene")
    api = {} if args.api is None else {"api": args.api.rstrip("/")}
    if args.source == "cellxgene":
        if args.census is not None:
            return sources.Census(args.census, args.where)
        return sources.CellxGene(**api)
    if args.source == "hca":
        return sources.HumanCellAtlas(catalog=args.catalog, **api)
    if args.source == "cellblast":
        return sources.CellBlast(**({} if args.api is None else {"table": args.api}))
    if not Path(args.source).is_dir():
        raise ConfigError(
            f"{args.source!r} is not a source: use {', '.join(_ARCHIVES)}, or an existing folder"
        )
    return sources.LocalFolder(Path(args.source))


def _filters(args: argparse.Namespace) -> "Filters":
    from sclong_data.sources import Filters  # noqa: PLC0415  # heavy

    organism = args.organism
    if not organism and args.source in _ARCHIVES:
        organism = [_HUMAN]
    if "any" in [name.lower() for name in organism]:
        organism = []
    return Filters(
        organism=tuple(organism),
        tissue=tuple(args.tissue),
        assay=tuple(args.assay),
        disease=tuple(args.disease),
        text=args.text,
        primary_only=not args.secondary,
        min_cells=args.min_cells,
        max_bytes=args.max_size,
        limit=args.limit,
    )


def _print(entries: "list[DatasetEntry]") -> None:
    print_table(
        ("data set", "title", "organism", "tissue", "assay", "cells", "size"),
        (
            (
                entry.dataset,
                entry.title[:80],
                entry.organism or "",
                _short(entry.tissue),
                _short(entry.assay),
                "" if entry.cells is None else f"{entry.cells:,}",
                print_size(entry.bytes),
            )
            for entry in entries[:_SHOWN]
        ),
    )
    cells = sum(entry.cells or 0 for entry in entries)
    size = sum(entry.bytes or 0 for entry in entries)
    facts = [("data sets", f"{len(entries):,}")]
    if len(entries) > _SHOWN:
        facts.append(("shown", f"the first {_SHOWN}"))
    print_facts([*facts, ("cells", f"{cells:,}"), ("size", print_size(size))])


def _short(names: str | None) -> str:
    listed = (names or "").split("; ")
    return "; ".join(listed[:2]) + (f" and {len(listed) - 2} more" if len(listed) > 2 else "")


command = ListCommand()
