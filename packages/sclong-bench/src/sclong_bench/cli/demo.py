"""``sclong demo``: a whole run on real cells, in minutes and without a network."""

import argparse
import logging
import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sclong_core.cli.terminal import messages, print_facts


class DemoCommand:
    """Pretrains a tiny scLong on real cells and reports; see :mod:`sclong_bench.demo`."""

    help = "embed real cells with the packaged model, pretrain a tiny one, write a report"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare where to write, the seed and the length."""
        parser.description = (
            "Embed 700 real blood cells that come with scanpy by the model that comes with the "
            "package, map them and tell their types beside PCA; then pretrain a tiny scLong on "
            "them. Writes a page with all of it. Takes minutes on two CPU cores; needs no "
            "network. The same seed gives the same results."
        )
        parser.add_argument(
            "--output",
            type=Path,
            default=Path("demo"),
            metavar="FOLDER",
            help="folder to create; replaces an earlier demonstration (default: demo)",
        )
        parser.add_argument(
            "--seed", type=int, default=1, help="seed of all random numbers (default: 1)"
        )
        parser.add_argument(
            "--epochs", type=int, metavar="N", help="passes over the training cells (default: 6)"
        )

    def run(self, args: argparse.Namespace) -> int:
        """Run it, and print the main numbers."""
        from rich.console import Console  # noqa: PLC0415  # keeps sclong --help fast

        with messages(level=logging.WARNING), _stopped_like_ctrl_c():
            with Console(stderr=True).status("loading libraries"):
                from sclong_bench.demo.run import main_numbers, run_demo  # noqa: PLC0415  # heavy
                from sclong_bench.demo.settings import DemoSettings  # noqa: PLC0415
                from sclong_bench.demo.stages import Stages  # noqa: PLC0415
            chosen = {} if args.epochs is None else {"epochs": args.epochs}
            settings = DemoSettings(seed=args.seed, **chosen)
            outcome = run_demo(args.output, settings, command=command_line(args), stages=Stages())
        print_facts([*main_numbers(outcome), ("report", str(args.output / "report.html"))])
        return 0


@contextmanager
def _stopped_like_ctrl_c() -> Iterator[None]:
    """Take SIGTERM for what Ctrl-C is, so that a run which is stopped clears up after itself."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def command_line(args: argparse.Namespace) -> str:
    """The command with all that it depends on, to type again."""
    words = ["sclong", "demo", "--output", str(args.output), "--seed", str(args.seed)]
    words += [] if args.epochs is None else ["--epochs", str(args.epochs)]
    return shlex.join(words)


command = DemoCommand()
