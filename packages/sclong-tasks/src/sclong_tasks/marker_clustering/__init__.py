"""Marker-gene clustering: are the genes that mark a cell type alike to a model, in its cells?"""

from sclong_tasks.marker_clustering.task import MarkerClustering

task = MarkerClustering()

__all__ = ["MarkerClustering", "task"]
