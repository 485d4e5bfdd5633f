"""``sclong bench card``: the card of a judged model, to stand beside its checkpoint."""

import argparse
from pathlib import Path

from sclong_core.cli.terminal import print_facts


class CardCommand:
    """Writes ``card.json``; see :mod:`sclong_core.card`."""

    help = "write the card of an evaluated model: cells, studies, licences, scores"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare what the card is made of."""
        parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT")
        for name, words in (
            ("--corpus", "that it was trained on"),
            ("--manifest", "of that corpus"),
            ("--sets", "that judged it"),
            ("--rows", "of `sclong bench judge`"),
        ):
            parser.add_argument(name, type=Path, required=True, metavar="PATH", help=words)
        parser.add_argument("--model", required=True, help="name of the model in the rows")
        parser.add_argument("--seed", type=int, default=0, help="training seed (default: 0)")
        parser.add_argument(
            "--development",
            type=Path,
            metavar="PATH",
            help="file with the rows of the development sets",
        )
        parser.add_argument(
            "--page", type=Path, metavar="FILE.md", help="also fill the blocks of this page"
        )
        parser.add_argument("--name", required=True, help="display name of the model")
        parser.add_argument(
            "--visits",
            type=int,
            required=True,
            help="number of cells seen in training, with repeats",
        )

    def run(self, args: argparse.Namespace) -> int:
        """Write the card into the folder of the checkpoint."""
        from sclong_bench.judging.card import CardFacts, make_card  # noqa: PLC0415  # heavy
        from sclong_bench.judging.page import read_rows  # noqa: PLC0415  # heavy
        from sclong_bench.judging.sets import read_sets  # noqa: PLC0415  # heavy
        from sclong_bench.judging.words import Judged, filled_page  # noqa: PLC0415  # heavy
        from sclong_core.card import CARD_FILE, card_content  # noqa: PLC0415  # heavy
        from sclong_core.files import atomic_file, write_json  # noqa: PLC0415  # heavy

        rows = read_rows(args.rows)
        card = make_card(
            CardFacts(args.name, args.model, args.visits, args.seed),
            checkpoint=args.checkpoint,
            corpus=args.corpus,
            manifest=args.manifest,
            rows=rows,
            sets=read_sets(args.sets),
        )
        write_json(args.checkpoint / CARD_FILE, card_content(card))
        written = [args.checkpoint / CARD_FILE]
        if args.page is not None:
            development = [] if args.development is None else read_rows(args.development)
            judged = Judged(rows, development, card, args.model)
            text = filled_page(args.page.read_text("utf-8"), judged)
            with atomic_file(args.page) as temporary:
                temporary.write_text(text, encoding="utf-8")
            written.append(args.page)
        print_facts([("written", ", ".join(map(str, written)))])
        return 0


command = CardCommand()
