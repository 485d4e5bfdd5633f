"""``sclong data fetch``: downloads what a manifest names."""

import argparse
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sclong_core.cli.terminal import is_interactive, messages, print_facts, print_table
from sclong_core.errors import ConfigError, InputError
from sclong_core.escaping import for_terminal
from sclong_data.cli.data_folder import add_data_folder
from sclong_data.cli.sizes import print_size

if TYPE_CHECKING:
    from sclong_data.dataset_manifest import DatasetEntry
    from sclong_data.fetching import Fetched

_LOG = logging.getLogger("sclong")
_Watch = Callable[["DatasetEntry"], Callable[[int, int | None], None]]


class FetchCommand:
    """Fetches a manifest; see :func:`sclong_data.fetching.fetch`."""

    help = "download the data sets of a manifest: parallel, verified, resumable"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare what to fetch and how."""
        parser.add_argument("manifest", type=Path, metavar="MANIFEST")
        add_data_folder(parser)
        parser.add_argument(
            "--workers", type=int, default=4, metavar="N", help="parallel downloads (default: 4)"
        )
        parser.add_argument(
            "--verify",
            action="store_true",
            help="also verify the checksums of existing files",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="show what would be downloaded, and its size"
        )

    def run(self, args: argparse.Namespace) -> int:
        """Fetch, and print what came of each data set."""
        if args.workers < 1:
            raise ConfigError(f"--workers must be a positive integer, not {args.workers}")
        from sclong_data.dataset_manifest import Manifest  # noqa: PLC0415  # heavy
        from sclong_data.fetching import fetch  # noqa: PLC0415  # heavy

        with messages():
            manifest = Manifest.read(args.manifest, folder=args.data)
            if args.dry_run:
                return _announce([entry for entry in manifest if entry.remote])
            begun = time.monotonic()
            try:
                with _bars(shown=is_interactive()) as watch:
                    found = fetch(manifest, workers=args.workers, verify=args.verify, watch=watch)
            except KeyboardInterrupt:
                _LOG.warning("interrupted: repeat the command to resume")
                raise
            _summarise(found, time.monotonic() - begun)
        failed = [one for one in found if one.status == "failed"]
        if failed:
            first = f"{failed[0].entry.dataset}: {failed[0].error}"
            raise InputError(
                f"{len(failed)} of {len(found)} data sets were not downloaded; the first: {first}"
            )
        return 0


def _announce(entries: "list[DatasetEntry]") -> int:
    print_table(
        ("data set", "from", "size"),
        ((entry.dataset, entry.location, print_size(entry.bytes)) for entry in entries),
    )
    unknown = sum(entry.bytes is None for entry in entries)
    facts = [("in all", print_size(sum(entry.bytes or 0 for entry in entries)))]
    print_facts([*facts, ("of unknown size", f"{unknown:,}")] if unknown else facts)
    return 0


def _summarise(found: "list[Fetched]", seconds: float) -> None:
    print_table(
        ("data set", "result", "size", "rate"),
        (
            (
                one.entry.dataset,
                one.status,
                print_size(one.bytes) if one.bytes else "",
                f"{print_size(int(one.bytes / one.seconds))}/s" if one.seconds else "",
            )
            for one in found
        ),
    )
    size = sum(one.bytes for one in found if one.status == "fetched")
    rate = f", {print_size(int(size / max(seconds, 1e-9)))}/s" if size else ""
    print_facts([("fetched", f"{print_size(size)} in {seconds:,.1f} s{rate}")])


@contextmanager
def _bars(*, shown: bool) -> Iterator["_Watch | None"]:
    """A bar for each file that is being fetched, with rate and time left."""
    if not shown:
        yield None
        return
    from rich.console import Console  # noqa: PLC0415  # only where a bar is drawn
    from rich.progress import (  # noqa: PLC0415  # only where a bar is drawn
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:

        def watch(entry: "DatasetEntry") -> Callable[[int, int | None], None]:
            task = progress.add_task(for_terminal(entry.dataset), total=entry.bytes, visible=False)

            def show(done: int, total: int | None) -> None:
                progress.update(task, completed=done, total=total, visible=done != total)

            return show

        yield watch


command = FetchCommand()
