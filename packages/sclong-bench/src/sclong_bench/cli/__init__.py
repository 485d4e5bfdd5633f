"""Commands that sclong-bench adds to ``sclong``."""
