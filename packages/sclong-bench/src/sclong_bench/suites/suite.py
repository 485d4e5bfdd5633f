"""A suite: tasks, models, protocols, scenarios and seeds, from one YAML file."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sclong_core.checkpoint_names import checkpoint_folder
from sclong_core.errors import ConfigError, ScLongError
from sclong_core.files import sha256_file
from sclong_core.manifest import read_checkpoint_info
from sclong_core.settings import load_settings
from sclong_tasks.data_files import RECORD
from sclong_tasks.named_models import NamedModel, model_changes, named
from sclong_tasks.registry import get_task
from sclong_tasks.results import config_digest
from sclong_tasks.settings import check_parts, resolve
from sclong_tasks.task import PROTOCOLS, ProtocolName, Task


@dataclass
class Entry:
    """Runs of one task that share their settings."""

    task: str
    """Name of the task."""
    models: list[str]
    """Names of its models, or of the suite's own."""
    protocols: list[str] = field(default_factory=lambda: ["honest"])
    """One or both of "honest" and "published"."""
    scenarios: list[str] = field(default_factory=list)
    """Splits by name, where a protocol has them; the first of each protocol by default."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Changes below "task", "model" and names of models, as ``--config`` of ``sclong task run``."""
    data: str | None = None
    """Folder of prepared data; by default the suite's, with the name of the task."""
    seeds: list[int] = field(default_factory=list)
    """In place of the suite's."""
    source: str = ""
    """Original files, or one such file, below the folder that ``--source`` names; by default the
    folder with the name of the task."""


@dataclass
class SuiteConfig:
    """What a suite file may hold."""

    runs: list[Entry]
    seeds: list[int] = field(default_factory=lambda: [1, 2, 3, 4, 5])
    """Each model is run with each of them."""
    data: str = "task-data"
    """Folder of the tasks' data folders, from where the command is run."""
    output: str = "bench-runs"
    """Folder for the runs, from where the command is run."""
    checkpoint: str | None = None
    """A scLong checkpoint folder, or "mini", which comes with sclong-core, for the models that
    use one."""
    encoders: dict[str, str] = field(default_factory=dict)
    """Folders of published models by name, for the models that are made with one."""
    models: dict[str, str] = field(default_factory=dict)
    """Models of your own by name: FILE.py:FUNCTION, from where the command is run, or another
    name for a model of the tasks."""


@dataclass(frozen=True)
class GridRun:
    """One run of the grid."""

    task: str
    model: str
    protocol: ProtocolName
    scenario: str
    seed: int
    settings: Mapping[str, Any]
    data: Path
    checkpoint: Path | None
    """Where the model uses it."""
    folder: Path
    """Of this run; its name is a digest of everything above, contents of files included."""
    base: str = ""
    """What the model is where it has a name of the suite's: FILE.py:FUNCTION, or a model."""

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.task} {self.model} {self.protocol} {self.scenario} seed {self.seed}"


Cell = GridRun
"""Former name of :class:`GridRun`; it goes with the next release."""


@dataclass(frozen=True)
class Suite:
    """A suite that was checked: every task, model, protocol and setting is known."""

    path: Path
    config: SuiteConfig
    runs: tuple[GridRun, ...]
    missing_data: tuple[str, ...]
    """Tasks whose data folder is not there; what they would run is not among the runs."""

    @property
    def output(self) -> Path:
        """Folder of the runs."""
        return Path(self.config.output)


def read_suite(path: Path, *, output: Path | None = None, data: Path | None = None) -> Suite:
    """Read and check a suite file.

    Args:
        path: the YAML file.
        output: another folder for the runs.
        data: another folder of the tasks' data folders.

    Raises:
        ConfigError: the file cannot be read, or names something that is not known.
        CheckpointError: the checkpoint is none.
    """
    config = _read(path)
    if output is not None:
        config.output = str(output)
    if data is not None:
        config.data = str(data)
    if not config.runs or not config.seeds:
        raise ConfigError(f"{path} asks for no run: give runs and seeds")
    checkpoint = None if config.checkpoint is None else checkpoint_folder(config.checkpoint)
    digest = "" if checkpoint is None else read_checkpoint_info(checkpoint).digest
    runs: dict[Path, GridRun] = {}
    missing: list[str] = []
    for number, entry in enumerate(config.runs, start=1):
        try:
            task = get_task(entry.task)
            folder = Path(entry.data) if entry.data else Path(config.data) / entry.task
            models = _models(config, entry)
            chosen = list(_choices(task, entry, models))
            if not (folder / RECORD).is_file():
                missing.append(entry.task)
                continue
            for run in _runs(config, entry, models, chosen, folder, (checkpoint, digest)):
                runs.setdefault(run.folder, run)
        except ScLongError as error:
            raise ConfigError(f"{path}, runs {number}: {error}") from error
    return Suite(path, config, tuple(runs.values()), tuple(dict.fromkeys(missing)))


def _read(path: Path) -> SuiteConfig:
    try:
        loaded = load_settings(path)
        merged = OmegaConf.merge(OmegaConf.structured(SuiteConfig), loaded)
        config = OmegaConf.to_object(merged)
    except (OSError, OmegaConfBaseException, ValueError, TypeError) as error:
        reason = " ".join(str(error).splitlines()[:1])
        raise ConfigError(f"{path} is not a suite: {reason}") from error
    assert isinstance(config, SuiteConfig)
    return config


def _models(config: SuiteConfig, entry: Entry) -> list[NamedModel]:
    """The models of an entry, those that the suite names resolved."""
    check_parts(entry.settings, entry.models)
    return [named(config.models.get(name, name), name) for name in entry.models]


def _choices(
    task: Task[Any], entry: Entry, models: Sequence[NamedModel]
) -> Iterator[tuple[ProtocolName, str]]:
    """Protocols with their scenarios; everything about an entry is checked on the way."""
    known = {name for protocol in task.scenarios.values() for name in protocol}
    unknown = [name for name in entry.scenarios if name not in known]
    if unknown:
        raise ConfigError(f"{task.name} has no scenario {unknown[0]!r}: {', '.join(sorted(known))}")
    for name in entry.protocols:
        if name not in PROTOCOLS:
            raise ConfigError(f"there is no protocol {name!r}: {', '.join(PROTOCOLS)}")
        protocol: ProtocolName = "honest" if name == "honest" else "published"
        resolve(task.Settings, protocol, entry.settings.get("task") or {}, "task")
        for model in models:
            model.options(task, protocol, entry.settings)
        there = task.scenarios[protocol]
        wanted = [scenario for scenario in entry.scenarios if scenario in there]
        for scenario in wanted if entry.scenarios else there[:1]:
            yield protocol, scenario


def _runs(  # what they share, each by its name
    config: SuiteConfig,
    entry: Entry,
    models: Sequence[NamedModel],
    chosen: list[tuple[ProtocolName, str]],
    data: Path,
    checkpoint: tuple[Path | None, str],
) -> Iterator[GridRun]:
    record = (data / RECORD).read_text(encoding="utf-8")
    for (protocol, scenario), model, seed in product(chosen, models, entry.seeds or config.seeds):
        named = {
            "task": entry.task,
            "model": model.name,
            "protocol": protocol,
            "scenario": scenario,
            "seed": seed,
        }
        kind, options = model.options(get_task(entry.task), protocol, entry.settings)
        settings, files = _with_encoder(config, entry, model, options)
        used, digest = checkpoint if kind.uses_checkpoint(options) else (None, "")
        key = {**named, "settings": settings, "data": record, "checkpoint": digest}
        if files:
            key["encoder"] = files
        if model.function is not None:
            key["function"] = [model.function.source.rpartition(":")[2], model.function.identity]
        elif model.base:
            key["base"] = model.base
        folder = Path(config.output) / entry.task / config_digest(key)[:16]
        yield GridRun(
            task=entry.task,
            model=model.name,
            protocol=protocol,
            scenario=scenario,
            seed=seed,
            settings=settings,
            data=data,
            checkpoint=used,
            folder=folder,
            base=model.base if model.function is None else model.function.source,
        )


def _with_encoder(
    config: SuiteConfig, entry: Entry, model: NamedModel, options: Any
) -> tuple[Mapping[str, Any], str]:
    """Settings of a model with the folder of its published encoder, and a digest of that folder.

    Raises:
        ConfigError: the suite names no folder for it.
    """
    given: Mapping[str, Any] = entry.settings
    if set(given) - {"task", "model"}:  # those of this model alone are settings of its run
        changes = {"task": given.get("task"), "model": model_changes(given, model.name)}
        given = {name: value for name, value in changes.items() if value}
    encoder = getattr(options, "encoder", None)
    if encoder is None or not encoder.published:
        return given, ""
    place = encoder.path or config.encoders.get(encoder.name, "")
    if not place:
        raise ConfigError(
            f"{model.name} needs the folder of its files: name it below encoders, {encoder.name}: "
            "FOLDER"
        )
    # Absolute, because a run has a folder of its own to work in.
    path = str(Path(place).absolute())
    settings = OmegaConf.to_container(
        OmegaConf.merge(
            OmegaConf.create(dict(given)),
            OmegaConf.create({"model": {"encoder": {"path": path}}}),
        )
    )
    assert isinstance(settings, dict)
    return {str(name): value for name, value in settings.items()}, _folder_digest(path)


@cache
def _folder_digest(folder: str) -> str:
    """SHA-256 over the names and contents of all files of a folder."""
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    if not files:
        raise ConfigError(f"{folder} holds no files of a published model")
    return config_digest({str(path.relative_to(folder)): sha256_file(path) for path in files})
