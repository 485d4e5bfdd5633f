"""The commands ``sclong task ...``."""
