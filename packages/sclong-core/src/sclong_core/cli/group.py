"""A subcommand of ``sclong`` that has subcommands of its own: ``sclong data fetch``."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module

from sclong_core.cli.command import Command

_CHOSEN = "_chosen_command"


@dataclass(frozen=True)
class CommandGroup:
    """Commands under one name; itself a :class:`~sclong_core.cli.command.Command`.

    Args:
        help: one line for ``sclong --help``.
        members: the module of each command, which holds it under the name ``command`` and imports
            nothing heavy at its top.
        description: for the group's own ``--help``; the help line by default.
    """

    help: str
    members: Mapping[str, str]
    description: str = ""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments of every member."""
        parser.description = self.description or self.help
        choices = parser.add_subparsers(metavar="COMMAND", required=True, title="commands")
        for name, module in self.members.items():
            member = import_module(module).command
            inner = choices.add_parser(name, help=member.help, description=member.help)
            member.add_arguments(inner)
            # The innermost group that was named decides: outer defaults are set first.
            if not isinstance(member, CommandGroup):
                inner.set_defaults(**{_CHOSEN: member})

    def run(self, args: argparse.Namespace) -> int:
        """Run the member that was named."""
        chosen: Command = getattr(args, _CHOSEN)
        return chosen.run(args)
