"""``--dry-run``: what a run would take, from its settings and without its data."""

import os
from pathlib import Path
from typing import Any

from sclong_core.cli.terminal import print_table
from sclong_core.config import ContextConfig, ReadoutConfig, ScLongConfig
from sclong_core.errors import ConfigError
from sclong_core.pretraining.config import NetworkConfig
from sclong_core.pretraining.data_choice import choose_data
from sclong_core.pretraining.estimate import FSDP, Layout, PlanConfig, plan_rows
from sclong_core.vocabulary import GeneVocabulary


def print_plan(settings: Any) -> None:
    """Print the plan of parsed settings.

    Raises:
        ConfigError: settings that do not fit together, or that leave the number of genes open.
    """
    config, layout = planned_network(settings), planned_layout(settings)
    plan = PlanConfig(**vars(settings.plan))
    cells = plan.cells
    if cells is None and settings.data.path and Path(settings.data.path).exists():
        found, _ = choose_data(settings.data.path).size(settings.data)
        cells = round(found * (1 - settings.data.validation_fraction))
    epochs = settings.trainer.max_epochs or 0
    rows = plan_rows(config, layout, plan, cells=cells, epochs=epochs)
    absent = _absent_files(settings)
    rows.append(("files", f"not found here: {', '.join(absent)}" if absent else "all found"))
    print_table(("what", "how much"), rows, title="dry run: nothing was trained")


def _absent_files(settings: Any) -> list[str]:
    """Files that the settings name and that are not there, each with the setting."""
    named = {
        "data.path": settings.data.path,
        "data.vocabulary": settings.data.vocabulary,
        "model.graph": settings.model.graph,
        "model.gene_vectors": settings.model.gene_vectors,
    }
    return [f"{name} {path}" for name, path in named.items() if path and not Path(path).exists()]


def planned_network(settings: Any) -> ScLongConfig:
    """The network of parsed settings; a graph that is named counts as there."""
    network = as_network(settings.model.network)
    genes = network.genes
    if settings.data.vocabulary and Path(settings.data.vocabulary).is_file():
        genes = len(GeneVocabulary.read(settings.data.vocabulary))
    elif genes is None and settings.data.path and Path(settings.data.path).exists():
        _, genes = choose_data(settings.data.path).size(settings.data)
    if genes is None:
        raise ConfigError(
            "the number of genes is unknown: set model.network.genes, data.vocabulary or data.path"
        )
    return network.build(genes, has_graph=settings.model.graph is not None)


def planned_layout(settings: Any) -> Layout:
    """How parsed settings spread a run over devices."""
    trainer = settings.trainer
    devices = trainer.devices
    if isinstance(devices, list):
        devices = len(devices)
    if isinstance(devices, str) and devices.isdigit():
        devices = int(devices)
    if not isinstance(devices, int) or devices < 1:
        devices = 1 if trainer.accelerator == "cpu" else _visible_devices()
    return Layout(
        nodes=trainer.num_nodes,
        devices=devices,
        batch_size=settings.data.batch_size,
        accumulation=trainer.accumulate_grad_batches,
        precision=str(trainer.precision or "32-true"),
        activation_checkpointing=settings.model.activation_checkpointing,
        sharded=trainer.strategy == FSDP,
    )


def as_network(values: Any) -> NetworkConfig:
    """The network of a parsed namespace."""
    from sclong_core.pretraining.config import PerformerOverrides  # noqa: PLC0415

    if isinstance(values, NetworkConfig):
        return values
    plain = vars(values).copy()
    for name in ("large", "mini", "full"):
        if not isinstance(plain[name], PerformerOverrides):
            plain[name] = PerformerOverrides(**vars(plain[name]))
    for name, kind in (("context", ContextConfig), ("readout", ReadoutConfig)):
        if plain[name] is not None and not isinstance(plain[name], kind):
            plain[name] = kind(**vars(plain[name]))
    return NetworkConfig(**plain)


def _visible_devices() -> int:
    import torch  # noqa: PLC0415  # only where the settings leave it open

    return int(os.environ.get("LOCAL_WORLD_SIZE", "0")) or max(1, torch.cuda.device_count())
