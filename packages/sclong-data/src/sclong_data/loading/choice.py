"""What makes ``sclong pretrain`` take a corpus as its data. Nothing heavy is imported here."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sclong_data.corpus.layout import INDEX, VOCABULARY, corpus_folder

if TYPE_CHECKING:
    from sclong_data.loading.module import CorpusDataModule


class CorpusChoice:
    """A corpus; see :class:`sclong_core.pretraining.data_choice.DataChoice`."""

    def accepts(self, path: Path) -> bool:
        """Whether the folder holds a corpus, or the path is of its index.

        A path without an ending where nothing is can be no file of cells: so configurations for a
        corpus can be looked at before there is one.
        """
        if not path.exists():
            return path.name == INDEX or not path.suffix
        return (path / INDEX).is_file() or (path.name == INDEX and path.is_file())

    def load(self) -> "type[CorpusDataModule]":
        """The module."""
        from sclong_data.loading.module import CorpusDataModule  # noqa: PLC0415  # loads Lightning

        return CorpusDataModule

    def size(self, data: Any) -> tuple[int, int]:
        """Cells and genes of the corpus."""
        from sclong_core.vocabulary import GeneVocabulary  # noqa: PLC0415  # only for plans
        from sclong_data.corpus.index import read_index  # noqa: PLC0415

        folder = corpus_folder(data.path)
        return read_index(folder).cells, len(GeneVocabulary.read(folder / VOCABULARY))


choice = CorpusChoice()
