"""``sclong data graph``: which genes of a vocabulary are alike."""

from sclong_core.cli.group import CommandGroup

command = CommandGroup(
    help="build the gene graph of a vocabulary",
    members={"build": "sclong_data.cli.graph_build"},
)
