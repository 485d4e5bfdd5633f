"""``sclong convert``: the authors' release into a checkpoint folder."""

import argparse
from pathlib import Path

from sclong_core.cli.terminal import standard_output


class ConvertCommand:
    """Converts the released weights; see :func:`sclong_core.release.convert_release`."""

    help = "convert the authors' released weights into a checkpoint folder"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the files of a release, the folder to write, and how."""
        parser.description = (
            "Convert the authors' released weights into a self-contained checkpoint folder. "
            "The files are read without executing anything in them."
        )
        parser.add_argument(
            "--weights", type=Path, required=True, metavar="PTH", help="the released checkpoint"
        )
        parser.add_argument(
            "--hyper-params",
            type=Path,
            required=True,
            metavar="PKL",
            help="the released hyper-parameters, which hold the gene graph",
        )
        parser.add_argument(
            "--genes", type=Path, required=True, metavar="TXT", help="Ensembl ids, one a line"
        )
        parser.add_argument(
            "--gene2vec",
            type=Path,
            metavar="NPY",
            help="initial gene vectors, only checked and recorded: the trained ones are weights",
        )
        parser.add_argument(
            "--output", type=Path, required=True, metavar="FOLDER", help="checkpoint to create"
        )
        parser.add_argument(
            "--symbols",
            type=Path,
            metavar="TABLE",
            help="two columns, Ensembl id and gene symbol, to name the genes",
        )
        parser.add_argument(
            "--dtype",
            choices=("float32", "bfloat16"),
            default="float32",
            help="in which the weights of the large products are kept (default: float32)",
        )
        parser.add_argument(
            "--overwrite", action="store_true", help="replace a checkpoint that is there"
        )

    def run(self, args: argparse.Namespace) -> int:
        """Convert, and print what the checkpoint holds."""
        from rich.console import Console  # noqa: PLC0415  # keeps sclong --help fast

        errors = Console(stderr=True)
        with errors.status("converting: reading, checking and writing the weights"):
            from sclong_core.release import convert_release  # noqa: PLC0415  # loads PyTorch

            folder = convert_release(
                weights=args.weights,
                hyper_params=args.hyper_params,
                genes=args.genes,
                gene2vec=args.gene2vec,
                output=args.output,
                symbols=args.symbols,
                dtype=args.dtype,
                overwrite=args.overwrite,
            )
        _print_summary(folder)
        return 0


def _print_summary(folder: Path) -> None:
    from rich.table import Table  # noqa: PLC0415  # keeps sclong --help fast

    from sclong_core.summary import summarise_checkpoint  # noqa: PLC0415  # keeps --help fast

    summary = summarise_checkpoint(folder)
    info = summary.info
    facts = Table.grid(padding=(0, 2, 0, 0))
    facts.add_column()
    facts.add_column(overflow="fold")
    facts.add_row("checkpoint", str(folder))
    facts.add_row("digest", info.digest)
    facts.add_row("parameters", f"{summary.parameters:,} ({summary.dtype})")
    facts.add_row("genes", f"{info.config.genes:,} ({summary.symbols:,} with a symbol)")
    facts.add_row("graph edges", f"{summary.edges:,}")
    facts.add_row("release epoch", str(info.origin.get("epoch") or "not recorded"))
    dropped = ", ".join(info.origin["dropped"])
    facts.add_row("not carried over", dropped or "nothing")
    files = Table("file")
    files.add_column("bytes", justify="right")
    files.add_column("SHA-256", overflow="fold")
    for name, record in info.origin["files"].items():
        files.add_row(f"read: {record['name']} ({name})", f"{record['bytes']:,}", record["sha256"])
    for name, written in info.files.items():
        files.add_row(f"written: {name}", f"{written.bytes:,}", written.sha256)
    console = standard_output()
    console.print(facts)
    console.print(files)


command = ConvertCommand()
