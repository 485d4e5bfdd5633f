"""``sclong data check``: is every byte of a corpus as it was written?"""

import argparse
from pathlib import Path

from sclong_core.cli.terminal import is_interactive, messages, print_facts, print_text
from sclong_core.errors import InputError

_BYTES = 1e6


class CheckCommand:
    """Verifies a corpus; see :mod:`sclong_data.corpus.check`."""

    help = "verify every file of a corpus against its hash"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the folder."""
        parser.add_argument("corpus", type=Path, metavar="CORPUS", help="folder of the corpus")

    def run(self, args: argparse.Namespace) -> int:
        """Check, list all problems, and fail if there is one.

        Raises:
            InputError: the folder holds no corpus, or something is wrong with it.
        """
        from rich.progress import Progress  # noqa: PLC0415  # keeps sclong --help fast

        from sclong_data.corpus.check import check_corpus  # noqa: PLC0415

        with messages(), Progress(disable=not is_interactive(), transient=True) as progress:
            task = progress.add_task("checking files", total=None)

            def seen(done: int, total: int) -> None:
                progress.update(task, completed=done, total=total)

            checked = check_corpus(args.corpus, seen=seen)
        for problem in checked.problems:
            print_text(f"{problem.file}: {problem.what}")
        if checked.problems:
            count = len(checked.problems)
            raise InputError(
                f"{args.corpus}: {count} {'file is' if count == 1 else 'files are'} not "
                "as written; restore them, or run `sclong data harmonise` again to "
                "rebuild them"
            )
        print_facts(
            [
                ("corpus", str(args.corpus)),
                ("cells", f"{checked.cells:,}"),
                ("files", f"{checked.files:,}, all as written"),
                ("size of shards", f"{checked.bytes / _BYTES:,.1f} MB"),
            ]
        )
        return 0


command = CheckCommand()
