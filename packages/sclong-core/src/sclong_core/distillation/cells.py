"""What a student learns from: cells as its teacher reads them, and its vectors of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sclong_core.embedding.embed_files import survey_file
from sclong_core.embedding.jobs import EmbedOptions, Job
from sclong_core.model import ScLong

_BLOCK = 512
_HELD_OUT = 32
"""One cell in so many is kept from training."""

Floats = npt.NDArray[np.float32]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TaughtCells:
    """Cells in memory, eight bytes an expressed gene, and what their teacher says of them."""

    genes: npt.NDArray[np.int32]
    """``(n,)`` positions of the expressed genes of all cells, one cell after the other."""
    values: Floats
    """``(n,)`` their expression, as the model's input."""
    starts: Places
    """``(cells + 1,)``: where each cell begins in these."""
    source: Places
    """``(cells,)``: the file that each is from."""
    measured: npt.NDArray[np.bool_]
    """``(files, genes)``: the genes that a file has."""
    targets: Floats
    """``(cells, width)``: the teacher's vectors of the whole cells."""

    @property
    def training(self) -> Places:
        """Numbers of the cells to train with."""
        return np.flatnonzero(~self._held_out)

    @property
    def held_out(self) -> Places:
        """Numbers of the others: one of 32, or one of the whole where there are fewer."""
        return np.flatnonzero(self._held_out)

    @property
    def _held_out(self) -> npt.NDArray[np.bool_]:
        number = np.arange(len(self.targets))
        return np.asarray(number % min(_HELD_OUT, len(number)) == 0)

    def shares(self) -> npt.NDArray[np.float64]:
        """How often each training cell is drawn: a file counts by the root of its cells."""
        of_file = np.bincount(self.source, minlength=len(self.measured))
        weight = 1 / np.sqrt(of_file[self.source[self.training]])
        return np.asarray(weight / weight.sum())

    def moments(self) -> tuple[Floats, Floats, Floats]:
        """Of each gene mean, mean square, and share of the cells that express it.

        They are over the cells of files that measure it.
        """
        width = self.measured.shape[1]
        cells = np.bincount(self.source, minlength=len(self.measured))
        known = np.maximum(cells @ self.measured, 1)
        total = np.bincount(self.genes, weights=self.values, minlength=width)
        square = np.bincount(self.genes, weights=self.values**2, minlength=width)
        found = np.bincount(self.genes, minlength=width)
        mean, squares, rate = (values / known for values in (total, square, found))
        return mean.astype(np.float32), squares.astype(np.float32), rate.astype(np.float32)


def read_taught(teacher: ScLong, jobs: Sequence[Job], options: EmbedOptions) -> TaughtCells:
    """Read the cells of embedded files beside the vectors in their ``.npy`` outputs.

    Raises:
        InputError: cells cannot be used.
    """
    genes, values, counts, source, measured, targets = [], [], [], [], [], []
    for number, job in enumerate(jobs):
        with survey_file(teacher, job.source, options) as cells:
            known = np.zeros(teacher.config.genes, dtype=np.bool_)
            known[cells.match.positions] = True
            measured.append(known)
            for start in range(0, len(cells), _BLOCK):
                block = cells.block(start, min(start + _BLOCK, len(cells)))
                row, gene = np.nonzero(block)
                genes.append(gene.astype(np.int32))
                values.append(block[row, gene])
                counts.append(np.bincount(row, minlength=len(block)))
            source.append(np.full(len(cells), number, dtype=np.int64))
            targets.append(np.load(job.output, allow_pickle=False))
    return TaughtCells(
        np.concatenate(genes),
        np.concatenate(values),
        np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int64),
        np.concatenate(source),
        np.stack(measured),
        np.concatenate(targets),
    )
