"""``sclong data``: from public archives to a corpus of cells."""

from sclong_core.cli.group import CommandGroup

command = CommandGroup(
    help="build vocabularies, gene graphs and corpora of cells",
    members={
        "harmonise": "sclong_data.cli.harmonise",
    },
)
