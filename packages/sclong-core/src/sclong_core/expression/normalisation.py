"""Checking expression values and turning them into what the model was trained on."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import sparse

from sclong_core.config import InputConfig
from sclong_core.errors import InputError
from sclong_core.expression.gene_scaling import negative_values
from sclong_core.expression.genes import GeneMatch
from sclong_core.expression.recognition import Normalisation, whole_rows
from sclong_core.expression.rows import Csr, Rows, canonical, filled, row_index

Floats = npt.NDArray[np.float64]
LARGEST = 2.0**31
"""More molecules or reads of a gene than any cell or sample has."""


def check_values(
    rows: Rows,
    cells: Sequence[str],
    genes: Sequence[str],
    *,
    where: str = "expression",
    advice: Callable[[], str] = lambda: "give raw counts or their log1p",
) -> None:
    """Refuse values that no expression can have.

    Args:
        rows: cells by genes, dense or sparse, of any number type.
        cells: names of the cells.
        genes: names of the genes.
        where: the file and matrix, for the message.
        advice: what to do about negative values; asked for only if there are any.

    Raises:
        InputError: NaN, an infinite, a negative or an enormous value, with its cell and gene; or
            cells without any count, with how many and the first.
    """
    values = canonical(rows)
    refuse_impossible(values, cells, genes, where=where, advice=advice)
    empty = np.flatnonzero(np.diff(values.indptr) == 0)
    if empty.size:
        refuse_empty(empty.size, cells[int(empty[0])], where)


def refuse_impossible(
    values: Csr,
    cells: Sequence[str],
    genes: Sequence[str],
    *,
    where: str,
    advice: Callable[[], str],
) -> None:
    """Refuse NaN, infinite, negative and enormous values; see :func:`check_values`."""
    data = values.data
    if not data.size or (data.min() >= 0 and data.max() <= LARGEST):
        return  # no comparison is true of NaN
    for what, wrong in (
        ("NaN", np.isnan(data)),
        ("an infinite value", np.isinf(data)),
        ("negative values", data < 0),
        ("a value too large for a count", data > LARGEST),
    ):
        if not wrong.any():
            continue
        entry = int(np.argmax(wrong))
        cell = cells[int(np.searchsorted(values.indptr, entry, side="right")) - 1]
        gene = genes[int(values.indices[entry])]
        place = f"in cell {cell!r}, gene {gene!r}"
        if what == "negative values":
            raise InputError(
                f"{where} holds negative values (first {data[entry]:.4g} {place}), as "
                f"{negative_values(values)}: {advice()}"
            )
        amount = f" ({data[entry]:.4g})" if what.startswith("a value") else ""
        raise InputError(f"{where} holds {what}{amount} {place}: remove that cell or correct it")


def refuse_empty(count: int, first: str, where: str) -> None:
    """Refuse cells without any count.

    Raises:
        InputError: always.
    """
    raise InputError(
        f"{where} has no counts in {count:,} of its cells (the first is {first!r}): "
        "remove empty cells first, with sc.pp.filter_cells(adata, min_counts=1)"
    )


def normalised(
    rows: Rows,
    normalisation: Normalisation,
    input_config: InputConfig,
    match: GeneMatch,
) -> Csr:
    """Expression as the model takes it, in the order of its vocabulary.

    Raw counts become ``log1p(count / total * target_sum)``, the total being that of the whole
    cell, over genes that the vocabulary does not hold as well; log1p values are kept. Then, if
    ``input_config.maximum`` is set, cells whose largest value is less are scaled up to it and
    larger values are clipped (paper, "Methods"). Genes that the data lacks are 0.

    Sums are exact for whole counts and do not depend on the order of the genes for others, and
    all arithmetic is float64, so that the result is the same to the last bit in whatever order,
    type and layout the counts come.

    Args:
        rows: ``(cells, genes of the data)``, checked values.
        normalisation: what they are.
        input_config: what the model was trained on.
        match: where the genes of the data are in the vocabulary.

    Returns:
        ``(cells, genes of the vocabulary)`` CSR of float32, sorted and without stored zeros.
    """
    values = canonical(rows)
    if normalisation == "raw":
        values, totals = exact_counts(values)
        values = matched_rows(values, match)
        scale = totals[row_index(values)]
        values.data = np.log1p(values.data / scale * input_config.target_sum)
    else:
        values = matched_logs(values, match)
    if input_config.maximum is not None:
        values.data = to_maximum(values, input_config.maximum)
    values.data = values.data.astype(np.float32)
    return values


def normalise(
    rows: Rows,
    normalisation: Normalisation,
    input_config: InputConfig,
    match: GeneMatch,
) -> npt.NDArray[np.float32]:
    """:func:`normalised` as a dense array."""
    return np.asarray(normalised(rows, normalisation, input_config, match).toarray())


def exact_counts(values: Csr) -> tuple[Csr, Floats]:
    """Counts without the rounding error of their storage, and their sum in each cell.

    Cells of whole counts are rounded, so that their sum is exact. The sum of other cells, forced
    to be taken as counts, is the exactly rounded one.
    """
    whole = whole_rows(values)
    rows = row_index(values)
    result = values.copy()
    if whole.all():
        np.rint(result.data, out=result.data)
    else:
        exact = whole[rows]
        result.data[exact] = np.rint(result.data[exact])
    totals = np.zeros(values.shape[0])
    totals += np.bincount(rows, weights=result.data, minlength=totals.size)
    for row in np.flatnonzero(~whole):
        totals[row] = math.fsum(result.data[result.indptr[row] : result.indptr[row + 1]])
    return result, totals


def matched_rows(values: Csr, match: GeneMatch) -> Csr:
    """The matched genes in the order of the vocabulary; counts of repeated genes are summed."""
    target = np.full(values.shape[1], -1, dtype=np.int64)
    target[match.columns] = match.positions
    columns = target[values.indices]
    kept = columns >= 0
    columns, data = columns[kept], values.data[kept]
    if match.repeated:  # added from small to large, whatever the order of the columns
        rows = row_index(values)[kept]
        order = np.lexsort((data, columns, rows))
        columns, data = columns[order], data[order]
    before = np.concatenate([[0], np.cumsum(kept)])
    shape = (values.shape[0], match.vocabulary_genes)
    result = sparse.csr_array((data, columns, before[values.indptr]), shape=shape)
    result.sum_duplicates()
    return result


def matched_logs(values: Csr, match: GeneMatch) -> Csr:
    """The matched genes of log1p values; several columns of one gene are added as counts.

    The logarithm is undone, which leaves counts in the unit of their cell, and taken again.
    """
    if not match.repeated:
        return matched_rows(values, match)
    logs = values.copy()
    logs.data = np.expm1(logs.data)
    known = matched_rows(logs, match)
    alone = matched_rows(values, _once(match))
    known.data = np.log1p(known.data)
    return _with_exact(known, alone, match)


def _once(match: GeneMatch) -> GeneMatch:
    """The match without genes that several columns stand for."""
    positions, counts = np.unique(match.positions, return_counts=True)
    kept = ~np.isin(match.positions, positions[counts > 1])
    return replace(match, columns=match.columns[kept], positions=match.positions[kept])


def _with_exact(known: Csr, alone: Csr, match: GeneMatch) -> Csr:
    """``known`` with the values of genes of a single column as they were, to the last bit."""
    single = np.zeros(match.vocabulary_genes, dtype=bool)
    single[_once(match).positions] = True
    known.data[single[known.indices]] = alone.data
    return known


def row_maxima(values: Csr) -> Floats:
    """The largest value of each row, 0 where it holds none."""
    maxima = np.zeros(values.shape[0])
    kept, starts = filled(values)
    if kept.size:
        maxima[kept] = np.maximum.reduceat(values.data, starts)
    return maxima


def to_maximum(values: Csr, maximum: float) -> Floats:
    """Values scaled up to the maximum where a row's largest is less, and clipped to it."""
    largest = row_maxima(values)[row_index(values)]
    scaled = np.where(largest < maximum, values.data / largest * maximum, values.data)
    return np.asarray(np.minimum(scaled, maximum))
