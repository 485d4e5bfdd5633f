"""``sclong data``: from public archives to a corpus of cells."""

from sclong_core.cli.group import CommandGroup

command = CommandGroup(
    help="build vocabularies, gene graphs and corpora of cells",
    members={
        "check": "sclong_data.cli.check",
        "fetch": "sclong_data.cli.fetch",
        "gene2vec": "sclong_data.cli.gene2vec",
        "graph": "sclong_data.cli.graph",
        "harmonise": "sclong_data.cli.harmonise",
        "list": "sclong_data.cli.list_datasets",
        "stats": "sclong_data.cli.stats",
        "vocabulary": "sclong_data.cli.vocabulary",
    },
)
