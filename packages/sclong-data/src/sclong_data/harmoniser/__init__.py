"""The harmoniser: from data sets of many sources to the cells of one corpus.

Which cells it keeps, and as what, is in :mod:`~sclong_data.harmoniser.rules`; how a data set is
looked at once before anything of it is written, in :mod:`~sclong_data.harmoniser.survey`; what
becomes of a block of cells, in :mod:`~sclong_data.harmoniser.transform`; and how the work is
divided, resumed and finished, in :mod:`~sclong_data.harmoniser.run`.
"""
