"""What a checkpoint holds, in a few numbers, without PyTorch and without loading the weights."""

from dataclasses import dataclass
from os import PathLike

from sclong_core.checkpoint_names import GRAPH_FILE, VOCABULARY_FILE, WEIGHTS_FILE
from sclong_core.errors import CheckpointError, InputError
from sclong_core.graph import GeneGraph
from sclong_core.manifest import CheckpointInfo, read_checkpoint_info, verify_checkpoint
from sclong_core.vocabulary import GeneVocabulary
from sclong_core.weights_header import check_sizes, read_header

_BUFFERS = (
    "attention.features",
    "redraw_index",
    "readout.variable",
    "readout.mean",
    "readout.scale",
    "readout.rate",
    "readout.components",
    "readout.component_scale",
    "readout.centre",
    "readout.projection",
    "network.mean",
    "network.rate",
    "network.centre",
    "network.decoding",
    "network.sum_scale",
)
_PRODUCT = "large_input.weight"
"""One of the weights whose type is that of all large products."""
_TABLE = "network.by_value"
"""One of the weights of a student."""
_DTYPES = {"F32": "float32", "BF16": "bfloat16"}


@dataclass(frozen=True)
class CheckpointSummary:
    """A checkpoint in numbers."""

    info: CheckpointInfo
    """What its ``config.json`` says."""
    parameters: int
    """Trainable numbers."""
    dtype: str
    """In which the weights of the large products are kept."""
    edges: int
    """Edges of the gene graph, 0 where there is none."""
    symbols: int
    """Genes whose symbol is known."""


def summarise_checkpoint(folder: str | PathLike[str], *, verify: bool = False) -> CheckpointSummary:
    """Count what is in a checkpoint folder.

    Args:
        folder: the checkpoint.
        verify: compare every file with its SHA-256 first, which reads all of it.

    Raises:
        CheckpointError: it is missing, incomplete or damaged.
    """
    info = verify_checkpoint(folder) if verify else read_checkpoint_info(folder)
    path = info.folder / WEIGHTS_FILE
    try:
        header = read_header(path)
        dtype = header[_PRODUCT if info.config.student is None else _TABLE].dtype
        vocabulary = GeneVocabulary.read(info.folder / VOCABULARY_FILE)
        graph = GeneGraph.read(info.folder / GRAPH_FILE) if info.graph_digest is not None else None
    except (KeyError, InputError) as error:
        raise CheckpointError(f"{info.folder} is damaged: {error}") from error
    check_sizes(info.config, header, path)
    return CheckpointSummary(
        info=info,
        parameters=sum(
            stored.size for name, stored in header.items() if not name.endswith(_BUFFERS)
        ),
        dtype=_DTYPES.get(dtype, dtype),
        edges=0 if graph is None else graph.edge_weight.size,
        symbols=sum(map(bool, vocabulary.symbols)),
    )
