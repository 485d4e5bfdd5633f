"""``sclong data vocabulary``: the genes of a corpus."""

from sclong_core.cli.group import CommandGroup

command = CommandGroup(
    help="build or import the vocabulary: the genes of a corpus",
    members={
        "build": "sclong_data.cli.vocabulary_build",
        "import": "sclong_data.cli.vocabulary_import",
    },
)
