"""``sclong task data``: original files, fetched or imported, converted and checked."""

import argparse

from sclong_core.cli.terminal import messages, print_facts
from sclong_tasks.cli.places import add_task, data_folder


class DataCommand:
    """Prepares the data of a task; see :mod:`sclong_tasks.data_files`."""

    help = "download or import the original files of a task, convert and verify them"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare where files come from."""
        add_task(parser)
        parser.add_argument(
            "--source",
            metavar="URL|FOLDER|FILE",
            help=(
                "folder or file of the original data (default: download each file and "
                "verify its SHA-256)"
            ),
        )
        parser.add_argument("--overwrite", action="store_true", help="replace existing data")

    def run(self, args: argparse.Namespace) -> int:
        """Prepare, load once to check, and say what there is."""
        from sclong_tasks.data_files import prepare_data  # noqa: PLC0415  # keeps --help fast
        from sclong_tasks.registry import get_task  # noqa: PLC0415
        from sclong_tasks.settings import resolve  # noqa: PLC0415

        task = get_task(args.task)
        folder = data_folder(args)
        with messages():
            record = prepare_data(task, folder, args.source, overwrite=args.overwrite)
            data = task.load(folder, resolve(task.Settings, "honest", {}, "task"))
        facts = [("data", str(folder)), ("rows", f"{len(data.labels):,}"), ("digest", data.digest)]
        facts += [(name, f"{one['bytes']:,} bytes") for name, one in record["sources"].items()]
        print_facts(facts)
        return 0


command = DataCommand()
