"""``sclong data``: from public archives to a corpus of cells."""

from sclong_core.cli.group import CommandGroup

command = CommandGroup(
    help="build vocabularies, gene graphs and corpora of cells",
    members={
        "check": "sclong_data.cli.check",
        "harmonise": "sclong_data.cli.harmonise",
    },
)
