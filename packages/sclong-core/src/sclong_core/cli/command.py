"""What a subcommand of ``sclong`` is.

A package adds one by an entry point in the group ``sclong.commands``, whose name is the
subcommand's and whose object is a :class:`Command`::

    [project.entry-points."sclong.commands"]
    embed = "sclong_core.cli.embed:command"

``sclong --help`` imports the module of every command for its help line, so a command module
imports nothing heavy at its top: PyTorch, Lightning, anndata and the like are imported inside
:meth:`Command.run`.
"""

import argparse
from typing import Protocol, runtime_checkable

GROUP = "sclong.commands"


@runtime_checkable
class Command(Protocol):
    """A subcommand. Any object, or module, with these three names is one.

    A command that parses its arguments itself, as a LightningCLI does, also has
    ``passthrough = True``. Its ``add_arguments`` is then not called, and ``run`` finds all of its
    arguments, untouched, in the list ``args.rest``; ``--help`` is among them if it was given.
    """

    @property
    def help(self) -> str:
        """One line for ``sclong --help``: what the command does, without a full stop."""
        ...

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments; may set the parser's description and epilog."""
        ...

    def run(self, args: argparse.Namespace) -> int:
        """Do the work and return the exit status, 0 if all went well.

        Raises:
            ScLongError: the person at the terminal must change something; printed as one line.
        """
        ...
