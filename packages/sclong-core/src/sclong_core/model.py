"""The models: a network that reads files of cells, loaded and saved by name; and its students.

All that is computed is in :mod:`sclong_core.nn.network`.
"""

from collections.abc import Sequence
from os import PathLike
from typing import Any, Literal, NoReturn, Self, Unpack

import numpy as np
import numpy.typing as npt
import torch
from anndata import AnnData
from huggingface_hub import ModelHubMixin
from torch import Tensor, nn

from sclong_core.checkpoint import load_network, resolve_checkpoint, save_checkpoint
from sclong_core.config import GraphUse, LowExpression, ScLongConfig
from sclong_core.embedding.attention import AttentionReader, Encoder
from sclong_core.embedding.inference import (
    data_gene_positions,
    embed_cells,
    refuse_alike,
    refuse_unknown,
    run_model,
    vocabulary_of,
    with_mean,
)
from sclong_core.embedding.pooling import Pool, chosen_pool
from sclong_core.errors import ConfigError
from sclong_core.expression import CellSource, PreparedCells, ReadingOptions, prepare_cells
from sclong_core.graph import GeneGraph
from sclong_core.nn.network import CellVectors, Network, ScLongOutput
from sclong_core.nn.performer import Performer
from sclong_core.nn.readout import Readout
from sclong_core.nn.student import SparseCells, StudentNetwork
from sclong_core.progress import cell_progress
from sclong_core.vocabulary import GeneVocabulary

__all__ = ["ScLong", "ScLongOutput", "Student", "Unknown", "load_checkpoint"]

Unknown = Literal["mean", "error"]


class ScLong(Network, ModelHubMixin, library_name="sclong", tags=["single-cell", "biology"]):
    """Dual-encoder Performer over all genes of a cell.

    ``push_to_hub`` is the hub library's own and uploads what ``save_pretrained`` writes. Methods
    that read cells take an AnnData object, or the path of a file of cells, which is read in blocks;
    each runs in evaluation mode and without gradients.

    Args:
        config: sizes and switches.
        vocabulary: the genes of the positions; needed to embed cells and to save.
        graph: the gene graph; needed unless ``config.graph`` is "none".
        gene_vectors: ``(genes, dim)`` initial gene vectors (the paper: Gene2vec); random if None.

    Raises:
        ConfigError: these do not fit ``config``.
    """

    @classmethod
    def from_pretrained(  # type: ignore[override]  # no hub settings: the hub library has its own
        cls,
        pretrained_model_name_or_path: str | PathLike[str] | None = None,
        *,
        device: str | torch.device = "auto",
        dtype: str = "auto",
        revision: str | None = None,
        low_expression: LowExpression | None = None,
        graph: GraphUse | None = None,
    ) -> "ScLong":
        """Load a model in evaluation mode: the one that comes with the package, or another.

        Args:
            pretrained_model_name_or_path: nothing or "mini" for the model that comes with the
                package; a folder, or ``owner/name`` on the hub.
            device: "auto" takes the first accelerator there is.
            dtype: of the large products: "auto" keeps the file's; or "float32", "bfloat16".
            revision: branch, tag or commit on the hub.
            low_expression: ablate the low-expression encoder of the loaded model.
            graph: ablate the gene graph of the loaded model.

        Raises:
            CheckpointError: the checkpoint is missing, incomplete or damaged.
            ConfigError: no such device or dtype.
        """
        folder = resolve_checkpoint(pretrained_model_name_or_path, revision=revision)
        return load_network(
            kind_of, folder, device=device, dtype=dtype, low_expression=low_expression, graph=graph
        )

    def save_pretrained(
        self,
        save_directory: str | PathLike[str],
        *,
        overwrite: bool = False,
        **_hub: Any,
    ) -> None:
        """Write a self-contained checkpoint folder, whole or not at all.

        Raises:
            InputError: the folder exists and ``overwrite`` is false.
            CheckpointError: the model has no vocabulary.
        """
        save_checkpoint(self, save_directory, overwrite=overwrite)

    def embed(
        self,
        adata: CellSource | AnnData | str | PathLike[str],
        *,
        pool: Pool | None = None,
        batch_size: int | None = None,
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
            batch_size: cells at a time; by default 32 for "cell" and "components", else 8.
            progress: draw a progress bar.
            **reading: see :class:`ReadingOptions`.

        Returns:
            ``(cells, dim)`` float32; ``(cells, genes of the vocabulary)`` for "gene_sums"; as wide
            as the readout for "cell" and "components".

        Raises:
            InputError: the cells cannot be used as they are.
        """
        chosen = chosen_pool(self, pool)
        with (
            prepare_cells(adata, vocabulary_of(self), self.config.input, **reading) as cells,
            cell_progress("embedding", len(cells), shown=progress) as advance,
        ):
            found = embed_cells(self, cells, pool=chosen, batch_size=batch_size, advance=advance)
            if not reading.get("allow_poor_match", False):
                refuse_alike(cells.source.name, [found])
            return found

    def gene_representations(
        self,
        adata: AnnData | str | PathLike[str],
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
        with (
            prepare_cells(adata, vocabulary_of(self), self.config.input, **reading) as cells,
            cell_progress("gene representations", len(cells), shown=progress) as advance,
        ):
            positions = _positions(self, cells, genes, unknown)
            found = np.empty((len(cells), len(positions), self.config.dim), dtype=np.float32)
            for batch in run_model(self, cells, batch_size=batch_size, advance=advance):
                chosen = with_mean(batch.output.gene_representations, positions)
                found[batch.cells] = chosen.cpu().numpy()
        return found

    def reconstruct(
        self,
        adata: AnnData | str | PathLike[str],
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
        with (
            prepare_cells(adata, vocabulary_of(self), self.config.input, **reading) as cells,
            cell_progress("reconstruction", len(cells), shown=progress) as advance,
        ):
            positions = _positions(self, cells, None, unknown)
            found = np.empty((len(cells), len(positions)), dtype=np.float32)
            for batch in run_model(self, cells, batch_size=batch_size, advance=advance):
                # The decoder is linear: the mean reconstruction is that of the mean representation.
                found[batch.cells] = with_mean(batch.output.reconstruction, positions).cpu().numpy()
        return found

    def attention(
        self,
        adata: AnnData | str | PathLike[str],
        genes: Sequence[str],
        *,
        layer: int = -1,
        encoder: Encoder = "full",
        batch_size: int = 8,
        progress: bool = False,
        **reading: Unpack[ReadingOptions],
    ) -> npt.NDArray[np.float32]:
        """Attention between chosen genes in every cell, averaged over heads.

        Row attends to column. Weights over all genes sum to 1 in each row; those over the chosen
        ones to less. With the random features of FAVOR+ they are an estimate of softmax attention.

        Args:
            adata: cells with raw counts or log1p values.
            genes: ids (with or without version) or symbols, all known to the self.
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
        reader = AttentionReader(self, encoder, layer)
        try:
            with (
                prepare_cells(adata, vocabulary_of(self), self.config.input, **reading) as cells,
                cell_progress("attention", len(cells), shown=progress) as advance,
            ):
                positions = _positions(self, cells, genes, "error")
                found = np.empty((len(cells), len(genes), len(genes)), dtype=np.float32)
                for batch in run_model(self, cells, batch_size=batch_size, advance=advance):
                    found[batch.cells] = reader.read(batch.output, positions)
        finally:
            reader.close()
        return found


class Student(ScLong):
    """A model that has learnt the vectors of cells from another one, its teacher.

    It is a model to everything that wants vectors of cells: the same checkpoint folder, the same
    ways to read, embed, resume and record. It has no encoders, so whatever needs representations
    of genes is refused.

    Args:
        config: with ``config.student``; its other sizes are the teacher's.
        vocabulary: the teacher's; needed to embed cells and to save.
        graph: none.

    Raises:
        ConfigError: these do not fit ``config``.
    """

    def __init__(
        self,
        config: ScLongConfig,
        vocabulary: GeneVocabulary | None = None,
        graph: GeneGraph | None = None,
        gene_vectors: npt.NDArray[np.float32] | None = None,
    ) -> None:
        nn.Module.__init__(self)
        if config.student is None:
            raise ConfigError("a student needs its sizes: set config.student")
        if graph is not None or gene_vectors is not None:
            raise ConfigError("a student has neither a gene graph nor gene vectors of its own")
        if vocabulary is not None and len(vocabulary) != config.genes:
            raise ConfigError(f"vocabulary has {len(vocabulary)} genes, the model {config.genes}")
        self.config, self.vocabulary, self.graph = config, vocabulary, None
        self.network = StudentNetwork(config.genes, config.student)

    def cell_vectors(
        self,
        expression: Tensor,
        measured: Tensor | None = None,
        *,
        gene_embedding: Tensor | None = None,  # noqa: ARG002  # of models with encoders
    ) -> CellVectors:
        """The vectors of cells.

        Args:
            expression: ``(cells, genes)`` values as ``config.input`` says.
            measured: boolean ``(cells, genes)`` or ``(genes,)``: genes that the data has; all by
                default. What is not measured is unknown, and not zero.
            gene_embedding: not used.
        """
        if measured is None:
            measured = torch.ones(self.config.genes, dtype=torch.bool, device=self.device)
        shown = expression.float().masked_fill(~measured, 0)
        expected = self.network.expected(measured.reshape(-1, self.config.genes))
        cells = SparseCells.of(shown)
        found = self.network.decode(self.network(cells, expected.expand(len(shown), -1)))
        return CellVectors(found, found[:, :0], found)

    def forward(self, *_args: object, **_named: object) -> ScLongOutput:
        """Refused: there are no representations of genes."""
        self._refuse("representations or reconstructions of genes")

    def gene_embedding(self) -> Tensor:
        """Refused: it has no vectors of genes."""
        self._refuse("vectors of genes")

    def encoders(self) -> dict[str, Performer]:
        """Refused: there are none."""
        self._refuse("encoders, nor their attention")

    def require_readout(self) -> Readout:
        """Refused: nothing predicts genes from its vectors."""
        self._refuse("readout: its one pool is cell")

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.network.by_value.device

    @property
    def dtype(self) -> torch.dtype:
        """float32: a student is small, and has no large products."""
        return torch.float32

    def set_dtype(self, dtype: torch.dtype) -> Self:
        """Keep float32.

        Raises:
            ConfigError: another type.
        """
        if dtype != torch.float32:
            raise ConfigError(f"a student computes in float32, not {dtype}: leave --dtype out")
        return self

    def _refuse(self, what: str) -> NoReturn:
        raise ConfigError(
            f"this model is a student, which has vectors of cells alone and no {what}: use its "
            "teacher"
        )


def kind_of(config: ScLongConfig) -> type[ScLong]:
    """The class of the model that a configuration is of."""
    return ScLong if config.student is None else Student


def load_checkpoint(
    folder: str | PathLike[str],
    *,
    device: str | torch.device = "auto",
    dtype: str = "auto",
    low_expression: LowExpression | None = None,
    graph: GraphUse | None = None,
) -> ScLong:
    """Verify a checkpoint folder and load its model in evaluation mode.

    On a CPU the weights stay mapped from the file: pages are read when first used and shared by
    all processes that load the same file. The mapping is private, so training or changing the
    model never changes the file. Keep the file in place while the model lives; replacing the folder
    with :func:`save_checkpoint` is safe, truncating the file under a running process is not.

    Args:
        folder: the checkpoint.
        device: "auto" is CUDA where there is one, else the CPU; or any device of PyTorch.
        dtype: of the large products: "auto" keeps the file's, or "float32", "bfloat16".
        low_expression: ablate the low-expression encoder of the loaded model.
        graph: ablate its gene graph.

    Raises:
        CheckpointError: anything is missing, damaged, or does not belong together.
        ConfigError: no such ``dtype`` or device.
    """
    return load_network(
        kind_of,
        folder,
        device=device,
        dtype=dtype,
        low_expression=low_expression,
        graph=graph,
    )


def _positions(
    model: ScLong, cells: PreparedCells, genes: Sequence[str] | None, unknown: Unknown
) -> npt.NDArray[np.int64]:
    """Vocabulary positions of the genes asked for, or of those of the data."""
    if genes is None:
        names: Sequence[str] = cells.match.names
        positions = data_gene_positions(cells)
    else:
        names = genes
        positions = vocabulary_of(model).lookup(genes)
    if unknown == "error":
        refuse_unknown([names[int(place)] for place in np.flatnonzero(positions < 0)])
    return positions
