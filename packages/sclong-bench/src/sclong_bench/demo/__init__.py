"""The demonstration: real cells, a tiny scLong pretrained on them, and a page of what it learnt."""
