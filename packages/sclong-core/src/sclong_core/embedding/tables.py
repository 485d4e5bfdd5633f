"""Plain outputs: ``.npy`` and ``.parquet``, with a sidecar that says what they are.

``<output>.json`` holds the record and the checksum of the output. A ``.npy`` has no place for the
names of cells: they are in ``<output>.cells.tsv``, one a line, in the order of the rows.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sclong_core.embedding.blocks import BlockStore
from sclong_core.files import atomic_file, read_json, sha256_file, write_json


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
) -> None:
    """Write a plain output and its sidecar, the output itself last.

    Args:
        output: ends in ``.npy`` or ``.parquet``.
        store: all blocks of the embedding.
        names: of the cells.
        columns: names of the columns.
        record: where the embedding comes from.
    """
    with atomic_file(output) as path:
        if output.suffix == ".npy":
            _write_npy(path, store)
            _write_names(cell_names_file(output), names)
        else:
            _write_parquet(path, store, names, columns, record)
        content = {**record, "columns": list(columns), "sha256": sha256_file(path)}
        write_json(sidecar(output), content)


def _write_npy(path: Path, store: BlockStore) -> None:
    """Blocks one after the other: a mapped file would crash the process when the disk is full."""
    header = {"descr": "<f4", "fortran_order": False, "shape": (store.cells, store.width)}
    with path.open("wb") as handle:
        np.lib.format.write_array_header_1_0(handle, header)
        for _, values in store.read():
            handle.write(np.ascontiguousarray(values, dtype="<f4").data)


def _write_names(path: Path, names: Sequence[str]) -> None:
    with atomic_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(["cell"])
        writer.writerows([name] for name in names)


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


def read_table_record(output: Path) -> dict[str, Any] | None:
    """The record of a plain output; None if it is not there or not of this very file."""
    try:
        found = read_json(sidecar(output))
        named = output.suffix != ".npy" or cell_names_file(output).is_file()
        if isinstance(found, dict) and named and found.get("sha256") == sha256_file(output):
            return found
    except (OSError, ValueError):
        pass
    return None
