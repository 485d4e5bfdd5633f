"""From expression to representations of cells and genes, with names and coverage.

A task asks for an encoder by name (:func:`sclong_tasks.encoders.choose.make_encoder`). Frozen ones
give a table once; one that is trained with the task is a slot in the task's network
(:mod:`sclong_tasks.encoders.slots`).
"""
