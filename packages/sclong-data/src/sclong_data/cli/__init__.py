"""The commands ``sclong data ...``."""
