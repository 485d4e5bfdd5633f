"""Real knockouts beside genes deleted in silico: prints the table of docs/perturbing.md.

    python -m studies.perturbation.judge DATA/perturbation/papalexi_lowmoi_subset.h5ad

Cells with a guide that targets nothing are the controls. A knockout moves them, in truth, by the
mean direction of cells with its guides less their own; in silico, by the mean shift when the gene
is deleted in them. The score of a gene is the cosine of the two. Like genes are deleted in the same
cells and compared with the same truth. Correlation is a line fitted through the controls: where
their vectors go as the gene falls.

A guide that destroys its transcript lowers the gene itself, which deletion copies by construction.
So each score is also taken with the gene deleted in all cells before the truth is measured: what is
left is what the knockout did to other genes.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import anndata
import numpy as np
import numpy.typing as npt
import torch

from sclong_core.cli.terminal import print_table, print_text
from sclong_core.expression import PreparedCells, prepare_cells
from sclong_core.model import ScLong
from sclong_tasks.annotation.vectors import Embedder
from sclong_tasks.in_silico.genes import Change, GeneNames, LikeGenes
from sclong_tasks.in_silico.moving import Floats, Mover, VectorReader, read_expression

CONTROL = "non-targeting"
LIKE = 30


class Screen:
    """Controls and knocked-out cells of a screen, and every deletion in the controls."""

    def __init__(
        self, model: ScLong, cells: PreparedCells, vectors: Floats, target: npt.NDArray[np.str_]
    ) -> None:
        self._cells, self._vectors, self._target = cells, vectors, target
        self._reader = VectorReader(model, "cell", cells)
        assert model.vocabulary is not None
        names = GeneNames(cells.match, model.vocabulary)
        self.known = {names.of(place): int(place) for place in cells.match.positions}
        self.read_g = self._reader.read_g()
        self.control = self.cells_of(CONTROL)
        x = self.control.expression_ng
        mean = np.asarray(x.mean(0)).ravel().astype(np.float64)
        self._like = LikeGenes(mean, x.getnnz(0) / x.shape[0], self.read_g)
        self._deleted = {
            int(gene): self.control.move(Change("", "delete", (int(gene),))).shift_nw
            for gene in np.flatnonzero(self.read_g)
        }

    def cells_of(self, name: str) -> Mover:
        """Cells with guides against a gene."""
        rows = np.flatnonzero(self._target == name)
        x = read_expression(self._cells, rows)
        return Mover(self._reader, x, self._vectors[rows], {}, batch_size=256)

    def judge(self, name: str) -> tuple[list[str], list[int]]:
        """A row of the table, and the ranks in it."""
        gene, knocked = self.known[name], self.cells_of(name)
        change = Change(name, "delete", (gene,))
        others = [one.positions[0] for one in self._like.of(change, LIKE, [])]
        shifts = (self._deleted[gene], knocked.move(change).shift_nw)
        words, ranks = [name, f"{len(knocked.unit_nw):,}"], []
        for own in (True, False):
            before, after = self.control.unit_nw, knocked.unit_nw
            if not own:
                before, after = before + shifts[0], after + shifts[1]
            truth = after.mean(0) - before.mean(0)
            if own:
                words.append(f"{_halves(before, after):.2f}")
            for score in (self._deletion, self._correlation):
                found = [score(one, truth) for one in (gene, *others)]
                ranks.append(1 + sum(value >= found[0] for value in found[1:]))
                words.append(f"{found[0]:+.2f} ({ranks[-1]})")
        return words, ranks

    def _deletion(self, gene: int, truth: Floats) -> float:
        return _cosine(self._deleted[gene].mean(0), truth)

    def _correlation(self, gene: int, truth: Floats) -> float:
        """Of the line through the controls, whose vectors do not see the gene itself."""
        values = self.control.value_n(gene).astype(np.float64)
        vectors = self.control.unit_nw + self._deleted[gene]
        slope = (values - values.mean()) @ (vectors - vectors.mean(0))
        return _cosine(-slope, truth)


def main() -> None:
    """Print one row for each knockout."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("cells", type=Path)
    path = parser.parse_args().cells
    adata = anndata.read_h5ad(path)
    target = adata.obs["target"].astype(str).to_numpy()
    embedder = Embedder(allow_poor_match=True)
    model = embedder.model
    assert model.vocabulary is not None
    vectors = embedder.vectors_of(adata, path).vectors
    with prepare_cells(adata, model.vocabulary, model.config.input, allow_poor_match=True) as cells:
        _print(Screen(model, cells, vectors, target), set(target) - {CONTROL})


def _print(screen: Screen, targets: set[str]) -> None:
    measured = sorted(targets & set(screen.known))
    read = [name for name in measured if screen.read_g[screen.known[name]]]
    print_text(
        f"{len(targets)} genes are knocked out, {len(measured)} of them measured, {len(read)} read "
        f"by the model; {screen.read_g.sum()} genes of the data are read"
    )
    rows: Mapping[str, tuple[list[str], list[int]]] = {name: screen.judge(name) for name in read}
    print_table(
        ("gene", "cells", "halves", *("deletion", "correlation") * 2),
        [words for words, _ in rows.values()],
    )
    middle = np.mean([ranks for _, ranks in rows.values()], axis=0).round(1)
    print_text(f"mean rank among {LIKE + 1}: {middle.tolist()}; chance {(LIKE + 2) / 2}")


def _cosine(one: Floats, other: Floats) -> float:
    return float(one @ other / max(np.linalg.norm(one) * np.linalg.norm(other), 1e-12))


def _halves(before: Floats, after: Floats) -> float:
    """Agreement of the truth between halves of the cells: what a perfect score could reach."""
    generator = np.random.default_rng(0)
    first, second = (np.array_split(generator.permutation(len(one)), 2) for one in (before, after))
    return _cosine(*(after[second[half]].mean(0) - before[first[half]].mean(0) for half in (0, 1)))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
