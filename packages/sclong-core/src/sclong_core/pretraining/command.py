"""``sclong pretrain``: training from a YAML file and options, with everything typed.

Nothing heavy is imported here: ``sclong --help`` reads this module for its help line.
"""

import argparse
from pathlib import Path
from typing import NoReturn

from sclong_core.cli.slurm import job_script
from sclong_core.errors import ConfigError

_USAGE = """\
usage: sclong pretrain COMMAND ...

Pretrain scLong. Commands:
  fit       train, or resume an interrupted run
  validate  evaluate a training checkpoint on the held-out cells
  configs   list the configurations of the package, or copy one
  slurm     print a job script for SLURM

Examples:
  sclong pretrain fit --config tiny --data.path cells.h5ad
  sclong pretrain fit --config 1b-12x8a100 --dry-run
  sclong pretrain slurm > pretrain.sbatch
  sclong pretrain fit --help
"""


class PretrainCommand:
    """Pretrain scLong; a LightningCLI that parses its own arguments."""

    help = "pretrain a model on a file of cells"
    passthrough = True

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Nothing: the arguments are parsed by :meth:`run`."""

    def run(self, args: argparse.Namespace) -> int:
        """Train, validate, or list configurations.

        Raises:
            ConfigError: an option or value that is unknown or impossible.
        """
        words: list[str] = list(args.rest)
        if not words or words[0] in ("-h", "--help"):
            print(_USAGE, end="")  # noqa: T201  # a command prints: that is its output
            return 0 if words else 2
        if words[0] == "configs":
            return _configs(words[1:])
        if words == ["slurm"]:
            print(job_script("pretrain"), end="")  # noqa: T201  # its output
            return 0
        if words[0] not in ("fit", "validate"):
            raise ConfigError(
                f"unknown command {words[0]!r} (fit, validate, configs, slurm; see sclong pretrain "
                "--help)"
            )
        from sclong_core.pretraining.cli import run_cli  # noqa: PLC0415  # loads Lightning

        return run_cli(words)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line instead of the whole usage."""
        raise ConfigError(f"{message} (see {self.prog} --help)")


def _configs(words: list[str]) -> int:
    from sclong_core.pretraining.config_files import (  # noqa: PLC0415  # only here
        copy_config,
        description,
        shipped_configs,
    )

    parser = _Parser(
        prog="sclong pretrain configs",
        description="list the configurations of the package, or copy one to a file",
    )
    parser.add_argument("name", nargs="?", help="configuration to copy or print")
    parser.add_argument("-o", "--output", type=Path, help="file to copy it to")
    args = parser.parse_args(words)
    shipped = shipped_configs()
    if args.name is None:
        width = max(map(len, shipped))
        for name, path in shipped.items():
            print(f"{name:{width}}  {description(path)}")  # noqa: T201  # its output
        return 0
    if args.output is not None:
        copy_config(args.name, args.output)
        return 0
    if args.name not in shipped:
        raise ConfigError(f"unknown configuration {args.name!r}: choose from {', '.join(shipped)}")
    print(shipped[args.name].read_text(encoding="utf-8"), end="")  # noqa: T201  # its output
    return 0


command = PretrainCommand()
