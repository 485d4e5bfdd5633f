"""Where training starts: the teacher's gene vectors, and the best linear map of their sums.

Gene vectors of a teacher carry what it knows of genes that the training cells hardly express. So a
student of other tissues starts from them; a ridge regression in closed form maps their sums over a
cell to the teacher's vector of it.
"""

import logging

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from sclong_core.distillation.views import View
from sclong_core.nn.student import StudentNetwork

_LOG = logging.getLogger("sclong")
_STRENGTHS = (1e-4, 1e-3, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Of the ridge, as shares of the mean variance of the sums."""
_LEAST_SPREAD = 0.2
"""Standard deviations of genes below this count as this, or those of a few cells weigh most."""


@torch.no_grad()
def start_tables(network: StudentNetwork, gene_vectors: Tensor, square: Tensor) -> None:
    """Let both tables be gene vectors, each gene divided by its spread.

    Args:
        network: that knows mean and rate of genes.
        gene_vectors: ``(genes, any width)`` of the teacher.
        square: ``(genes,)`` mean square of the values of each gene.
    """
    rank = network.by_value.shape[1]
    start = narrowed(gene_vectors.detach().float().cpu(), rank)
    for table, mean, of_square in (
        (network.by_value, network.mean, square),
        (network.by_presence, network.rate, network.rate),
    ):
        spread = (of_square - mean.square()).clamp(min=_LEAST_SPREAD**2).sqrt()
        values = start / spread[:, None]
        table.copy_(values / (rank * values.square().mean().clamp(min=1e-12)).sqrt())


@torch.no_grad()
def start_map(
    network: StudentNetwork, views: list[View], aims: list[Tensor], files: npt.NDArray[np.int64]
) -> None:
    """Let the linear map be a ridge regression of whitened vectors on the sums of the tables.

    Args:
        network: with its tables.
        views: of the cells to regress on.
        aims: their whitened vectors.
        files: of all these cells; the strength of the ridge is chosen on files that are left out,
            or on cells where all are of one file.
    """
    sums = torch.cat([network.sums(v.cells, network.expected(v.measured)[v.set_of]) for v in views])
    network.sum_scale.copy_(sums.std(0, correction=0).clamp(min=1e-6))
    scaled, aim = (sums / network.sum_scale).double(), torch.cat(aims).double()
    groups = np.unique(files, return_inverse=True)[1]
    several = groups.max() > 0
    halves = torch.from_numpy((groups if several else np.arange(len(groups))) % 2)
    scores = [_left_out(scaled, aim, halves, strength) for strength in _STRENGTHS]
    best = _STRENGTHS[int(np.argmax(scores))]
    left_out = "files" if several else "cells"
    _LOG.info("linear start: cosine %.3f on %s left out, ridge %g", max(scores), left_out, best)
    network.direct.weight.copy_(_ridge(scaled, aim, best).T)


def narrowed(vectors_gc: Tensor, rank: int) -> Tensor:
    """Principal directions of vectors, with zeros where there are fewer than ``rank``."""
    centred = vectors_gc - vectors_gc.mean(0)
    axes = torch.linalg.eigh(centred.T @ centred).eigenvectors.flip(1)[:, :rank]
    found = centred @ axes
    return functional.pad(found, (0, rank - found.shape[1]))


def _ridge(sums: Tensor, aim: Tensor, strength: float) -> Tensor:
    square = sums.T @ sums
    damping = strength * square.diagonal().mean().clamp(min=1e-12)
    found: Tensor = torch.linalg.solve(square + damping * torch.eye(len(square)), sums.T @ aim)
    return found


def _left_out(sums: Tensor, aim: Tensor, halves: Tensor, strength: float) -> float:
    """Mean cosine of predictions for each half of the files from the other; 0 without halves."""
    cosines = []
    for half in (0, 1):
        out = halves == half
        if out.any() and not out.all():
            guess = sums[out] @ _ridge(sums[~out], aim[~out], strength)
            cosines.append(functional.cosine_similarity(guess, aim[out], dim=1))
    return float(torch.cat(cosines).mean()) if cosines else 0.0
