"""What a model does with cells: embed, represent their genes, reconstruct, show attention.

These methods of :class:`~sclong_core.model.ScLong` take an AnnData object, or the path of a file of
cells, which is read in blocks.
"""

from collections.abc import Collection, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack, cast

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from anndata import AnnData

    from sclong_core.embedding.attention import Encoder
    from sclong_core.embedding.pooling import Pool
    from sclong_core.expression import PreparedCells
    from sclong_core.model import ScLong

Unknown = Literal["mean", "error"]


class ReadingOptions(TypedDict, total=False):
    """How cells are read."""

    matrix: str | None
    """Matrix to read: the name of a layer, "raw", or X by default."""
    gene_column: str | None
    """Column of ``var`` that names the genes, or "var_names"; the best one by default."""
    normalisation: Literal["auto", "raw", "log1p"]
    """What the values are; recognised by default."""
    duplicates: Literal["error", "sum"]
    """Several columns of one gene: an error by default, or their counts are summed."""
    feature_types: Collection[str] | None
    """Types of features that are genes, as ``var`` writes them; the usual ones by default."""
    organism: Literal["human", "mouse"]
    """Of the cells: mouse genes are taken for their one human ortholog; human by default."""
    allow_other_species: bool
    """Take cells whose genes are those of another species than the model's."""
    allow_poor_match: bool
    """Take cells although the model knows less than half of their counts."""


class CellMethods:
    """Methods that read cells. Every one runs in evaluation mode and without gradients."""

    def embed(
        self,
        adata: "AnnData | str | PathLike[str]",
        *,
        pool: "Pool | None" = None,
        batch_size: int = 8,
        progress: bool = False,
        **reading: Unpack[ReadingOptions],
    ) -> npt.NDArray[np.float32]:
        """One vector a cell, in the order of the cells.

        It depends on the cell and the model alone: not on the batch, nor on other cells, nor on
        the order of the genes.

        Args:
            adata: cells with raw counts or log1p values.
            pool: "mean" of all gene representations; "mean_expressed"; "expression_weighted";
                "gene_sums", see :func:`sclong_core.embedding.pooling.pool_cells`; and of a model
                with a readout "cell" or "components", see :meth:`cell_vectors`. By default "cell"
                where the model has it, else "mean".
            batch_size: cells at a time.
            progress: draw a progress bar.
            **reading: see :class:`ReadingOptions`.

        Returns:
            ``(cells, dim)`` float32; ``(cells, genes of the vocabulary)`` for "gene_sums"; as wide
            as the readout for "cell" and "components".

        Raises:
            InputError: the cells cannot be used as they are.
        """
        from sclong_core.embedding.inference import (  # noqa: PLC0415  # see _prepare
            embed_cells,
            refuse_alike,
        )
        from sclong_core.embedding.pooling import chosen_pool  # noqa: PLC0415  # see _prepare
        from sclong_core.progress import cell_progress  # noqa: PLC0415  # see _prepare

        model = cast("ScLong", self)
        chosen = chosen_pool(model, pool)
        with (
            _prepare(model, adata, reading) as cells,
            cell_progress("embedding", len(cells), shown=progress) as advance,
        ):
            found = embed_cells(model, cells, pool=chosen, batch_size=batch_size, advance=advance)
            if not reading.get("allow_poor_match", False):
                refuse_alike(cells.source.name, [found])
            return found

    def gene_representations(
        self,
        adata: "AnnData | str | PathLike[str]",
        genes: Sequence[str] | None = None,
        *,
        unknown: Unknown = "mean",
        batch_size: int = 8,
        progress: bool = False,
        **reading: Unpack[ReadingOptions],
    ) -> npt.NDArray[np.float32]:
        """The representation of chosen genes in every cell.

        Args:
            adata: cells with raw counts or log1p values.
            genes: ids (with or without version) or symbols; by default the genes of the data.
            unknown: genes that the model does not know get the mean over all its genes in the
                cell ("mean", as in the release), or raise an error ("error").
            batch_size: cells at a time.
            progress: draw a progress bar.
            **reading: see :class:`ReadingOptions`.

        Returns:
            ``(cells, genes, dim)`` float32. All of it is in memory: choose genes or cells.

        Raises:
            InputError: the cells cannot be used as they are, or a gene is unknown.
        """
        from sclong_core.embedding.inference import run_model, with_mean  # noqa: PLC0415  # see _prepare
        from sclong_core.progress import cell_progress  # noqa: PLC0415  # see _prepare

        model = cast("ScLong", self)
        with (
            _prepare(model, adata, reading) as cells,
            cell_progress("gene representations", len(cells), shown=progress) as advance,
        ):
            positions = _positions(model, cells, genes, unknown)
            found = np.empty((len(cells), len(positions), model.config.dim), dtype=np.float32)
            for batch in run_model(model, cells, batch_size=batch_size, advance=advance):
                chosen = with_mean(batch.output.gene_representations, positions)
                found[batch.cells] = chosen.cpu().numpy()
        return found

    def reconstruct(
        self,
        adata: "AnnData | str | PathLike[str]",
        *,
        unknown: Unknown = "mean",
        batch_size: int = 8,
        progress: bool = False,
        **reading: Unpack[ReadingOptions],
    ) -> npt.NDArray[np.float32]:
        """The expression that the model decodes for every gene of the data.

        Args:
            adata: cells with raw counts or log1p values.
            unknown: genes that the model does not know get what is decoded from the mean
                representation of the cell ("mean"), or raise an error ("error").
            batch_size: cells at a time.
            progress: draw a progress bar.
            **reading: see :class:`ReadingOptions`.

        Returns:
            ``(cells, genes of the data)`` float32, on the scale of the model's input.

        Raises:
            InputError: the cells cannot be used as they are, or a gene is unknown.
        """
        from sclong_core.embedding.inference import run_model, with_mean  # noqa: PLC0415  # see _prepare
        from sclong_core.progress import cell_progress  # noqa: PLC0415  # see _prepare

        model = cast("ScLong", self)
        with (
            _prepare(model, adata, reading) as cells,
            cell_progress("reconstruction", len(cells), shown=progress) as advance,
        ):
            positions = _positions(model, cells, None, unknown)
            found = np.empty((len(cells), len(positions)), dtype=np.float32)
            for batch in run_model(model, cells, batch_size=batch_size, advance=advance):
                # The decoder is linear: the mean reconstruction is that of the mean representation.
                found[batch.cells] = with_mean(batch.output.reconstruction, positions).cpu().numpy()
        return found

    def attention(
        self,
        adata: "AnnData | str | PathLike[str]",
        genes: Sequence[str],
        *,
        layer: int = -1,
        encoder: "Encoder" = "full",
        batch_size: int = 8,
        progress: bool = False,
        **reading: Unpack[ReadingOptions],
    ) -> npt.NDArray[np.float32]:
        """Attention between chosen genes in every cell, averaged over heads.

        Row attends to column. Weights over all genes sum to 1 in each row; those over the chosen
        ones to less. With the random features of FAVOR+ they are an estimate of softmax attention.

        Args:
            adata: cells with raw counts or log1p values.
            genes: ids (with or without version) or symbols, all known to the model.
            layer: of the encoder; negative numbers count from its last.
            encoder: "full", which sees all genes; or "large" or "mini", which see the cell's
                highest or its other genes. Genes that an encoder does not see in a cell get 0.
            batch_size: cells at a time.
            progress: draw a progress bar.
            **reading: see :class:`ReadingOptions`.

        Returns:
            ``(cells, genes, genes)`` float32.

        Raises:
            ConfigError: there is no such encoder or layer.
            InputError: the cells cannot be used as they are, or a gene is unknown.
        """
        from sclong_core.embedding.attention import AttentionReader  # noqa: PLC0415  # see _prepare
        from sclong_core.embedding.inference import run_model  # noqa: PLC0415  # see _prepare
        from sclong_core.progress import cell_progress  # noqa: PLC0415  # see _prepare

        model = cast("ScLong", self)
        reader = AttentionReader(model, encoder, layer)
        try:
            with (
                _prepare(model, adata, reading) as cells,
                cell_progress("attention", len(cells), shown=progress) as advance,
            ):
                positions = _positions(model, cells, genes, "error")
                found = np.empty((len(cells), len(genes), len(genes)), dtype=np.float32)
                for batch in run_model(model, cells, batch_size=batch_size, advance=advance):
                    found[batch.cells] = reader.read(batch.output, positions)
        finally:
            reader.close()
        return found


def _prepare(
    model: "ScLong", adata: "AnnData | str | PathLike[str]", reading: ReadingOptions
) -> "PreparedCells":
    """Match, check and recognise the cells."""
    # These modules import the model, whose class has the methods of this one.
    from sclong_core.embedding.inference import vocabulary_of  # noqa: PLC0415
    from sclong_core.expression import prepare_cells  # noqa: PLC0415

    return prepare_cells(
        adata,
        vocabulary_of(model),
        model.config.input,
        matrix=reading.get("matrix"),
        gene_column=reading.get("gene_column"),
        normalisation=reading.get("normalisation", "auto"),
        duplicates=reading.get("duplicates", "error"),
        feature_types=reading.get("feature_types"),
        organism=reading.get("organism", "human"),
        allow_other_species=reading.get("allow_other_species", False),
        allow_poor_match=reading.get("allow_poor_match", False),
    )


def _positions(
    model: "ScLong", cells: "PreparedCells", genes: Sequence[str] | None, unknown: Unknown
) -> npt.NDArray[np.int64]:
    """Vocabulary positions of the genes asked for, or of those of the data."""
    from sclong_core.embedding.inference import (  # noqa: PLC0415  # see _prepare
        data_gene_positions,
        refuse_unknown,
        vocabulary_of,
    )

    if genes is None:
        names: Sequence[str] = cells.match.names
        positions = data_gene_positions(cells)
    else:
        names = genes
        positions = vocabulary_of(model).lookup(genes)
    if unknown == "error":
        refuse_unknown([names[int(place)] for place in np.flatnonzero(positions < 0)])
    return positions
