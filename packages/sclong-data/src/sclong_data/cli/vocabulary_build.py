"""``sclong data vocabulary build``: the union of the paper's four sources of genes."""

import argparse
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sclong_core.cli.terminal import messages, print_facts, print_table
from sclong_data.cli.gene_files import (
    REASONS,
    REPORT,
    add_output_arguments,
    add_table_arguments,
    check_output,
    obtained,
    read_table,
    write_report,
)

if TYPE_CHECKING:
    from sclong_data.genes.table import GeneTable
    from sclong_data.genes.vocabulary import BuiltVocabulary

_LOG = logging.getLogger("sclong")
_REASONS = ("expressed", "protein_coding", "go", "gene2vec")
_WORDS = {
    "expressed": "most non-zeros",
    "protein_coding": "protein-coding",
    "go": "in the Gene Ontology",
    "gene2vec": "in Gene2vec",
}


class VocabularyBuildCommand:
    """Builds a vocabulary; see :mod:`sclong_data.genes.vocabulary`."""

    help = (
        "build it from genes with most non-zeros, protein-coding, in GO or in Gene2vec -> "
        "vocabulary.tsv"
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the sources."""
        parser.description = (
            "Build the paper's vocabulary: the genes with most non-zeros in the cells, "
            "and all genes that code for a protein, are annotated in the Gene Ontology "
            "or have a Gene2vec vector. Files that you do not pass are downloaded from "
            "their publishers, in fixed versions. <output>.reasons.tsv lists why each "
            "gene is included."
        )
        add_output_arguments(parser, "the vocabulary to write: vocabulary.tsv")
        group = parser.add_argument_group("sources of genes")
        group.add_argument(
            "--cells", nargs="+", type=Path, metavar="PATH", help="files or folders of cells"
        )
        group.add_argument(
            "--counts",
            type=Path,
            metavar="FILE",
            help="table of non-zeros per gene, counted earlier",
        )
        group.add_argument("--go", type=Path, metavar="FILE", help="annotations: GAF or gene2go")
        group.add_argument("--gene2vec", type=Path, metavar="FILE", help="Gene2vec's text file")
        group.add_argument(
            "--top",
            type=int,
            default=20_000,
            metavar="GENES",
            help="number of genes with most non-zeros (default: 20000)",
        )
        group.add_argument(
            "--without",
            nargs="+",
            choices=_REASONS,
            default=[],
            metavar="SOURCE",
            help=f"sources to leave out: {', '.join(_REASONS)}",
        )
        add_table_arguments(parser)

    def run(self, args: argparse.Namespace) -> int:
        """Build, and print the sizes."""
        with messages():
            check_output(args, REASONS, REPORT)
            used: dict[str, Path] = {}
            table = read_table(args, used)
            built = _build(args, table, used)
            built.vocabulary.write(args.output)
            reasons = args.output.with_suffix(REASONS)
            built.write_reasons(reasons)
            report = write_report(args.output, used, _report(built))
        _summarise(built, args.output, (reasons, report))
        return 0


def _build(
    args: argparse.Namespace, table: "GeneTable", used: dict[str, Path]
) -> "BuiltVocabulary":
    from sclong_data.gene2vec import read_vectors  # noqa: PLC0415  # keeps sclong --help fast
    from sclong_data.genes import official  # noqa: PLC0415  # keeps sclong --help fast
    from sclong_data.genes.vocabulary import build_vocabulary  # noqa: PLC0415

    annotated = with_vector = nonzeros = None
    if "go" not in args.without:
        from sclong_data.graph.annotations import collect_terms  # noqa: PLC0415
        from sclong_data.graph.reading import read_annotations  # noqa: PLC0415

        used["GO annotations"] = obtained(args.go, official.GO_ANNOTATIONS, args)
        annotated = collect_terms(read_annotations(used["GO annotations"]), table).terms
    if "gene2vec" not in args.without:
        used["Gene2vec"] = obtained(args.gene2vec, official.GENE2VEC, args)
        with_vector = read_vectors(used["Gene2vec"]).names
    if "expressed" not in args.without:
        nonzeros = _nonzeros(args, table, used)
    return build_vocabulary(
        table,
        nonzeros=nonzeros,
        annotated=annotated,
        with_vector=with_vector,
        protein_coding="protein_coding" not in args.without,
        top=args.top,
    )


def _nonzeros(
    args: argparse.Namespace, table: "GeneTable", used: dict[str, Path]
) -> Mapping[str, int] | None:
    """Counts of cells, of a file, or of both."""
    from sclong_core.expression import find_cell_files  # noqa: PLC0415  # keeps --help fast
    from sclong_data.genes.counting import count_nonzeros, read_counts  # noqa: PLC0415

    if args.counts is None and args.cells is None:
        _LOG.warning(
            "neither --cells nor --counts is set: no gene is included for its number of non-zeros"
        )
        return None
    nonzeros = read_counts(args.counts) if args.counts is not None else None
    if nonzeros is not None:
        used["counts"] = args.counts
    if args.cells is not None:
        files = find_cell_files(args.cells)
        _LOG.info("counting non-zeros in %s files of cells", f"{len(files):,}")
        counted = count_nonzeros(files, table)
        nonzeros = counted if nonzeros is None else nonzeros + counted
        used.update({f"cells {number}": file for number, file in enumerate(files, 1)})
    return nonzeros


def _report(built: "BuiltVocabulary") -> dict[str, object]:
    return {
        "genes": len(built.vocabulary),
        "digest": built.vocabulary.digest,
        "genes by reason": built.sizes,
        "genes for one reason alone": built.only(),
        "names": {
            reason: {
                "names": source.names,
                "genes": source.genes,
                "ambiguous": list(source.ambiguous),
                "unknown": list(source.unknown),
            }
            for reason, source in built.sources.items()
        },
    }


def _summarise(built: "BuiltVocabulary", output: Path, others: tuple[Path, ...]) -> None:
    from sclong_data.genes.vocabulary import PAPER, REASONS  # noqa: PLC0415  # keeps --help fast

    sizes, only = built.sizes, built.only()
    print_table(
        ("reason", "genes", "for it alone", "in the paper", "names ambiguous", "names unknown"),
        (
            (
                _WORDS[reason],
                f"{sizes[reason]:,}",
                f"{only[reason]:,}",
                f"{PAPER[reason]:,}",
                f"{len(source.ambiguous):,}" if (source := built.sources.get(reason)) else "",
                f"{len(source.unknown):,}" if source else "",
            )
            for reason in REASONS
        ),
    )
    print_facts(
        (
            ("vocabulary", f"{output}: {len(built.vocabulary):,} genes"),
            ("digest", built.vocabulary.digest),
            ("beside it", ", ".join(path.name for path in others)),
        )
    )


command = VocabularyBuildCommand()
