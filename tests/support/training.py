"""What tests of pretraining share: a network of a few thousand weights, a log of cells, and faults.

A fault is a callback by its name on the command line; the file it leaves proves that it fired.
"""

import json
import os
import resource
import signal
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from sclong_core.files import write_json
from sclong_core.launcher import process_rank
from sclong_core.pretraining import checkpoint_io, fsdp, fsdp_checkpoints
from sclong_core.pretraining.config import NetworkConfig, PerformerOverrides
from sclong_core.pretraining.fsdp import whole
from sclong_core.testing import make_counts_anndata

NETWORK_OPTIONS = (
    "--model.network.dim=16",
    "--model.network.high_genes=12",
    "--model.network.large.dim=24",
    *(
        f"--model.network.{encoder}.{name}"
        for encoder in ("large", "mini", "full")
        for name in ("depth=1", "heads=2", "dim_head=8")
    ),
)
"""The network of :func:`small_network` as options of the command."""


def small_network(**changes: Any) -> NetworkConfig:
    """A network of a few thousand weights."""
    shape: dict[str, Any] = {"depth": 1, "heads": 2, "dim_head": 8}
    side = PerformerOverrides(**shape)
    large = PerformerOverrides(dim=24, **shape)
    return NetworkConfig(dim=16, high_genes=12, large=large, mini=side, full=side, **changes)


def write_cells(path: Path, *, cells: int = 60, genes: int = 40, seed: int = 0) -> Path:
    """Write made-up counts as ``.h5ad``."""
    make_counts_anndata(cells, genes, seed=seed).write_h5ad(path)
    return path


class CellLog(Callback):
    """Appends a line a batch: number of the batch over all epochs, and its cells in order."""

    def __init__(self, path: str) -> None:
        self.path = path

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Write the line before the batch is trained on."""
        line = [
            trainer.fit_loop.total_batch_idx,
            batch["cell"].tolist(),
            float(batch["scored"].sum()),
        ]
        with Path(self.path).open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(line) + "\n")


class GradientLog(Callback):
    """Saves the gradients of the first steps: ``(steps, weights)`` in one ``.npy`` file."""

    def __init__(self, path: str, steps: int = 2) -> None:
        self.path, self.steps = path, steps
        self._found: list[torch.Tensor] = []

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Any
    ) -> None:
        """Add a step; write the file when all are there."""
        gradients = [parameter.grad for parameter in pl_module.parameters()]
        self._found.append(
            torch.cat([whole(grad).flatten() for grad in gradients if grad is not None])
        )
        if len(self._found) == self.steps and trainer.is_global_zero:
            np.save(self.path, torch.stack(self._found).numpy())


class KillAtBatch(Callback):
    """Kills its own process, as ``kill -9`` does, when a batch is done.

    Args:
        batch: number of the batch over all epochs.
        witness: file to leave.
        after_save: kill after checkpoints were written instead of before.
    """

    def __init__(self, batch: int, witness: str, after_save: bool = False) -> None:  # noqa: FBT001, FBT002  # an option
        self.batch, self.witness, self.after_save = batch, witness, after_save

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        """Before Lightning's checkpoint callbacks, which come last."""
        if not self.after_save and trainer.fit_loop.total_batch_idx == self.batch:
            _die(self.witness)

    def on_train_batch_start(self, trainer: Trainer, *args: Any) -> None:
        """The next batch begins when all callbacks of the last one are done."""
        if self.after_save and trainer.fit_loop.total_batch_idx == self.batch + 1:
            _die(self.witness)


class SignalAtBatch(Callback):
    """Asks its own process to stop, as a cluster does, in the middle of a batch.

    Args:
        batch: number of the batch over all epochs.
        witness: file to leave.
        number: of the signal; that of SIGTERM by default.
        rank: the process that is asked.
    """

    def __init__(self, batch: int, witness: str, number: int = 15, rank: int = 0) -> None:
        self.batch, self.witness, self.number, self.rank = batch, witness, number, rank

    def on_before_backward(self, trainer: Trainer, *args: Any) -> None:
        """Send the signal."""
        now = trainer.fit_loop.total_batch_idx == self.batch
        if now and trainer.global_rank == self.rank:
            Path(self.witness).touch()
            os.kill(os.getpid(), self.number)


class LoseRank(Callback):
    """Ends one process in the middle of a batch without a word to the others.

    Args:
        batch: number of the batch over all epochs.
        rank: the process that ends, with status 9.
        witness: file to leave.
    """

    def __init__(self, batch: int, rank: int, witness: str) -> None:
        self.batch, self.rank, self.witness = batch, rank, witness

    def on_before_backward(self, trainer: Trainer, *args: Any) -> None:
        """End; the others wait for this one's gradients."""
        now = trainer.fit_loop.total_batch_idx == self.batch
        if now and trainer.global_rank == self.rank:
            Path(self.witness).touch()
            os._exit(9)


class FillDisk(Callback):
    """Lets no file grow beyond a size any more, as on a disk that is nearly full.

    Args:
        batch: number of the batch over all epochs.
        size: in bytes.
        witness: file to leave.
        until: batch before which somebody makes room; nobody does by default.
        rank: the process whose disk it is; all by default.
    """

    def __init__(  # settings of a user, each by its name
        self, batch: int, size: int, witness: str, until: int = -1, rank: int = -1
    ) -> None:
        self.batch, self.size, self.witness = batch, size, witness
        self.until, self.rank = until, rank

    def on_train_batch_start(self, trainer: Trainer, *args: Any) -> None:
        """Set the limit, and have writes fail instead of ending the process."""
        if self.rank not in (-1, trainer.global_rank):
            return
        if trainer.fit_loop.total_batch_idx == self.batch:
            Path(self.witness).touch()
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            self._limit(self.size)
        if trainer.fit_loop.total_batch_idx == self.until:
            self._limit(resource.getrlimit(resource.RLIMIT_FSIZE)[1])

    def _limit(self, size: int) -> None:
        most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))


class KillInSave(Callback):
    """Kills its own process while a checkpoint is written.

    Args:
        step: of the optimiser, whose checkpoint it is.
        place: "file" half-way through it, "rename" before it gets its name, "record" before the
            record is written.
        witness: file to leave.
    """

    def __init__(self, step: int, place: str, witness: str) -> None:
        self.step, self.place, self.witness = step, place, witness

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the fault in."""
        write, record = checkpoint_io._write, write_json  # the fault

        def faulty_write(checkpoint: dict[str, Any], path: Path) -> None:
            write(checkpoint, path)
            if checkpoint["global_step"] == self.step and self.place in ("file", "rename"):
                if self.place == "file":
                    os.truncate(path, path.stat().st_size // 2)
                _die(self.witness)

        def faulty_record(path: Path, content: dict[str, Any]) -> None:
            if content["step"] == self.step and self.place == "record":
                _die(self.witness)
            record(path, content)

        checkpoint_io._write = faulty_write  # the fault
        setattr(checkpoint_io, "write_json", faulty_record)  # noqa: B010  # it is not exported there


class KillInShardedSave(Callback):
    """Kills its own process while the ranks together write a checkpoint.

    Args:
        step: of the optimiser, whose checkpoint it is.
        place: "shard" when this rank has written its tensors, "list" before the list of all
            tensors, "name" before the folder gets its name, "record" before the record is written.
            Each rank dies at the first, the one that does it at the others.
        witness: file to leave.
    """

    def __init__(self, step: int, place: str, witness: str) -> None:
        self.step, self.place, self.witness = step, place, witness

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the fault in."""
        writer = fsdp_checkpoints._Writer  # the fault
        for place, owner, name, after in (
            ("shard", writer, "write_data", True),
            ("list", writer, "finish", False),
            ("name", fsdp, "write_sharded", True),
            ("record", fsdp, "write_record", False),
        ):
            if place == self.place:
                setattr(owner, name, self._faulty(trainer, getattr(owner, name), after=after))

    def _faulty(self, trainer: Trainer, write: Any, *, after: bool) -> Any:
        def faulty(*arguments: Any, **options: Any) -> Any:
            if after:
                result = write(*arguments, **options)
            if trainer.global_step == self.step and not (
                self.place == "name" and trainer.global_rank
            ):
                _die(self.witness)
            return result if after else write(*arguments, **options)

        return faulty


class LateFiles(Callback):
    """Hides the newest checkpoint from one process that looks for it, as a network disk may.

    Args:
        rank: the process, of those that a launcher started.
        witness: file to leave when the fault is put in; whoever does not look meets nothing.
    """

    def __init__(self, rank: int, witness: str) -> None:
        if process_rank() != rank:
            return
        found = Path.glob

        def late(folder: Path, pattern: str) -> list[Path]:
            paths = list(found(folder, pattern))
            if paths and pattern == "*.ckpt":
                paths.remove(max(paths, key=checkpoint_io.steps_of))
            return paths

        setattr(Path, "glob", late)  # noqa: B010  # the fault
        Path(witness).touch()


class BadBlock(Callback):
    """Lets one process read a checkpoint's bytes differently from what the others read.

    Args:
        rank: the process, of those that a launcher started.
        witness: file to leave.
    """

    def __init__(self, rank: int, witness: str) -> None:
        if process_rank() != rank:
            return

        def damaged(path: str | os.PathLike[str]) -> str:
            Path(witness).touch()
            return f"of other bytes than those of {Path(path).name}"

        setattr(checkpoint_io, "sha256_file", damaged)  # noqa: B010  # it is not exported there


class PlantNan(Callback):
    """Makes the expression of one batch not a number, or a gradient infinite.

    Args:
        batch: number of the batch over all epochs.
        place: "expression" or "gradient".
    """

    def __init__(self, batch: int, place: str = "expression") -> None:
        self.batch, self.place = batch, place

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Plant it."""
        if self.place == "expression" and trainer.fit_loop.total_batch_idx == self.batch:
            batch["expression"][0] = torch.nan

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Plant it."""
        if self.place == "gradient" and trainer.fit_loop.total_batch_idx == self.batch:
            gradient = next(pl_module.parameters()).grad
            assert gradient is not None
            gradient.fill_(torch.inf)


def _die(witness: str) -> None:
    Path(witness).touch()
    os.kill(os.getpid(), signal.SIGKILL)
