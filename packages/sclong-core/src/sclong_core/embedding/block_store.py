"""Unfinished work kept on disk: embeddings in blocks of cells, each whole and with its checksum.

``<output>.partial/`` holds ``state.json``, which says what is computed from what, and one file
``block-<number>.<SHA-256>.npy`` for each block that is finished. A run that was killed leaves
nothing else that counts.
"""

import hashlib
import io
import logging
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from sclong_core.errors import InputError, ScLongError
from sclong_core.files import atomic_file, read_json, write_json
from sclong_core.lock import lock_file

_LOG = logging.getLogger("sclong")
_STATE, _LOCK = "state.json", "lock"
_BLOCK = re.compile(r"block-(\d{8})\.([0-9a-f]{64})\.npy")
_OURS = re.compile(rf"{_STATE}|{_LOCK}|\.?block-\d{{8}}.*\.npy|\.state\.tmp-\d+\.json")
BLOCK_CELLS = 256
"""Cells of a block, rounded up to whole batches: what an interruption loses at most."""


def partial_folder(output: Path) -> Path:
    """Where unfinished work for ``output`` is kept."""
    return output.with_name(output.name + ".partial")


@dataclass
class BlockStore:
    """Blocks of embeddings of one output. Made by :meth:`open` or :meth:`join`."""

    folder: Path
    """Where they are."""
    cells: int
    """Cells in all."""
    width: int
    """Columns of the embedding."""
    block_cells: int
    """Cells of every block but the last."""
    _lock: int | None = field(default=None, repr=False)

    @classmethod
    def open(
        cls, folder: Path, work: Mapping[str, Any], *, width: int, batch_size: int, resume: bool
    ) -> Self:
        """Begin, or go on with what an earlier run of the same work has left.

        Args:
            folder: to keep blocks in; made if need be.
            work: what is computed from what: plain JSON with the number of ``cells``.
            width: columns of the embedding.
            batch_size: a block is a multiple of it.
            resume: keep blocks that are there; otherwise they are announced and removed.

        Raises:
            InputError: another run works on it, the folder holds anything else, or is of other
                work.
        """
        if folder.exists():
            _refuse_foreign(folder)
        folder.mkdir(parents=True, exist_ok=True)
        lock = _take_lock(folder)
        block_cells = -(-BLOCK_CELLS // batch_size) * batch_size
        try:
            if (found := _read_state(folder)) is not None and resume:
                _refuse_other_work(folder, found["work"], work)
                store = cls(folder, work["cells"], width, found["block_cells"], lock)
                store.keep_sound()
                return store
            if found is not None:
                _LOG.warning("%s: replacing unfinished work of an earlier run", folder)
            _clear(folder)
            write_json(folder / _STATE, {"work": dict(work), "block_cells": block_cells})
        except BaseException:
            os.close(lock)
            raise
        return cls(folder, work["cells"], width, block_cells, lock)

    @classmethod
    def join(cls, folder: Path, *, cells: int, width: int) -> Self:
        """The store that another process has opened: to write to, not to finish."""
        state = _read_state(folder)
        if state is None:
            raise InputError(f"{folder} cannot be seen from this process: use a shared folder")
        return cls(folder, cells, width, state["block_cells"])

    def ranges(self) -> list[tuple[int, int]]:
        """First cell, and the one after the last, of every block."""
        starts = range(0, self.cells, self.block_cells)
        return [(start, min(start + self.block_cells, self.cells)) for start in starts]

    def count(self, numbers: Iterable[int]) -> int:
        """Cells of some blocks."""
        ranges = self.ranges()
        return sum(ranges[number][1] - ranges[number][0] for number in numbers)

    def missing(self) -> list[int]:
        """Numbers of the blocks that are not there yet."""
        return sorted(set(range(len(self.ranges()))) - set(self._files()))

    def write(self, number: int, values: npt.NDArray[np.float32]) -> None:
        """Keep a block.

        Raises:
            ScLongError: a value is not finite.
        """
        start, stop = self.ranges()[number]
        _check_block(values, start, stop, self.width)
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, np.ascontiguousarray(values), allow_pickle=False)
        digest = hashlib.sha256(buffer.getbuffer()).hexdigest()
        with atomic_file(self.folder / f"block-{number:08d}.{digest}.npy") as temporary:
            temporary.write_bytes(buffer.getbuffer())

    def read(self) -> Iterator[tuple[slice, npt.NDArray[np.float32]]]:
        """All blocks in the order of the cells, each checked against its checksum.

        Raises:
            InputError: a block is missing or was damaged since it was written.
        """
        files = self._files()
        for number, (start, stop) in enumerate(self.ranges()):
            values = self._load(files[number]) if number in files else None
            if values is None:
                raise InputError(
                    f"{self.folder}: block {number} is missing or damaged: run the same command "
                    "with --resume to compute it again"
                )
            _check_block(values, start, stop, self.width)
            yield slice(start, stop), values

    def keep_sound(self) -> None:
        """Remove damaged blocks and remains of interrupted writing, and say what is left."""
        files = self._files()
        sound = {number: path for number, path in files.items() if self._load(path) is not None}
        for number in sorted(files.keys() - sound.keys()):
            _LOG.warning("%s: block %d is damaged: computing it again", self.folder, number)
        keep = {_STATE, _LOCK, *(path.name for path in sound.values())}
        for path in self.folder.iterdir():
            if path.name not in keep:
                path.unlink()
        _LOG.info("%s: %d of %d blocks are finished", self.folder, len(sound), len(self.ranges()))

    def remove(self) -> None:
        """Remove the folder, after the output is written."""
        shutil.rmtree(self.folder)
        self.close()

    def close(self) -> None:
        """Let other runs go on with it; a folder without any block is removed."""
        if self._lock is None:
            return
        if self.folder.exists() and not self._files():
            shutil.rmtree(self.folder)
        os.close(self._lock)
        self._lock = None

    def _files(self) -> dict[int, Path]:
        matches = ((_BLOCK.fullmatch(path.name), path) for path in sorted(self.folder.iterdir()))
        return {int(match[1]): path for match, path in matches if match is not None}

    def _load(self, path: Path) -> npt.NDArray[np.float32] | None:
        """Content of a block file, None if it is not what was written."""
        content = path.read_bytes()
        match = _BLOCK.fullmatch(path.name)
        if match is None or hashlib.sha256(content).hexdigest() != match[2]:
            return None
        values: npt.NDArray[np.float32] = np.load(io.BytesIO(content), allow_pickle=False)
        return values


def remove_leftover(folder: Path) -> None:
    """Remove unfinished work of an output that was finished after all.

    Raises:
        InputError: another run works on it, or it holds anything else.
    """
    if folder.exists():
        _refuse_foreign(folder)
        lock = _take_lock(folder)
        shutil.rmtree(folder)
        os.close(lock)


def _check_block(values: npt.NDArray[np.float32], start: int, stop: int, width: int) -> None:
    if values.shape != (stop - start, width) or values.dtype != np.float32:
        raise ScLongError(
            f"cells {start:,} to {stop:,} gave {values.dtype} {values.shape} instead of float32 "
            f"{(stop - start, width)}"
        )
    wrong = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if wrong.size:
        raise ScLongError(
            f"the embedding of cell {start + int(wrong[0]) + 1:,} is not finite: the weights of "
            "the checkpoint are unusable, or too large for bfloat16 (try --dtype float32)"
        )


def _take_lock(folder: Path) -> int:
    """An open file that no other process has locked; the system unlocks it when this one ends."""
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        lock_file(descriptor)
    except BlockingIOError as error:
        holder = os.read(descriptor, 64).decode(errors="replace").strip()
        os.close(descriptor)
        raise InputError(
            f"{folder} is being worked on by process {holder or 'unknown'}: wait for it, or stop it"
        ) from error
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor


def _read_state(folder: Path) -> dict[str, Any] | None:
    """What ``state.json`` says; None if it is absent or was not written by this version."""
    try:
        state = read_json(folder / _STATE)
    except (OSError, ValueError):
        return None
    usable = (
        isinstance(state, dict)
        and isinstance(state.get("work"), dict)
        and isinstance(state.get("block_cells"), int)
        and state["block_cells"] > 0
    )
    return state if usable else None


def _refuse_foreign(folder: Path) -> None:
    """Refuse a folder with anything that this module did not write: it would be removed."""
    if not folder.is_dir():
        raise InputError(
            f"{folder} is not a folder, but scLong keeps unfinished work under this name: "
            "move it away"
        )
    foreign = [path.name for path in folder.iterdir() if not _OURS.fullmatch(path.name)]
    if foreign:
        raise InputError(
            f"{folder} holds {sorted(foreign)[0]}, which is not part of unfinished "
            "work: move it away"
        )


def _refuse_other_work(folder: Path, found: Mapping[str, Any], work: Mapping[str, Any]) -> None:
    differing = differences(found, work)
    if differing:
        raise InputError(
            f"{folder} belongs to another run ({differing}): repeat that command, or "
            "start from scratch without --resume"
        )


def differences(found: Mapping[str, Any], work: Mapping[str, Any]) -> str:
    """What differs between earlier work and that asked for; nothing if they are the same."""
    return ", ".join(
        f"{key.replace('_', ' ')} was {_short(found.get(key))} and is {_short(work.get(key))}"
        for key in sorted(found.keys() | work.keys())
        if found.get(key) != work.get(key)
    )


def _short(value: object) -> str:
    text = "default" if value in (None, "") else str(value)
    return text if len(text) <= 24 else text[:12] + "..."


def _clear(folder: Path) -> None:
    """Remove everything but the lock that is held."""
    for path in folder.iterdir():
        if path.name != _LOCK:
            path.unlink()
