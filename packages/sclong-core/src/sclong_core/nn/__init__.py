"""The layers of scLong, in reading order: features, attention, performer, embedding."""
