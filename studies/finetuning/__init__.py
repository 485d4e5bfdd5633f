"""How well fine-tuned classifiers of cells do on studies and donors that they never saw."""
