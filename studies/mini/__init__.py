"""The model that comes with the package: its corpus, its judging, and what its parts do."""
