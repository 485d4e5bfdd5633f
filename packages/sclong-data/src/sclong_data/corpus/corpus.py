"""A corpus as its readers see it: numbered cells, whichever shards they are in."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import cached_property
from os import PathLike
from pathlib import Path

import anndata
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from sclong_core.errors import ConfigError, InputError
from sclong_core.files import sha256_file
from sclong_core.vocabulary import GeneVocabulary
from sclong_data.corpus.annotation import joined_column
from sclong_data.corpus.index import CorpusIndex, read_index
from sclong_data.corpus.layout import KEPT, KEYS, VOCABULARY, shard_path
from sclong_data.corpus.shard_reader import ShardReader
from sclong_data.corpus.shards import read_obs

Numbers = npt.NDArray[np.int64]
_INT32 = np.iinfo(np.int32).max
_OPEN_SHARDS = 512
"""Shards whose tables are kept in memory, of about 100 kB each."""
DATASET = "dataset"
"""A column of every corpus: the data set that a cell is of."""


class CellCorpus:
    """The cells of a corpus, from 0 on: those that are kept, shard after shard.

    It may be sent to other processes; what it has open stays behind.

    Args:
        folder: of the corpus.

    Raises:
        InputError: there is no corpus, or a file of it is missing, damaged or of another corpus.
    """

    def __init__(self, folder: str | PathLike[str]) -> None:
        self.folder = Path(folder)
        self.index: CorpusIndex = read_index(self.folder)
        for name in (VOCABULARY, KEPT, KEYS):
            _check_file(self.folder / name, self.index.files.get(name, ""))
        self.vocabulary = GeneVocabulary.read(self.folder / VOCABULARY)
        if self.vocabulary.digest != self.index.vocabulary:
            raise InputError(
                f"{self.folder / VOCABULARY} has digest {self.vocabulary.digest}, the corpus was "
                f"made with {self.index.vocabulary}"
            )
        self._check_sizes()
        self._starts: Numbers = np.concatenate([[0], np.cumsum(self.index.kept, dtype=np.int64)])
        self._rows_before = np.concatenate(
            [[0], np.cumsum([record.cells for record in self.index.shards], dtype=np.int64)]
        )
        self._kept: npt.NDArray[np.uint8] = np.load(self.folder / KEPT, allow_pickle=False)
        self._open: OrderedDict[int, tuple[ShardReader, Numbers]] = OrderedDict()

    def __len__(self) -> int:
        """Number of cells."""
        return int(self._starts[-1])

    def __getstate__(self) -> dict[str, object]:
        """Everything but what is open."""
        kept = {name: value for name, value in self.__dict__.items() if name != "keys"}
        return {**kept, "_open": OrderedDict()}

    @property
    def digest(self) -> str:
        """Of the whole corpus."""
        return self.index.digest

    @cached_property
    def keys(self) -> npt.NDArray[np.uint64]:
        """A number for each cell that depends on its expression alone, ``(cells,)``."""
        keys: npt.NDArray[np.uint64] = np.load(
            self.folder / KEYS, mmap_mode="r" if len(self) else None, allow_pickle=False
        )
        return keys

    def read(self, numbers: Numbers | Sequence[int]) -> sparse.csr_array:
        """Expression of some cells in the order that is asked for, ``(cells, genes)`` float32.

        Raises:
            InputError: a shard that holds some of them is damaged; it is named.
            IndexError: there is no such cell.
        """
        asked = np.asarray(numbers, dtype=np.int64)
        if asked.size and (asked.min() < 0 or asked.max() >= len(self)):
            raise IndexError(f"the corpus has the cells 0 to {len(self) - 1}")
        shards = np.searchsorted(self._starts, asked, side="right") - 1
        order = np.argsort(shards, kind="stable")
        parts = []
        lengths = np.zeros(asked.size, dtype=np.int64)
        for chosen in np.split(order, np.flatnonzero(np.diff(shards[order])) + 1):
            if chosen.size:
                number = int(shards[chosen[0]])
                reader, rows = self._shard(number)
                spans = reader.spans(rows[asked[chosen] - self._starts[number]])
                lengths[chosen] = spans[1] - spans[0]
                reader.announce(spans)
                parts.append((reader, chosen, spans))
        pointers = np.concatenate([[0], np.cumsum(lengths)])
        values = np.empty(pointers[-1], dtype=np.float32)
        positions = np.empty(pointers[-1], dtype=np.int32)
        for reader, chosen, spans in parts:
            reader.fill(spans, pointers[chosen], values, positions)
        # scipy brings both index arrays to one type: small ones keep the other small.
        small = pointers.astype(np.int32) if pointers[-1] <= _INT32 else pointers
        return sparse.csr_array(
            (values, positions, small), shape=(asked.size, len(self.vocabulary))
        )

    def blocks(self, cells: int = 4096) -> Iterator[tuple[int, sparse.csr_array]]:
        """All cells in their order: number of the first, and expression, of each block."""
        for start in range(0, len(self), cells):
            yield start, self.read(np.arange(start, min(start + cells, len(self))))

    def obs(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Annotation of all cells, in their order; the index holds their names.

        Args:
            columns: the ones to read; all by default. ``dataset`` is always to be had.

        Raises:
            ConfigError: no shard has such a column.
            InputError: a shard is damaged.
        """
        frames, known = [], {DATASET}
        for number, record in enumerate(self.index.shards):
            frame, found = read_obs(shard_path(self.folder, record.name), columns)
            frames.append(frame.iloc[self._rows(number)].assign(**{DATASET: record.dataset}))
            known.update(found)
        for name in columns or ():
            if name not in known:
                listed = ", ".join(sorted(known))
                raise ConfigError(f"the corpus has no obs column {name!r}: it has {listed}")
        names = sorted(known) if columns is None else list(columns)
        index = [frame.index for frame in frames]
        return pd.DataFrame(
            {name: joined_column(frames, name) for name in names},
            index=index[0].append(index[1:]) if index else pd.Index([], dtype=object),
        )

    def to_anndata(self, numbers: Numbers | Sequence[int]) -> anndata.AnnData:
        """Some cells with all that is known of them.

        Raises:
            InputError: a shard is damaged.
        """
        asked = np.asarray(numbers, dtype=np.int64)
        var = pd.DataFrame(
            {"symbol": list(self.vocabulary.symbols)}, index=list(self.vocabulary.ids)
        )
        obs = self.obs().iloc[asked]
        return anndata.AnnData(sparse.csr_matrix(self.read(asked)), obs=obs, var=var)

    def datasets(self) -> pd.Categorical:
        """The data set of each cell."""
        names = [record.dataset for record in self.index.shards]
        categories = sorted(set(names))
        codes = [categories.index(name) for name in names]
        return pd.Categorical.from_codes(np.repeat(codes, self.index.kept), categories)

    def _shard(self, number: int) -> tuple[ShardReader, Numbers]:
        """A shard and its rows that are kept."""
        if number not in self._open:
            record = self.index.shards[number]
            reader = ShardReader(shard_path(self.folder, record.name), record)
            if reader.genes != len(self.vocabulary) or reader.vocabulary not in (
                None,
                self.vocabulary.digest,
            ):
                raise InputError(
                    f"{reader.path} was written with the vocabulary {reader.vocabulary} of "
                    f"{reader.genes} genes, the corpus has {self.vocabulary.digest}"
                )
            self._open[number] = (reader, self._rows(number))
            if len(self._open) > _OPEN_SHARDS:
                self._open.popitem(last=False)
        self._open.move_to_end(number)
        return self._open[number]

    def _rows(self, number: int) -> Numbers:
        start, stop = self._rows_before[number : number + 2]
        bits = np.unpackbits(self._kept[start // 8 : -(-stop // 8)])
        return np.flatnonzero(bits[start % 8 : start % 8 + stop - start])

    def _check_sizes(self) -> None:
        """Find shards that are missing or cut short before anything is computed with them."""
        for record in self.index.shards:
            path = shard_path(self.folder, record.name)
            found = path.stat().st_size if path.is_file() else None
            if found != record.bytes:
                what = "is missing" if found is None else f"has {found:,} bytes"
                raise InputError(
                    f"{path} {what} instead of {record.bytes:,}: `sclong data check` lists all "
                    "that is wrong; harmonise again, or restore it"
                )


def _check_file(path: Path, expected: str) -> None:
    if not path.is_file():
        raise InputError(f"{path} is missing: harmonise again, or restore it")
    if (found := sha256_file(path)) != expected:
        raise InputError(
            f"{path} has SHA-256 {found} instead of {expected}: it is damaged or of another corpus"
        )
