"""The LightningCLI behind ``sclong pretrain``: options, dry run, resuming, and quiet logs."""

import argparse
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, Checkpoint, ThroughputMonitor
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.plugins import CheckpointIO

from sclong_core.errors import ConfigError
from sclong_core.launcher import is_first_process, process_rank
from sclong_core.lock import locked
from sclong_core.pretraining.checkpoint_io import (
    AtomicCheckpointIO,
    clean_checkpoints,
    read_record,
)
from sclong_core.pretraining.checkpointing import (
    NEWEST,
    CheckpointPolicy,
    SameCheckpoint,
    SaveCheckpoints,
    StopOnSignal,
)
from sclong_core.pretraining.config_files import with_config_paths
from sclong_core.pretraining.data_choice import choose_data, data_path
from sclong_core.pretraining.dry_run import print_plan
from sclong_core.pretraining.estimate import FSDP, PlanConfig
from sclong_core.pretraining.export import ExportModel
from sclong_core.pretraining.forecast import Forecast
from sclong_core.pretraining.fsdp import ShardedStrategy
from sclong_core.pretraining.launch import apply_launch
from sclong_core.pretraining.module import PRECISIONS, ScLongPretraining, precision_message
from sclong_core.settings import parser_mode

_LOG = logging.getLogger("sclong")
_FOLDER = "runs/pretrain"
_LOCK = ".lock"
_WINDOW = 10
"""Batches at least that the throughput is measured over."""
_NOISE = (
    r".*is deprecated, use `isinstance\(treespec.*",  # Lightning's own use of PyTorch
    r".*exists and is not empty.*",  # that is what resuming is
    r".*smaller than the logging interval.*",
    r".*callbacks used to create the checkpoint need to be provided.*",
    r".*The dirpath has changed from.*",  # a folder that was moved
    r".*`tensorboardX` has been removed.*",
    r".*does not have many workers.*",
    r".*srun.*command is available.*",
)


class PretrainCLI(LightningCLI):
    """Options of the model, the data, the Trainer, checkpoints and the dry run.

    Args:
        held: takes the lock of the run's folder, and is left by the caller when all is done.
        arguments: of LightningCLI.
    """

    def __init__(self, *arguments: Any, held: ExitStack, **options: Any) -> None:
        self._held = held
        super().__init__(*arguments, **options)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Link what the data decides to the model, and add our own options."""
        parser.add_class_arguments(CheckpointPolicy, "checkpoints")
        parser.add_class_arguments(PlanConfig, "plan")
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="show the size, memory and time of the run, then stop; needs no data",
        )
        parser.link_arguments("data.vocabulary", "model.vocabulary", apply_on="instantiate")
        parser.link_arguments("data.input", "model.input", apply_on="instantiate")

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """``fit`` and ``validate``, with the arguments of the Trainer's methods to leave out."""
        return {
            "fit": {
                "model",
                "train_dataloaders",
                "val_dataloaders",
                "datamodule",
                "weights_only",
            },
            "validate": {"model", "dataloaders", "datamodule", "weights_only"},
        }

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse, then refuse what would fail later with a worse message."""
        self.config = parser.parse_args(args)
        settings = self.settings
        _follow_seed(settings)
        if str(settings.trainer.precision or "32-true") not in PRECISIONS:
            raise ConfigError(precision_message(settings.trainer.precision))
        if settings.ckpt_path is not None:
            read_record(Path(settings.ckpt_path))  # its bytes are compared when they are loaded

    @property
    def settings(self) -> Any:
        """Parsed settings of the subcommand."""
        return self.config[self.config.subcommand]

    @property
    def folder(self) -> Path:
        """Folder of the run."""
        return Path(self.settings.trainer.default_root_dir)

    @property
    def checkpoints(self) -> Path:
        """Folder of its checkpoints."""
        return self.folder / "checkpoints"

    def before_instantiate_classes(self) -> None:
        """Show the plan of a dry run and leave; else prepare the folder of the run."""
        if self.settings.dry_run:
            print_plan(self.settings)
            raise SystemExit(0)
        if torch.cuda.is_available():
            torch.set_float32_matmul_precision("high")
        if self.config.subcommand == "fit" and is_first_process():
            self._lock_folder()
            clean_checkpoints(self.checkpoints, keep=self.settings.checkpoints.keep)

    def _lock_folder(self) -> None:
        """Refuse a second run in the folder; of the processes of one run the first asks for all.

        Not inherited: processes that read cells outlive a killed run by seconds, in which it may
        be started again.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        what = f"the run in {self.folder}"
        self._held.enter_context(locked(self.folder / _LOCK, what, inherited=False))

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """A Trainer with safe checkpoints, a CSV log, and the export of the model."""
        config = self.config_init[self.config.subcommand]
        trainer = {**config.trainer, **kwargs}
        if trainer["logger"] in (None, True):
            trainer["logger"] = CSVLogger(self.folder, name="logs")
        if trainer["strategy"] == FSDP:
            trainer["strategy"] = ShardedStrategy()
        plugins = _listed(trainer["plugins"])
        if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
            plugins.append(AtomicCheckpointIO())
        trainer["plugins"] = plugins
        if not any(isinstance(plugin, ClusterEnvironment) for plugin in plugins):
            apply_launch(trainer)
        callbacks = _listed(trainer["callbacks"])
        if self.config.subcommand == "fit":
            callbacks += self._callbacks(callbacks, logs=bool(trainer["logger"]))
        made: Trainer = self._instantiate_trainer({**trainer, "callbacks": callbacks}, [])
        # Lightning has no public place between the start of the ranks and the load.
        self._loading = SameCheckpoint(made, self.checkpoints)
        made._checkpoint_connector = self._loading  # noqa: SLF001
        return made

    def _callbacks(self, given: list[Callback], *, logs: bool) -> list[Callback]:
        found: list[Callback] = [
            ExportModel(self.folder, self._record()),
            StopOnSignal(self.folder),
            Forecast(),
        ]
        if not any(isinstance(callback, Checkpoint) for callback in given):
            policy = self.config_init[self.config.subcommand].checkpoints
            found.append(SaveCheckpoints(self.checkpoints, policy))
        if logs:
            accumulated = self.settings.trainer.accumulate_grad_batches
            found.append(
                ThroughputMonitor(
                    batch_size_fn=lambda batch: int(batch["cell"].numel()),
                    window_size=max(_WINDOW, accumulated),  # whole steps of the optimiser
                )
            )
        return found

    def _record(self) -> dict[str, Any]:
        """Settings that decide what a run computes; not where it runs or writes."""
        self._dump_config()
        kept = {name: self.config_dump[name] for name in ("model", "data", "seed_everything")}
        trainer = self.config_dump["trainer"]
        names = ("max_epochs", "max_steps", "precision", "accumulate_grad_batches")
        kept["trainer"] = {
            name: trainer.get(name) for name in (*names, "gradient_clip_val", "limit_train_batches")
        }
        kept["data"] = {
            name: value
            for name, value in kept["data"].items()
            if name not in ("path", "num_workers")
        }
        return kept

    def fit(self, model: ScLongPretraining, **kwargs: Any) -> None:
        """Train from the newest checkpoint of the run that is whole, if there is one."""
        path = kwargs.pop("ckpt_path", None) or NEWEST
        self.trainer.fit(model, ckpt_path=path, **kwargs)
        if self._loading.begun == self.trainer.global_step:
            _LOG.info(
                "the run in %s is already finished; its model is in %s",
                self.folder,
                self.folder / "model",
            )

    def validate(self, model: ScLongPretraining, **kwargs: Any) -> None:
        """Measure a checkpoint, by default the newest of the run, on the held-out cells."""
        path = kwargs.pop("ckpt_path", None) or NEWEST
        self.trainer.validate(model, ckpt_path=path, **kwargs)


def _follow_seed(settings: Any) -> None:
    """Let ``seed_everything`` decide the seeds that are left at 0."""
    seed = settings.seed_everything
    if not seed or isinstance(seed, bool):  # True draws one
        return
    followed = []
    for name, place in (
        ("model.seed", settings.model),
        ("data.seed", settings.data),
        ("data.masking.seed", settings.data.masking),
    ):
        if place.seed == 0:
            place.seed = seed
            followed.append(name)
    if followed:
        _LOG.info("seed_everything (%d) sets %s", seed, ", ".join(followed))


def run_cli(words: list[str]) -> int:
    """Run ``sclong pretrain fit`` or ``validate``.

    Raises:
        ScLongError: anything that the person at the terminal must change.
        KeyboardInterrupt: the person interrupted.
    """
    quiet = {"exit_on_error": False, "parser_mode": parser_mode()}
    with _quiet_logs(), ExitStack() as held:
        words = with_config_paths(words)
        data = choose_data(data_path(words))
        try:
            PretrainCLI(
                ScLongPretraining,
                data.load(),
                args=words,
                held=held,
                auto_configure_optimizers=False,
                load_from_checkpoint_support=False,
                trainer_defaults={"default_root_dir": _FOLDER, "enable_model_summary": False},
                seed_everything_default=0,
                parser_kwargs={"prog": "sclong pretrain", **quiet}
                | {name: dict(quiet) for name in PretrainCLI.subcommands()},
            )
        except (argparse.ArgumentError, TypeError) as error:
            if isinstance(error, TypeError):
                raise
            raise ConfigError(_one_line(error)) from error
        except SystemExit as stop:
            if isinstance(stop.__context__, KeyboardInterrupt):  # Lightning makes it status 1
                _LOG.error(
                    "repeat the command to resume from the newest checkpoint, if there is one"
                )
                raise KeyboardInterrupt from stop
            return stop.code if isinstance(stop.code, int) else 0
    _leave_processes()
    return 0


def _leave_processes() -> None:
    """Join the threads of gloo: left to the end of the interpreter, they may abort the process."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _one_line(error: argparse.ArgumentError) -> str:
    """What the parser says, without the usage it repeats."""
    return " ".join(str(error.message).split())


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


@contextmanager
def _quiet_logs() -> Iterator[None]:
    """Our announcements on stderr; of Lightning's only what a person can act on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    level = _LOG.level
    _LOG.addHandler(handler)
    _LOG.setLevel(logging.INFO if process_rank() == 0 else logging.ERROR)
    lightning = logging.getLogger("lightning.pytorch")
    lightning_level = lightning.level
    lightning.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for pattern in _NOISE:
                warnings.filterwarnings("ignore", pattern)
            # Lightning's own use of jsonargparse
            warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"lightning\.")
            yield
    finally:
        _LOG.removeHandler(handler)
        _LOG.setLevel(level)
        lightning.setLevel(lightning_level)
