"""Statistics over runs: tests, corrections, effect sizes, intervals. The mathematics is scipy's.

What is written here is the protocol: which test applies to which runs, what counts as one family,
what is refused, and what happens to input that has no answer.
"""
