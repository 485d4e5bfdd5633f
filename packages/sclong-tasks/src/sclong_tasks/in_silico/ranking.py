"""All genes at once, to first order, from one backward pass over the cells.

The slope of a distance is zero where nothing has moved, so the distance itself cannot be followed.
Towards a place, the cosine with it can: its slope times the change of a gene's value is how far the
change brings a cell. Without a place, each cell is given a random direction r of its own: the mean
of the squared slope of r times the unit vector is the squared length of the movement (Hutchinson's
estimate of the Jacobian's columns), half of which is the cosine distance.

A readout also reads whether a gene is expressed at all, which has no slope: a zero is added to it
there, whose slope is that of switching the gene.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional

from sclong_core.model import ScLong
from sclong_tasks.in_silico.moving import Floats, VectorReader

_STEEPEST = 0.999


def first_order(
    reader: VectorReader,
    expression_ng: sparse.csr_matrix,
    *,
    levels: dict[int, float] | None,
    towards_w: Floats | None,
    seed: int,
    batch_size: int,
    advance: Callable[[int], None] = lambda _cells: None,
) -> npt.NDArray[np.float64]:
    """``(genes,)`` estimated mean approach to a place, or movement, of changing each gene alone.

    Args:
        reader: makes the vectors.
        expression_ng: values of the cells.
        levels: what overexpression sets, by gene; None to delete.
        towards_w: unit vector of the place; None for the cosine distance moved.
        seed: of the random directions.
        batch_size: cells at a time.
        advance: told the number of cells after each batch.
    """
    cells, genes = expression_ng.shape
    generator = torch.Generator().manual_seed(seed)
    level_g = torch.zeros(genes)
    for gene, value in (levels or {}).items():
        level_g[gene] = value
    parts = [sparse.csr_matrix((0, genes), dtype=np.float32)]
    for start in range(0, cells, batch_size):
        x = torch.from_numpy(expression_ng[start : start + batch_size].toarray())
        step = -x if levels is None else (level_g - x).clamp(min=0)
        effect = _effects(reader, x, step, towards_w, generator)
        parts.append(sparse.csr_matrix(effect.numpy()))
        advance(len(x))
    effects_ng = _capped(sparse.vstack(parts, format="csr"))
    if towards_w is None:
        effects_ng = effects_ng.multiply(effects_ng) / 2
    total = np.asarray(effects_ng.sum(0, dtype=np.float64), dtype=np.float64)
    return np.asarray(total.ravel() / max(cells, 1))


def _capped(effects_ng: sparse.csr_matrix) -> sparse.csr_matrix:
    """Effects with the steepest thousandth cut off.

    In a cell where attention turns from one gene to another the slope holds for a small step only;
    one such cell would decide the mean of all.
    """
    if effects_ng.nnz:
        cap = np.quantile(np.abs(effects_ng.data), _STEEPEST)
        np.clip(effects_ng.data, -cap, cap, out=effects_ng.data)
    return effects_ng


def _effects(
    reader: VectorReader,
    x_bg: Tensor,
    step_bg: Tensor,
    towards_w: Floats | None,
    generator: torch.Generator,
) -> Tensor:
    """``(b, genes)``: slope of each cell's score along the change of each gene."""
    device = reader.model.device
    leaf_bg = x_bg.to(device).requires_grad_()
    with torch.enable_grad(), _switches(reader.model) as switches:
        unit_bw = functional.normalize(reader(leaf_bg).float(), dim=1)
        if towards_w is None:
            along = torch.randn(unit_bw.shape, generator=generator).to(device)
        else:
            along = torch.from_numpy(towards_w).to(device)
        slopes = torch.autograd.grad(
            (unit_bw * along).sum(), [leaf_bg, *switches], allow_unused=True
        )
    effect_bg = slopes[0].cpu() * step_bg
    if switches and slopes[1] is not None:
        variable = reader.model.readout.variable.cpu()
        expressed = (x_bg > 0).float()
        after = ((x_bg + step_bg) > 0).float()
        switched = (after - expressed) * torch.from_numpy(reader.measured_g)
        effect_bg[:, variable] += slopes[1].cpu() * switched[:, variable]
    return effect_bg


@contextmanager
def _switches(model: ScLong) -> Iterator[list[Tensor]]:
    """Zeros that are added to what a readout sees of genes being expressed; none without one."""
    found: list[Tensor] = []
    if model.config.readout is None or not model.config.readout.sums:
        yield found
        return
    variable = model.config.readout.variable_genes

    def add(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
        values, expressed = inputs[0].split(variable, dim=1)
        found.append(torch.zeros_like(expressed).requires_grad_())
        return (torch.cat([values, expressed + found[0]], dim=1),)

    handle = model.readout.sums.register_forward_pre_hook(add)
    try:
        yield found
    finally:
        handle.remove()
