"""Generated bad files for every reader: ``python -m faults.inputs --count 10000``."""

import argparse
import logging
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from faults.readers_core import READERS as CORE
from faults.readers_data import READERS as DATA
from faults.readers_graph import READERS as GRAPH
from faults.readers_names import READERS as NAMES
from faults.readers_notes import READERS as NOTES
from faults.readers_results import READERS as RESULTS
from faults.readers_tasks import READERS as TASKS
from faults.readers_training import READERS as TRAINING
from faults.trials import Reader, Watch, try_reader
from sclong_core.files import write_json

READERS: tuple[Reader, ...] = (
    *(*CORE, *DATA, *NAMES),
    *(*TRAINING, *GRAPH, *TASKS, *RESULTS, *NOTES),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Try every reader, and print what came of it.

    Returns:
        1 where there was trouble, else 0.
    """
    parser = argparse.ArgumentParser(prog="python -m faults.inputs", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="of bad files in all (10000)")
    parser.add_argument("--seed", type=int, default=0, help="of the damage (0)")
    parser.add_argument("--only", nargs="+", default=(), metavar="WORD", help="of readers' names")
    parser.add_argument("--rows", type=Path, help="file for the numbers, as JSON")
    args = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)  # what readers announce of bad files is not looked at
    watch = Watch()
    rows = []
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        os.chdir(name)  # what is written to a relative place is seen
        for number, reader in enumerate(READERS):
            if args.only and not any(word in reader.name for word in args.only):
                continue
            generator = np.random.default_rng([args.seed, number])
            folder = Path(name) / str(number)
            count = -(-args.count // len(READERS))
            found = try_reader(reader, folder, count=count, generator=generator, watch=watch)
            rows.append(asdict(found) | {"inputs": found.inputs})
            print(f"{found.reader}: {found.refused} refused, {found.read} read", flush=True)
            print(*found.troubles, sep="\n", end="\n" * bool(found.troubles), flush=True)
        os.chdir(Path(__file__).parents[1])
    if args.rows is not None:
        write_json(args.rows, {"seed": args.seed, "readers": rows})
    return int(any(row["troubles"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
