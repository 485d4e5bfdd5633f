"""Models of marker-gene clustering by what they rest on."""
