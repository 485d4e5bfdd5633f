"""``sclong data``: from public archives to a corpus of cells."""

from sclong_core.cli.group import CommandGroup

command = CommandGroup(
    help="build vocabularies, gene graphs and corpora of cells",
    members={
        "check": "sclong_data.cli.check",
        "gene2vec": "sclong_data.cli.gene2vec",
        "graph": "sclong_data.cli.graph",
        "harmonise": "sclong_data.cli.harmonise",
        "vocabulary": "sclong_data.cli.vocabulary",
    },
)
