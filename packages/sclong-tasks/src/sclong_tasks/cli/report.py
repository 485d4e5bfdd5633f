"""``sclong report``: one page about one's own cells."""

import argparse
import logging
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from sclong_core.cli.embed import add_reading, reading_of
from sclong_core.cli.terminal import is_interactive, messages, print_facts
from sclong_tasks.cli.places import check_output

if TYPE_CHECKING:
    from sclong_tasks.maps import Way

_LOG = logging.getLogger("sclong")


class ReportCommand:
    """Writes a page about cells; see :mod:`sclong_tasks.cell_report`."""

    help = "write one page about your cells: maps, quality, coverage, genes behind each type"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare cells, columns and the page."""
        parser.description = (
            "Embed cells and write one self-contained page about them: maps by type, batch and "
            "quality that answer to a click and to the pointer, how well the model knows the "
            "genes, and which genes make the vectors of each type what they are."
        )
        parser.add_argument("cells", type=Path, metavar="CELLS.h5ad")
        parser.add_argument("-o", "--output", type=Path, required=True, metavar="PAGE.html")
        parser.add_argument("--overwrite", action="store_true", help="replace the page")
        parser.add_argument(
            "--by", metavar="COLUMN",
            help="of obs: the types (default: the first column that is named like them)",
        )  # fmt: skip
        parser.add_argument(
            "--color", nargs="+", default=[], metavar="COLUMN",
            help="of obs: colours of the maps (default: columns of few values)",
        )  # fmt: skip
        parser.add_argument(
            "--no-genes", action="store_true", help="leave out the genes behind the vectors"
        )
        parser.add_argument(
            "--map", choices=("umap", "pca"), help="default: umap where umap-learn is installed"
        )
        parser.add_argument(
            "--most-cells", type=int, default=3_000, metavar="N",
            help="of the maps, drawn by --seed (default: 3000)",
        )  # fmt: skip
        parser.add_argument(
            "--checkpoint", metavar="FOLDER_OR_HUB_ID",
            help="the model (default: mini, which comes with the package)",
        )  # fmt: skip
        parser.add_argument("--seed", type=int, default=0, help="draws cells and the map")
        parser.add_argument("--device", default="auto")
        add_reading(parser)

    def run(self, args: argparse.Namespace) -> int:
        """Embed, write the page, and say where it is."""
        with messages():
            _report(args)
        return 0


def _report(args: argparse.Namespace) -> None:
    check_output(args.output, cells=args.cells, formats=(".html",), overwrite=args.overwrite)
    from sclong_data.report.page import write_page  # noqa: PLC0415  # heavy
    from sclong_tasks.annotation.vectors import Embedder  # noqa: PLC0415
    from sclong_tasks.cell_report import ReportOptions, cell_report  # noqa: PLC0415
    from sclong_tasks.cells import read_h5ad  # noqa: PLC0415

    way: Way = args.map or ("umap" if find_spec("umap") is not None else "pca")
    if args.map is None and way == "pca":
        _LOG.info("the map is of principal components: pip install 'sclong-tasks[umap]' for UMAP")
    options = ReportOptions(
        by=args.by, colours=args.color, cells=args.most_cells, way=way, genes=not args.no_genes,
        seed=args.seed, progress=is_interactive(),
    )  # fmt: skip
    embedder = Embedder(
        args.checkpoint, device=args.device, progress=is_interactive(), **reading_of(args)
    )
    page = cell_report(read_h5ad(args.cells), embedder, options, args.cells)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    write_page(args.output, page)
    print_facts([("written", f"{args.output} ({args.output.stat().st_size / 1e6:.1f} MB)")])


command = ReportCommand()
