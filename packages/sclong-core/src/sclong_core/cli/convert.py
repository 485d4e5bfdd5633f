"""``sclong convert``: the authors' release into a checkpoint folder."""

import argparse
from pathlib import Path

from sclong_core.cli.terminal import print_facts, print_table


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
            "--weights", type=Path, required=True, metavar="PTH", help="released checkpoint"
        )
        parser.add_argument(
            "--hyper-params",
            type=Path,
            required=True,
            metavar="PKL",
            help="released hyper-parameters, which contain the gene graph",
        )
        parser.add_argument(
            "--genes",
            type=Path,
            required=True,
            metavar="TXT",
            help="file of Ensembl ids, one per line",
        )
        parser.add_argument(
            "--gene2vec",
            type=Path,
            metavar="NPY",
            help=(
                "initial gene vectors; only checked and recorded, because the weights "
                "contain the trained ones"
            ),
        )
        parser.add_argument(
            "--output", type=Path, required=True, metavar="FOLDER", help="checkpoint to create"
        )
        parser.add_argument(
            "--symbols",
            type=Path,
            metavar="TABLE",
            help="table of Ensembl id and gene symbol, to name the genes",
        )
        parser.add_argument(
            "--dtype",
            choices=("float32", "bfloat16"),
            default="float32",
            help="number format of the large weight matrices (default: float32)",
        )
        parser.add_argument(
            "--overwrite", action="store_true", help="replace an existing checkpoint"
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
    from sclong_core.summary import summarise_checkpoint  # noqa: PLC0415  # keeps --help fast

    summary = summarise_checkpoint(folder)
    info = summary.info
    dropped = ", ".join(info.origin["dropped"])
    print_facts(
        [
            ("checkpoint", str(folder)),
            ("digest", info.digest),
            ("parameters", f"{summary.parameters:,} ({summary.dtype})"),
            ("genes", f"{info.config.genes:,} ({summary.symbols:,} with a symbol)"),
            ("graph edges", f"{summary.edges:,}"),
            ("release epoch", str(info.origin.get("epoch") or "not recorded")),
            ("not carried over", dropped or "nothing"),
        ]
    )
    read = (
        (f"read: {record['name']} ({name})", f"{record['bytes']:,}", record["sha256"])
        for name, record in info.origin["files"].items()
    )
    written = (
        (f"written: {name}", f"{written.bytes:,}", written.sha256)
        for name, written in info.files.items()
    )
    print_table(("file", "bytes", "SHA-256"), [*read, *written])


command = ConvertCommand()
