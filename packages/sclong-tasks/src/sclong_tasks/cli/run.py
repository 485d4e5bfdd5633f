"""``sclong task run``: fit, predict the test rows, measure."""

import argparse
import itertools
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sclong_core.cli.terminal import is_interactive, messages, print_table
from sclong_core.errors import ScLongError
from sclong_tasks.cli.places import RUNS, add_computing, add_task, data_folder

if TYPE_CHECKING:
    from sclong_tasks.run import Loaded, RunRequest, RunResult
    from sclong_tasks.task import Metric

_LOG = logging.getLogger("sclong")


class RunCommand:
    """Runs models of a task; see :mod:`sclong_tasks.run`."""

    help = "run models of a task: fit, predict the test rows, evaluate"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare what to run."""
        add_task(parser)
        parser.description = (
            "Each run writes one folder, which appears once it is complete: settings, "
            "metrics, predictions with names, the split, the model and figures. "
            "Several models, seeds and scenarios give several runs, which read the "
            "data once."
        )
        parser.add_argument(
            "--model",
            required=True,
            nargs="+",
            metavar="MODEL",
            help=(
                "models, as listed by sclong task list TASK, or FILE.py:FUNCTION, a "
                "function that takes an AnnData and returns one row of numbers per cell"
            ),
        )
        parser.add_argument(
            "--name",
            nargs="+",
            default=[],
            metavar="NAME",
            help="name of each model, or of each FILE.py:FUNCTION, in folders and tables",
        )
        parser.add_argument("--seed", type=int, default=[0], nargs="+", metavar="SEED")
        parser.add_argument("--protocol", choices=("honest", "published"), default="honest")
        parser.add_argument(
            "--scenario",
            nargs="+",
            metavar="SPLIT",
            help="scenarios of the protocol (default: the first)",
        )
        parser.add_argument(
            "--output", type=Path, metavar="FOLDER", help=f"for runs (default: {RUNS}/TASK)"
        )
        parser.add_argument(
            "--config",
            type=Path,
            metavar="FILE.yaml",
            help='YAML file with settings under "task", "model" and names of models',
        )
        parser.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="NAME=VALUE",
            help=(
                "set one value: of the task (task.bootstrap=10), all models "
                "(model.training.epochs=10) or one model (pca.components=20)"
            ),
        )
        add_computing(parser)
        group = parser.add_mutually_exclusive_group()
        group.add_argument("--overwrite", action="store_true", help="replace existing runs")
        group.add_argument("--resume", action="store_true", help="skip existing runs")

    def run(self, args: argparse.Namespace) -> int:
        """Run all that was asked for; a run that fails does not stop the others."""
        from sclong_tasks.run import load_task  # noqa: PLC0415  # keeps --help fast

        done: list[RunResult] = []
        failed = 0
        with messages(), _cache(args) as cache:
            requests = _requests(args, cache)
            loaded = load_task(requests[0])
            for request in requests:
                try:
                    result = _one(request, loaded, resume=args.resume)
                except ScLongError as error:
                    if len(requests) == 1:
                        raise
                    failed += 1
                    _LOG.error("%s, seed %d: %s", request.model, request.seed, error)
                    continue
                if result is not None:
                    done.append(result)
        _print(done)
        return 1 if failed else 0


@contextmanager
def _cache(args: argparse.Namespace) -> "Iterator[Path | None]":
    """The folder that was given; else, for several seeds, one that goes at the end."""
    if args.cache is not None or len(args.seed) == 1:
        yield args.cache
        return
    with tempfile.TemporaryDirectory(prefix="sclong-cache-") as folder:
        yield Path(folder)


def _requests(args: argparse.Namespace, cache: "Path | None") -> "list[RunRequest]":
    from sclong_tasks.named_models import name_models, names_of  # noqa: PLC0415  # loads PyTorch
    from sclong_tasks.run import RunRequest  # noqa: PLC0415  # keeps --help fast
    from sclong_tasks.settings import read_changes  # noqa: PLC0415

    models = name_models(args.model, args.name)
    changes = read_changes(args.config, args.set, names_of(models))
    return [
        RunRequest(
            task=args.task,
            model=model.name,
            base=model.base,
            function=model.function,
            seed=seed,
            data=data_folder(args),
            output=RUNS / args.task if args.output is None else args.output,
            protocol=args.protocol,
            scenario=scenario,
            checkpoint=args.checkpoint,
            changes=changes,
            cache=cache,
            cache_is_temporary=cache != args.cache,
            device=args.device,
            progress=is_interactive(),
            overwrite=args.overwrite,
        )
        for scenario, model, seed in itertools.product(args.scenario or [None], models, args.seed)
    ]


def _one(request: "RunRequest", loaded: "Loaded", *, resume: bool) -> "RunResult | None":
    from sclong_tasks.run import run_exists, run_task  # noqa: PLC0415  # keeps --help fast

    if resume and run_exists(request, loaded):
        _LOG.info("%s, seed %d: already exists", request.model, request.seed)
        return None
    result = run_task(request, loaded)
    _LOG.info("%s: %s in %.1f s", result.folder, _short(result), result.seconds)
    return result


def _short(result: "RunResult") -> str:
    first = result.metrics[:2]
    return ", ".join(f"{metric.name} {metric.value:.4f}" for metric in first)


def side_by_side(results: "list[RunResult]") -> "list[tuple[Metric, RunResult]]":
    """Each metric of all runs below each other."""
    found = [(metric, result) for result in results for metric in result.metrics]
    order = {key: place for place, key in enumerate(dict.fromkeys(map(_what, found)))}
    return sorted(found, key=lambda one: order[_what(one)])


def _what(one: "tuple[Metric, RunResult]") -> tuple[str, str]:
    return one[0].name, one[0].stratum


def _print(results: "list[RunResult]") -> None:
    if not results:
        return
    rows = [
        (
            result.folder.name,
            metric.name if metric.stratum == "all" else f"{metric.name} ({metric.stratum})",
            f"{metric.value:.4f}",
            "" if metric.low is None else f"{metric.low:.4f} to {metric.high:.4f}",
            f"{metric.n:,}",
        )
        for metric, result in side_by_side(results)
    ]
    print_table(("run", "metric", "value", "95 % interval", "n"), rows)


command = RunCommand()
