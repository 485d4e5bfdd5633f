"""``sclong data gene2vec``: one vector for each gene of a vocabulary."""

import argparse
from pathlib import Path

from sclong_core.cli.terminal import messages, print_facts
from sclong_data.cli.gene_files import (
    REPORT,
    add_output_arguments,
    add_table_arguments,
    check_output,
    obtained,
    read_optional_table,
    write_report,
)


class Gene2VecCommand:
    """Aligns Gene2vec's vectors; see :mod:`sclong_data.gene2vec`."""

    help = "write Gene2vec's vectors in the order of a vocabulary -> gene2vec.npy"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare vectors and vocabulary, and what genes without a vector get."""
        parser.description = (
            "Write the Gene2vec vector of each gene of a vocabulary. Genes without one "
            "get the mean of the others plus noise that depends only on the seed and "
            "the gene, or zeros. The report lists these genes."
        )
        parser.add_argument("--vocabulary", type=Path, required=True, metavar="FILE")
        add_output_arguments(parser, "the array to write: gene2vec.npy")
        parser.add_argument(
            "--vectors",
            type=Path,
            metavar="FILE",
            help="text file of vectors (default: download it)",
        )
        parser.add_argument("--dimensions", type=int, default=200)
        parser.add_argument(
            "--missing",
            choices=("mean", "zeros"),
            default="mean",
            help="vector for genes that have none (default: mean)",
        )
        parser.add_argument(
            "--noise",
            type=float,
            default=0.1,
            help=(
                "noise added to the mean, in standard deviations of each dimension (default: 0.1)"
            ),
        )
        parser.add_argument("--seed", type=int, default=0, help="seed of the noise")
        add_table_arguments(parser, optional=True)

    def run(self, args: argparse.Namespace) -> int:
        """Align, and print how many genes have a vector."""
        from sclong_core.vocabulary import GeneVocabulary  # noqa: PLC0415  # keeps --help fast
        from sclong_data.gene2vec import read_gene2vec  # noqa: PLC0415
        from sclong_data.genes import official  # noqa: PLC0415

        with messages():
            check_output(args, REPORT)
            vocabulary = GeneVocabulary.read(args.vocabulary)
            used = {"vocabulary": args.vocabulary}
            table = read_optional_table(args, used)
            used["vectors"] = obtained(args.vectors, official.GENE2VEC, args)
            aligned = read_gene2vec(
                used["vectors"],
                vocabulary,
                table,
                dimensions=args.dimensions,
                missing=args.missing,
                noise=args.noise,
                seed=args.seed,
            )
            aligned.write(args.output)
            known = int(aligned.known.sum())
            filled = len(vocabulary) - known
            report = write_report(
                args.output,
                used,
                {
                    "genes": len(vocabulary),
                    "vocabulary digest": vocabulary.digest,
                    "with a vector": known,
                    "filled in": filled,
                    "filled in with": args.missing,
                    "noise": args.noise if args.missing == "mean" else 0,
                    "seed": args.seed,
                    "genes without a vector": [
                        gene
                        for gene, there in zip(vocabulary.ids, aligned.known, strict=True)
                        if not there
                    ],
                    "names in the file": aligned.names,
                    "names not used": list(aligned.unused),
                    "names of genes with a better name": list(aligned.repeated),
                },
            )
        print_facts(
            (
                ("vectors", f"{args.output}: {aligned.vectors.shape[0]:,} x {args.dimensions}"),
                ("genes with a vector", f"{known:,} of {len(vocabulary):,}"),
                ("filled in", f"{filled:,}, with {args.missing}"),
                ("names not used", f"{len(aligned.unused):,} of {aligned.names:,}"),
                ("beside it", report.name),
            )
        )
        return 0


command = Gene2VecCommand()
