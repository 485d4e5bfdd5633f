"""Training checkpoints that appear whole or not at all, and are verified before they are used.

A checkpoint ``step=1000.ckpt``, a file or a folder with the shares of all ranks, counts only with
its record ``step=1000.ckpt.json``, which is written last and holds the size and SHA-256.
"""

import hashlib
import json
import logging
import shutil
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO

from sclong_core.errors import CheckpointError
from sclong_core.files import atomic_file, sha256_file, write_json

_LOG = logging.getLogger("sclong")
RECORD = ".json"
"""Ending that is put behind the name of a checkpoint for its record."""
_TEMPORARY = ".*.tmp-*"


@dataclass(frozen=True)
class CheckpointRecord:
    """What the record of a checkpoint says."""

    bytes: int
    """Size; of a folder, that of its files together."""
    sha256: str
    """Of all bytes; of a folder, of the lines ``SHA-256  size  name`` of its files."""
    step: int
    """Steps of the optimiser so far."""
    epoch: int
    """Epoch in which it was written, from 0."""


class AtomicCheckpointIO(CheckpointIO):
    """Lightning's file access, made safe against kills, full disks and damage.

    The file is written beside its place, flushed to disk, renamed, and its record is written the
    same way. Nothing in a checkpoint is executed when it is opened.
    """

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: str | PathLike[str],
        storage_options: Any | None = None,
    ) -> None:
        """Write a checkpoint and its record.

        Raises:
            OSError: the disk is full or not writable; earlier checkpoints are untouched.
            TypeError: storage options, of which there are none.
        """
        if storage_options is not None:
            raise TypeError("a checkpoint in a file does not take storage options")
        final = Path(path)
        final.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(final) as temporary:
            _write(checkpoint, temporary)
            if final.is_dir():  # of another strategy
                self.remove_checkpoint(final)
        write_record(final, checkpoint)

    def load_checkpoint(
        self,
        path: str | PathLike[str],
        map_location: Any | None = "cpu",
        weights_only: bool | None = None,  # noqa: FBT001  # Lightning's; always True here
    ) -> dict[str, Any]:
        """Verify a checkpoint and read it.

        Raises:
            CheckpointError: it has no record, differs from it, or holds more than plain values.
        """
        verify(Path(path))
        if Path(path).is_dir():
            from sclong_core.pretraining.fsdp_checkpoints import (  # noqa: PLC0415  # loads slowly
                read_whole,
            )

            return read_whole(Path(path))
        try:
            loaded: dict[str, Any] = torch.load(path, map_location=map_location, weights_only=True)
        except Exception as error:
            raise CheckpointError(
                f"{path} is not a training checkpoint: it holds more than tensors and plain values"
            ) from error
        return loaded

    def remove_checkpoint(self, path: str | PathLike[str]) -> None:
        """Remove the record first: without it the rest counts for nothing.

        A failure is logged, not raised: a run does not end over a file that is only in the way.
        """
        for item in (_record_path(Path(path)), Path(path)):
            try:
                _remove(item)
            except OSError as error:
                _LOG.warning("%s could not be removed: %s", item, error.strerror)


def write_record(path: Path, checkpoint: dict[str, Any]) -> None:
    """Make a checkpoint that is in its place count.

    Args:
        path: of the checkpoint.
        checkpoint: what it holds.
    """
    size, digest = _measure(path)
    write_json(
        _record_path(path),
        {
            "bytes": size,
            "sha256": digest,
            "step": checkpoint.get("global_step", 0),
            "epoch": checkpoint.get("epoch", 0),
        },
    )


def verify(path: Path) -> CheckpointRecord:
    """Compare a checkpoint with its record.

    Raises:
        CheckpointError: either is missing or cannot be read, or they differ.
    """
    record = read_record(path)
    try:
        size, digest = _measure(path)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    if size != record.bytes:
        raise CheckpointError(f"{path} has {size} bytes instead of {record.bytes}: it is damaged")
    if digest != record.sha256:
        raise CheckpointError(
            f"{path} has SHA-256 {digest} instead of {record.sha256}: it is damaged"
        )
    return record


def read_record(path: Path) -> CheckpointRecord:
    """What the record of a checkpoint says, without a look into the checkpoint.

    Raises:
        CheckpointError: either is missing, or the record is damaged.
    """
    if not path.exists():
        raise CheckpointError(f"{path} does not exist")
    try:
        return CheckpointRecord(**json.loads(_record_path(path).read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} has no record: it is incomplete") from error
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{_record_path(path)} is damaged") from error


def newest_valid_checkpoint(folder: str | PathLike[str]) -> Path | None:
    """The checkpoint with most steps that verifies, None where there is none.

    Damaged ones are skipped, and each is reported.
    """
    candidates = sorted(Path(folder).glob("*.ckpt"), key=_order, reverse=True)
    for path in candidates:
        try:
            verify(path)
        except CheckpointError as error:
            _LOG.warning("%s; trying the checkpoint before it", error)
        else:
            return path
    return None


def recorded_checkpoints(folder: str | PathLike[str]) -> list[Path]:
    """Those that were written to their end, the newest first; none is read."""
    found = [path for path in Path(folder).glob("*.ckpt") if _record_path(path).is_file()]
    return sorted(found, key=_order, reverse=True)


def steps_of(path: Path) -> int:
    """The steps in the name of a checkpoint (``step=1000.ckpt``), -1 where there are none."""
    digits = path.stem.rpartition("=")[2]
    return int(digits) if digits.isdecimal() else -1


def clean_checkpoints(folder: str | PathLike[str], *, keep: int) -> None:
    """Remove what interrupted runs left: temporary files, and checkpoints beyond the newest ones.

    Lightning never removes the checkpoint that a run went on from, so that they would add up. One
    that is valid is always left.

    Args:
        folder: with checkpoints.
        keep: number of checkpoints to leave; all of them if negative.
    """
    folder = Path(folder)
    for stray in folder.glob(_TEMPORARY):
        _remove(stray)
    if keep > 0:
        for path in recorded_checkpoints(folder)[keep:]:
            if newest_valid_checkpoint(folder) not in (None, path):
                AtomicCheckpointIO().remove_checkpoint(path)


def _write(checkpoint: dict[str, Any], path: Path) -> None:
    try:
        torch.save(checkpoint, path)
    except RuntimeError as error:
        # PyTorch's zip writer reports a full disk as an internal error.
        raise OSError(
            f"{path.name} could not be written: check that the disk is not full"
        ) from error


def _measure(path: Path) -> tuple[int, str]:
    """Size and digest of a file or folder."""
    if path.is_file():
        return path.stat().st_size, sha256_file(path)
    sizes = {item: item.stat().st_size for item in sorted(path.iterdir()) if item.is_file()}
    lines = [f"{sha256_file(item)}  {size}  {item.name}\n" for item, size in sizes.items()]
    return sum(sizes.values()), hashlib.sha256("".join(lines).encode()).hexdigest()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _record_path(path: Path) -> Path:
    return path.with_name(path.name + RECORD)


def _order(path: Path) -> tuple[int, str]:
    return steps_of(path), path.name
