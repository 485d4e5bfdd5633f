"""``sclong data vocabulary import``: a list of genes as it is."""

import argparse
from pathlib import Path

from sclong_core.cli.terminal import messages, print_facts
from sclong_data.cli.gene_files import (
    add_output_arguments,
    add_table_arguments,
    check_output,
    read_table,
)


class VocabularyImportCommand:
    """Makes a vocabulary of a list of ids, such as the authors' released one."""

    help = "import a list of gene ids, one per line (such as the released 27,874) -> vocabulary.tsv"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the list."""
        parser.description = (
            "Write a vocabulary from a list of Ensembl gene ids, one per line, in "
            "their order. The ids are unchanged; a gene table adds symbols, and shows "
            "which ids are retired."
        )
        parser.add_argument("list", type=Path, metavar="LIST")
        add_output_arguments(parser, "the vocabulary to write: vocabulary.tsv")
        parser.add_argument(
            "--symbols",
            action="store_true",
            help="add symbols from the gene table, which is downloaded if you pass none",
        )
        add_table_arguments(parser)

    def run(self, args: argparse.Namespace) -> int:
        """Import, and say what it is."""
        from sclong_core.vocabulary import GeneVocabulary  # noqa: PLC0415  # keeps --help fast

        with messages():
            check_output(args)
            vocabulary = GeneVocabulary.read(args.list)
            facts = [("vocabulary", f"{args.output}: {len(vocabulary):,} genes")]
            if args.symbols or args.gene_table:
                from sclong_data.genes.naming import with_symbols  # noqa: PLC0415

                named = with_symbols(vocabulary, read_table(args, {}))
                vocabulary = named.vocabulary
                facts += [
                    ("symbols", f"{named.symbols:,}"),
                    ("retired ids", f"{named.retired:,}"),
                    ("unknown ids", f"{named.unknown:,}"),
                ]
            vocabulary.write(args.output)
        print_facts([*facts, ("digest", vocabulary.digest)])
        return 0


command = VocabularyImportCommand()
