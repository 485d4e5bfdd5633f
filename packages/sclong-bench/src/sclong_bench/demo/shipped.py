"""The model that comes with the package, on cells of the demonstration that it never saw."""

import logging
from dataclasses import dataclass

from anndata import AnnData

from sclong_bench.demo.evaluate import Floats
from sclong_core import ScLong
from sclong_core.card import read_card
from sclong_core.checkpoint_names import VOCABULARY_FILE, packaged_checkpoint
from sclong_core.errors import InputError
from sclong_core.manifest import read_checkpoint_info
from sclong_core.vocabulary import GeneVocabulary

_LOG = logging.getLogger("sclong")
_STUDY = "Zheng 2017"
"""The study behind the cells of the demonstration."""
_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class Shipped:
    """What came of it."""

    points: Floats
    """``(cells, numbers)``."""
    digest: str
    """Of the checkpoint."""
    cells: int
    """Different cells that it was trained on; 0 where it has no card."""
    same_study: bool
    """Whether other samples of the study behind these cells were among them."""


def knows_genes(cells: AnnData) -> bool:
    """Whether the model that comes with the package knows any of the genes; says so where not."""
    vocabulary = GeneVocabulary.read(packaged_checkpoint() / VOCABULARY_FILE)
    known = bool((vocabulary.lookup(list(map(str, cells.var_names))) >= 0).any())
    if not known:
        _LOG.warning("the model that comes with the package is left out: it knows no gene of these")
    return known


def embed_shipped(cells: AnnData) -> Shipped | None:
    """Embed cells by the model that comes with the package; None if it knows none of their genes.

    Args:
        cells: log1p values, genes by symbol.
    """
    folder = packaged_checkpoint()
    info = read_checkpoint_info(folder)
    card = read_card(folder, checkpoint=info.digest)
    model = ScLong.from_pretrained(folder, device="cpu")
    try:
        points = model.embed(cells, batch_size=_AT_ONCE, normalisation="log1p")
    except InputError as error:
        _LOG.warning("the model that comes with the package is left out: %s", error)
        return None
    studies = () if card is None else tuple(source.study for source in card.sources)
    return Shipped(
        points,
        info.digest,
        0 if card is None else card.cells,
        any(study.startswith(_STUDY) for study in studies),
    )
