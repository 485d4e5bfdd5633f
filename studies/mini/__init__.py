"""sclong-mini: its corpus, what judges it, and its parts one at a time."""
