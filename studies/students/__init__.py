"""How well and how fast students are."""
