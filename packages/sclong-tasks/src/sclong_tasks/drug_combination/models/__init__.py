"""Models of drug combinations, a file a kind."""
