"""Models of drug response, a file a kind."""
