"""The command ``sclong``: what is installed decides which subcommands it has."""
