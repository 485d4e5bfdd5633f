"""Shards: runs of cells of one data set, each an AnnData zarr store in one file.

The expression is a CSR matrix whose values and positions are cut into chunks of a few cells, each
with a checksum of its own, so that a few cells can be read and verified without the rest. Anything
that reads zarr reads a shard: ``anndata.read_zarr(zarr.storage.ZipStore(path))``.
"""

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import numpy.typing as npt
import pandas as pd
import zarr
from scipy import sparse
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec
from zarr.storage import MemoryStore

from sclong_core.errors import InputError
from sclong_core.files import atomic_file, read_json, sha256_file, write_json
from sclong_core.vocabulary import GeneVocabulary
from sclong_data.corpus.annotation import tidy_obs
from sclong_data.corpus.archive import contents_digest, write_archive
from sclong_data.corpus.layout import FORMAT_VERSION, check_name, record_path, shard_path

CHUNK = 16_384
"""Values in a chunk: about 8 cells of 2,000 expressed genes."""
DIGESTS = "cell_digest"
"""Where in ``obsm`` the digests of cells are."""
_SETTINGS = {"zarr_write_format": 3, "auto_shard_zarr_v3": False}


@dataclass(frozen=True)
class ShardRecord:
    """What is known of a shard without opening it."""

    name: str
    """``<data set>.<number>``."""
    dataset: str
    """The data set its cells are of."""
    cells: int
    """Number of cells in it."""
    values: int
    """Number of values that are not zero."""
    bytes: int
    """Size of its file."""
    sha256: str
    """Of its file."""
    contents: str
    """SHA-256 over names, sizes and CRC-32 of what is in its file, which are looked at whenever it
    is opened: a shard of another corpus is noticed without reading it whole."""


def write_shard(
    folder: Path,
    name: str,
    expression: sparse.csr_array,
    obs: pd.DataFrame,
    digests: npt.NDArray[np.uint64],
    *,
    vocabulary: GeneVocabulary | None = None,
) -> ShardRecord:
    """Write a shard whole or not at all, over what is there under its name.

    The bytes are a function of the arguments alone.

    Args:
        folder: of the corpus.
        name: ``<data set>.<number>``.
        expression: ``(cells, genes of the vocabulary)`` float32, without stored zeros.
        obs: annotation of the cells; the index holds their names.
        digests: ``(cells, 2)``, of the rows as they are stored.
        vocabulary: names of the genes, to be stored with them; numbers stand there without it.

    Raises:
        InputError: the name or the arrays are of another form.
        OSError: the disk is full or not writable; nothing is left of the shard.
    """
    dataset = check_name(name)
    _check(name, expression, obs, digests, vocabulary)
    store = _store(expression, obs, digests, vocabulary)
    path = shard_path(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    record_path(folder, name).unlink(missing_ok=True)  # it speaks of what is replaced now
    with atomic_file(path) as temporary:
        write_archive(temporary, store)
        size, digest = temporary.stat().st_size, sha256_file(temporary)
        with zipfile.ZipFile(temporary) as archive:
            contents = contents_digest(archive)
    cells, values = expression.shape[0], int(expression.nnz)
    record = ShardRecord(name, dataset, cells, values, size, digest, contents)
    write_json(record_path(folder, name), {"format": FORMAT_VERSION, **asdict(record)})
    return record


def read_shard_record(folder: Path, name: str, *, verify: bool = False) -> ShardRecord | None:
    """The record of a shard, None where the shard is absent or was not written to its end.

    Args:
        folder: of the corpus.
        name: of the shard.
        verify: compare the bytes of the file with the record; None where they differ.
    """
    check_name(name)
    path = shard_path(folder, name)
    try:
        values = read_json(record_path(folder, name))
        size = path.stat().st_size
        record = record_from(values)
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None
    if values.get("format") != FORMAT_VERSION or record.name != name or record.bytes != size:
        return None
    if verify and sha256_file(path) != record.sha256:
        return None
    return record


def record_from(values: Mapping[str, Any]) -> ShardRecord:
    """A record of plain JSON values.

    Raises:
        KeyError: one is missing.
        TypeError: one is of another kind.
    """
    record = ShardRecord(**{field: values[field] for field in ShardRecord.__dataclass_fields__})
    texts = (record.name, record.dataset, record.sha256, record.contents)
    numbers = (record.cells, record.values, record.bytes)
    if not all(isinstance(text, str) for text in texts) or not all(
        type(number) is int for number in numbers
    ):
        raise TypeError("the record of a shard holds other values")
    return record


def read_digests(folder: Path, name: str) -> npt.NDArray[np.uint64]:
    """Digests of the cells of a shard, ``(cells, 2)``.

    Raises:
        InputError: the shard is damaged.
        FileNotFoundError: there is none.
    """
    found: npt.NDArray[np.uint64] = read_element(shard_path(folder, name), f"obsm/{DIGESTS}")
    return found


def read_element(path: Path, key: str) -> Any:
    """One element of a shard as AnnData reads it.

    Raises:
        InputError: it is not there, or damaged.
        FileNotFoundError: there is no shard.
    """
    with _opened(path, key) as root:
        return anndata.io.read_elem(root[key])


def read_obs(
    path: Path, columns: Sequence[str] | None = None
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Annotation of the cells of a shard, and the names of all its columns.

    Args:
        path: of the shard.
        columns: those to read, where they are there; all by default.

    Raises:
        InputError: it is damaged.
        FileNotFoundError: there is no shard.
    """
    with _opened(path, "obs") as root:
        group = root["obs"]
        known = tuple(str(name) for name in group.attrs["column-order"])
        chosen = known if columns is None else [name for name in columns if name in known]
        index = anndata.io.read_elem(group[group.attrs["_index"]])
        read = {name: anndata.io.read_elem(group[name]) for name in chosen}
        return pd.DataFrame(read, index=pd.Index(index, dtype=object)), known


@contextmanager
def _opened(path: Path, what: str) -> Iterator[Any]:
    if not path.is_file():
        raise FileNotFoundError(2, "no such shard", str(path))
    try:
        with zarr.storage.ZipStore(path, mode="r") as store:
            yield zarr.open_group(store, mode="r")
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{path} is damaged ({what}: {reason}): run `sclong data check`, and harmonise again "
            "what it names"
        ) from error


def _check(
    name: str,
    expression: sparse.csr_array,
    obs: pd.DataFrame,
    digests: npt.NDArray[np.uint64],
    vocabulary: GeneVocabulary | None,
) -> None:
    cells, genes = expression.shape
    if not sparse.issparse(expression) or expression.format != "csr":
        raise InputError(f"shard {name}: the expression must be a CSR matrix")
    if expression.dtype != np.float32:
        raise InputError(f"shard {name}: the expression must be float32, not {expression.dtype}")
    if not expression.has_sorted_indices:
        raise InputError(f"shard {name}: positions of genes must be sorted in every cell")
    if len(obs) != cells or digests.shape != (cells, 2) or digests.dtype != np.uint64:
        raise InputError(
            f"shard {name}: {cells} cells, but {len(obs)} rows of obs and digests of shape "
            f"{digests.shape}, {digests.dtype}"
        )
    if vocabulary is not None and len(vocabulary) != genes:
        raise InputError(f"shard {name}: {genes} genes, but a vocabulary of {len(vocabulary)}")


def _store(
    expression: sparse.csr_array,
    obs: pd.DataFrame,
    digests: npt.NDArray[np.uint64],
    vocabulary: GeneVocabulary | None,
) -> MemoryStore:
    """The zarr hierarchy of a shard."""
    store = MemoryStore()
    root = zarr.open_group(store, mode="w", zarr_format=3)
    root.attrs.update(
        {
            "encoding-type": "anndata",
            "encoding-version": "0.1.0",
            "sclong": {
                "format": FORMAT_VERSION,
                "vocabulary": None if vocabulary is None else vocabulary.digest,
            },
        }
    )
    _put_expression(root, expression)
    with anndata.settings.override(**_SETTINGS):
        anndata.io.write_elem(root, "obs", tidy_obs(obs))
        anndata.io.write_elem(root, "var", _var(expression.shape[1], vocabulary))
        anndata.io.write_elem(root, "obsm", {DIGESTS: np.ascontiguousarray(digests)})
    return store


def _put_expression(root: zarr.Group, expression: sparse.csr_array) -> None:
    group = root.create_group(
        "X",
        attributes={
            "encoding-type": "csr_matrix",
            "encoding-version": "0.1.0",
            "shape": [int(size) for size in expression.shape],
        },
    )
    # The few different values of a cell come again as whole float32, which shuffling would hide;
    # sorted positions share their upper bytes, which it brings together.
    values = ZstdCodec(level=6)
    positions = BloscCodec(typesize=4, cname="zstd", clevel=5, shuffle="shuffle")
    _put(group, "data", expression.data, values)
    _put(group, "indices", expression.indices.astype(np.int32, copy=False), positions)
    pointers = expression.indptr.astype(np.int64, copy=False)
    group.create_array(
        "indptr",
        data=pointers,
        chunks=pointers.shape,
        compressors=[ZstdCodec(level=6)],
        attributes={"encoding-type": "array", "encoding-version": "0.2.0"},
    )


def _put(group: zarr.Group, name: str, array: npt.NDArray[Any], codec: Any) -> None:
    """Write an array as one zarr shard of chunks, each with its checksum."""
    size = max(1, -(-array.size // CHUNK)) * CHUNK
    target = group.create_array(
        name,
        shape=array.shape,
        dtype=array.dtype,
        chunks=(CHUNK,),
        shards=(size,),
        compressors=[codec, Crc32cCodec()],
        attributes={"encoding-type": "array", "encoding-version": "0.2.0"},
        config={"write_empty_chunks": True},
    )
    if array.size:
        target[:] = array


def _var(genes: int, vocabulary: GeneVocabulary | None) -> pd.DataFrame:
    if vocabulary is None:
        return pd.DataFrame(index=pd.Index([str(number) for number in range(genes)], dtype=object))
    symbols = pd.Series(vocabulary.symbols, dtype=object).to_numpy()
    return pd.DataFrame({"symbol": symbols}, index=pd.Index(vocabulary.ids, dtype=object))
