r"""Plain outputs: ``.npy`` and ``.parquet``, with a sidecar that says what they are.

``<output>.json`` holds the record and the checksum of the output. A ``.npy`` has no place for the
names of cells: they are in ``<output>.cells.tsv``, one a row, in the order of the embedding's rows;
``csv.reader(file, delimiter="\t")`` gives back every name, whatever it holds.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from sclong_core.embedding.block_store import BlockStore
from sclong_core.files import atomic_file, json_text, read_json, sha256_file

_HEADER = "cell\n"
_SPECIAL = re.compile(r"[\t\r\n\"]")


def sidecar(output: Path) -> Path:
    """Where the record of a plain output is."""
    return output.with_name(output.name + ".json")


def cell_names_file(output: Path) -> Path:
    """Where the names of the cells of a ``.npy`` are."""
    return output.with_name(output.name + ".cells.tsv")


def write_table(
    output: Path,
    store: BlockStore,
    *,
    names: Sequence[str],
    columns: Sequence[str],
    record: Mapping[str, Any],
    overwrite: bool = False,
    replaced: Collection[Path] = (),
) -> None:
    """Write a plain output and its sidecar, the output itself last.

    Args:
        output: ends in ``.npy`` or ``.parquet``.
        store: all blocks of the embedding.
        names: of the cells.
        columns: names of the columns.
        record: where the embedding comes from.
        overwrite: replace an output that is there.
        replaced: files beside it that are replaced. Others that have come by now are not, and
            then nothing is left of what this wrote.

    Raises:
        TakenError: something is there that is not to be replaced.
    """
    with ExitStack() as undo:
        with atomic_file(output, overwrite=overwrite) as path:
            if output.suffix == ".npy":
                _write_npy(path, store)
                with _beside(cell_names_file(output), replaced, undo) as names_path:
                    _write_names(names_path, names)
            else:
                _write_parquet(path, store, names, columns, record)
            content = {**record, "columns": list(columns), "sha256": sha256_file(path)}
            with _beside(sidecar(output), replaced, undo) as record_path:
                record_path.write_text(json_text(content), encoding="utf-8")
        undo.pop_all()


@contextmanager
def _beside(target: Path, replaced: Collection[Path], undo: ExitStack) -> Iterator[Path]:
    """A file beside an output, which goes again where the output is not written."""
    with atomic_file(target, overwrite=target in replaced) as path:
        yield path
    if target not in replaced:
        undo.callback(target.unlink, missing_ok=True)


def _write_npy(path: Path, store: BlockStore) -> None:
    """Blocks one after the other: a mapped file would crash the process when the disk is full."""
    header = {"descr": "<f4", "fortran_order": False, "shape": (store.cells, store.width)}
    with path.open("wb") as handle:
        np.lib.format.write_array_header_1_0(handle, header)
        for _, values in store.read():
            handle.write(np.ascontiguousarray(values, dtype="<f4").data)


def _write_names(path: Path, names: Sequence[str]) -> None:
    """One name a line, in quotes where it would not be one field of one line."""
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        file.write(_HEADER)
        file.writelines(f"{_field(name)}\n" for name in names)


def _field(name: str) -> str:
    plain = name and _SPECIAL.search(name) is None
    return name if plain else '"' + name.replace('"', '""') + '"'


def _write_parquet(
    path: Path,
    store: BlockStore,
    names: Sequence[str],
    columns: Sequence[str],
    record: Mapping[str, Any],
) -> None:
    import pyarrow as pa  # noqa: PLC0415  # an extra
    import pyarrow.parquet as pq  # noqa: PLC0415  # an extra

    fields = [pa.field("cell", pa.string()), *(pa.field(name, pa.float32()) for name in columns)]
    schema = pa.schema(fields, metadata={"sclong": json.dumps(record)})
    with pq.ParquetWriter(path, schema) as writer:
        for cells, values in store.read():
            arrays = [pa.array(names[cells], pa.string()), *(pa.array(part) for part in values.T)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def read_sidecar(path: Path) -> dict[str, Any] | None:
    """The record beside a plain output; None if it is not there, or is something else."""
    try:
        found = read_json(path)
    except (OSError, ValueError):
        return None
    ours = (
        isinstance(found, dict)
        and isinstance(found.get("sha256"), str)
        and isinstance(found.get("work"), dict)
    )
    return found if ours else None


def is_cell_names_file(path: Path) -> bool:
    """Whether a file begins as the names of cells beside a ``.npy`` do."""
    try:
        with path.open("rb") as file:
            return file.read(len(_HEADER)) == _HEADER.encode()
    except OSError:
        return False


def read_table_record(output: Path) -> dict[str, Any] | None:
    """The record of a plain output; None if it is not there or not of this very file."""
    found = read_sidecar(sidecar(output))
    named = output.suffix != ".npy" or cell_names_file(output).is_file()
    try:
        sound = found is not None and named and found["sha256"] == sha256_file(output)
    except OSError:
        return None
    return found if sound else None
