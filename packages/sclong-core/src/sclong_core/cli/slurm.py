"""``sclong slurm``: job scripts to start from on a cluster."""

import argparse
from importlib.resources import files
from pathlib import Path

from sclong_core.errors import ConfigError, InputError
from sclong_core.files import atomic_file

SCRIPTS = ("pretrain", "embed", "harmonise", "task", "bench")


class SlurmCommand:
    """Prints a script, whose lines marked EDIT hold what differs between clusters."""

    help = "print a job script for SLURM, to edit and submit"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare which script."""
        parser.description = (
            "Print a job script for SLURM. Edit the lines marked EDIT and submit it with sbatch; "
            "the second line of the script shows how."
        )
        parser.add_argument("script", choices=SCRIPTS)
        parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write it to a file")

    def run(self, args: argparse.Namespace) -> int:
        """Print the script, or write it."""
        if args.output is None:
            print(job_script(args.script), end="")  # noqa: T201  # its output
            return 0
        if args.output.exists():
            raise InputError(f"{args.output} already exists: choose another name")
        with atomic_file(args.output, overwrite=False) as temporary:
            temporary.write_text(job_script(args.script), encoding="utf-8")
        return 0


def job_script(name: str) -> str:
    """The job script of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in SCRIPTS:
        raise ConfigError(f"there is no job script {name!r}: choose from {', '.join(SCRIPTS)}")
    return files("sclong_core").joinpath("slurm", f"{name}.sbatch").read_text(encoding="utf-8")


command = SlurmCommand()
