"""A corpus: cells in shards, and an index that says which cells there are."""
