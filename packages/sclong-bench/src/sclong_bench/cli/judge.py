"""``sclong bench judge``: vectors of cells on data sets that a model never saw."""

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from sclong_core.cli.terminal import messages, print_facts, print_table
from sclong_core.errors import ConfigError

if TYPE_CHECKING:
    from sclong_bench.judging.run import Contestants  # heavy

_NAMED = re.compile(
    r"(?P<name>[\w ()-]+?)(\.(?P<seed>[0-9]+))?(/without-(?P<study>\w+))?=(?P<path>.+)"
)


class JudgeCommand:
    """Judges checkpoints; see :mod:`sclong_bench.judging`."""

    help = "evaluate cell embeddings on data sets that a model never saw, compared with PCA"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare sets, data, models and output."""
        parser.description = (
            "Embed labelled data sets with each model and measure types by nearest neighbours, "
            "clusters and mixing of batches, beside components of the target and of the corpus, a "
            "plain denoising network, untrained weights, gene vectors and a permuted embedding."
        )
        parser.add_argument(
            "--sets",
            type=Path,
            required=True,
            metavar="YAML",
            help="file that lists the data sets and metrics",
        )
        parser.add_argument(
            "--data", type=Path, required=True, metavar="FOLDER", help="folder of the data sets"
        )
        parser.add_argument(
            "--role",
            choices=("development", "report"),
            default="development",
            help=(
                "which data sets to use; keep those of the report for the final evaluation "
                "(default: development)"
            ),
        )
        parser.add_argument(
            "--only",
            nargs="+",
            default=[],
            metavar="SET",
            help="use only these data sets of that role",
        )
        parser.add_argument(
            "--corpus",
            nargs="+",
            default=[],
            metavar="NAME[/without-STUDY]=FOLDER",
            help=(
                "corpus for the reference methods; a data set whose study is in the corpus "
                "needs the corpus without it"
            ),
        )
        parser.add_argument(
            "--checkpoint",
            nargs="+",
            default=[],
            metavar="NAME[.SEED][/without-STUDY]=FOLDER",
            help="checkpoints to evaluate",
        )
        parser.add_argument(
            "--pool", default="", help="pooling rule (default: the checkpoint's own)"
        )
        parser.add_argument(
            "--denoising-seeds", nargs="*", type=int, default=[0], metavar="SEED",
            help="seeds of the plain denoising network; pass none to skip it (default: 0)",
        )  # fmt: skip
        parser.add_argument(
            "--draws", type=int, default=200, help="number of resamples of cells for the intervals"
        )
        parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER")

    def run(self, args: argparse.Namespace) -> int:
        """Judge, write ``rows.json``, and print the table."""
        from sclong_bench.judging.page import print_judged, write_rows  # noqa: PLC0415  # heavy
        from sclong_bench.judging.run import judge  # noqa: PLC0415  # heavy
        from sclong_bench.judging.sets import read_sets  # noqa: PLC0415  # heavy

        contestants = _contestants(args)
        sets = [one for one in read_sets(args.sets) if one.role == args.role]
        if unknown := set(args.only) - {one.name for one in sets}:
            raise ConfigError(f"no {args.role} set {sorted(unknown)[0]!r} in {args.sets}")
        chosen = [one for one in sets if not args.only or one.name in args.only]
        with messages():
            rows = list(judge(chosen, args.data, contestants, draws=args.draws))
        write_rows(args.output / "rows.json", rows)
        for header, lines in print_judged(rows):
            print_table(header, lines)
        print_facts([("written", str(args.output / "rows.json"))])
        return 0


def _contestants(args: argparse.Namespace) -> "Contestants":
    from sclong_bench.judging.models import Checkpoint  # noqa: PLC0415  # heavy
    from sclong_bench.judging.references import CorpusReferences  # noqa: PLC0415  # heavy
    from sclong_bench.judging.run import Contestants  # noqa: PLC0415  # heavy

    references: dict[str, CorpusReferences] = {}
    by_path: dict[Path, CorpusReferences] = {}  # one corpus may serve sets of several studies
    for text in args.corpus:
        _, _, study, path = _parsed(text, "--corpus")
        references[study] = by_path.setdefault(path, CorpusReferences(path, args.output))
    checkpoints: dict[str, dict[tuple[str, int], Checkpoint]] = {}
    for text in args.checkpoint:
        name, seed, study, path = _parsed(text, "--checkpoint")
        checkpoints.setdefault(study, {})[name, seed] = Checkpoint(path, args.pool)
    return Contestants(checkpoints, references, tuple(args.denoising_seeds))


def _parsed(text: str, option: str) -> tuple[str, int, str, Path]:
    found = _NAMED.fullmatch(text)
    if found is None:
        raise ConfigError(f"{option} {text!r} is not NAME[.SEED][/without-STUDY]=FOLDER")
    path = Path(found["path"])
    if not path.is_dir():
        raise ConfigError(f"{option}: {path} is not a folder")
    return found["name"], int(found["seed"] or 0), found["study"] or "", path


command = JudgeCommand()
