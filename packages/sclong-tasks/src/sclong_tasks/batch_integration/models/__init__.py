"""Models of batch integration by what they rest on."""
