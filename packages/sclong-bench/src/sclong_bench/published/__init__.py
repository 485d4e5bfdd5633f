"""The paper's numbers: ``published.tsv``, which people read and edit, and the parquet made of it.

Values stand as they are printed, so that their number of digits is known. ``origin`` is "paper" for
what the paper prints, "history" for what only an earlier state of its plotting scripts held, and
"upstream" for what the authors of a baseline print. They are shown beside results, and never enter
a mean.
"""
