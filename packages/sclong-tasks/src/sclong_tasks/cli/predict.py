"""``sclong task predict``: a finished run's model on new rows."""

import argparse
from pathlib import Path

from sclong_core.cli.terminal import messages, print_text
from sclong_core.errors import ConfigError
from sclong_core.escaping import table_for_spreadsheet
from sclong_tasks.cli.places import add_computing, add_task, data_folder


class PredictCommand:
    """Predicts with a run; see :mod:`sclong_tasks.predict`."""

    help = "predict new drugs, cells or perturbations with the model of a run"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the run and what to predict."""
        add_task(parser)
        parser.add_argument(
            "--run", required=True, type=Path, metavar="RUN", help="folder of the run"
        )
        parser.add_argument(
            "--input",
            required=True,
            action="append",
            metavar="[NAME=]FILE",
            help=(
                "rows to predict; sclong task list TASK shows the names of the inputs, and "
                "the first needs no name"
            ),
        )
        parser.add_argument(
            "-o",
            "--output",
            type=Path,
            help="output: .csv, .tsv or .parquet (default: print the result)",
        )
        parser.add_argument(
            "--function",
            metavar="FILE.py:FUNCTION",
            help=(
                "function that the run used as its model; scLong executes it only if you name it"
            ),
        )
        add_computing(parser)

    def run(self, args: argparse.Namespace) -> int:
        """Predict, and write or print the table."""
        from sclong_data.outputs import require_output  # noqa: PLC0415  # keeps --help fast
        from sclong_tasks.encoders.functions import read_function  # noqa: PLC0415
        from sclong_tasks.predict import PredictRequest, predict, write_table  # noqa: PLC0415  # keeps --help fast
        from sclong_tasks.registry import get_task  # noqa: PLC0415
        from sclong_tasks.written import has_prediction  # noqa: PLC0415

        first = next(iter(get_task(args.task).inputs))
        inputs = _inputs(args.input, first)
        if args.output is not None:
            require_output(args.output, inputs.values(), ours=has_prediction)
        with messages():
            table = predict(
                PredictRequest(
                    task=args.task,
                    run=args.run,
                    inputs=inputs,
                    data=data_folder(args),
                    checkpoint=args.checkpoint,
                    function=None if args.function is None else read_function(args.function),
                    cache=args.cache,
                    device=args.device,
                )
            )
        if args.output is None:
            print_text(table_for_spreadsheet(table).to_csv(index=False, sep="\t").rstrip("\n"))
        else:
            write_table(table, args.output)
            print_text(f"{len(table):,} predictions in {args.output}")
        return 0


def _inputs(words: list[str], first: str) -> dict[str, Path]:
    inputs: dict[str, Path] = {}
    for word in words:
        name, sign, path = word.partition("=")
        name, path = (name, path) if sign else (first, word)
        if name in inputs:
            raise ConfigError(f"the input {name} is set twice")
        inputs[name] = Path(path)
    return inputs


command = PredictCommand()
