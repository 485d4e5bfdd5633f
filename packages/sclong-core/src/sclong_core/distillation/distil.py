"""Distillation from beginning to end: the teacher's vectors, training, the student's checkpoint."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from lightning import Trainer
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.callbacks import ModelCheckpoint

from sclong_core.checkpoint import check_replaceable, read_checkpoint_info, save_checkpoint
from sclong_core.config import ScLongConfig, StudentConfig
from sclong_core.devices import find_device
from sclong_core.distillation.cells import read_taught
from sclong_core.distillation.module import Distillation, DistillOptions
from sclong_core.distillation.views import ViewOptions
from sclong_core.embedding.embed_files import Embedder, embed_files
from sclong_core.embedding.jobs import EmbedOptions, Job, plan_jobs
from sclong_core.embedding.pooling import chosen_pool, pool_width
from sclong_core.errors import ConfigError, InputError
from sclong_core.expression.identity import Identity
from sclong_core.model import ScLong, Student, load_checkpoint
from sclong_core.pretraining.checkpoint_io import AtomicCheckpointIO
from sclong_core.quiet import quiet_lightning

_LOG = logging.getLogger("sclong")
_VECTORS, _TRAINING = "vectors", "training"


@dataclass(frozen=True)
class Distilled:
    """What came of a distillation."""

    student: Path
    """Its checkpoint folder."""
    cells: int
    """Cells that its teacher embedded."""
    cosine: float
    """Mean cosine with the teacher's vectors, both around their mean, on cells not trained with."""
    shallow_cosine: float
    """The same of these cells at a tenth of their counts."""


def distil(  # teacher, cells, student, and how
    teacher: Path,
    cells: Sequence[Path],
    output: Path,
    work: Path,
    options: DistillOptions,
    embedding: EmbedOptions,
    *,
    device: str = "auto",
) -> Distilled:
    """Distil a student.

    Args:
        teacher: checkpoint folder.
        cells: files of cells, or folders of them.
        output: folder of the student's checkpoint.
        work: folder for the teacher's vectors and unfinished training. It stays: another student
            of the same teacher and cells needs no new vectors.
        options: of training.
        embedding: how cells are read and embedded; its ``resume`` and ``overwrite`` are those of
            the whole.
        device: to compute on.

    Raises:
        InputError: cells cannot be used, or something is in the way of the output.
        CheckpointError: the teacher cannot be used, or unfinished training is of other work.
    """
    check_replaceable(output.absolute(), overwrite=embedding.overwrite)
    info = read_checkpoint_info(teacher)
    if info.config.student is not None:
        raise ConfigError(f"{teacher} is a student itself: give its teacher")
    model = load_checkpoint(teacher, device=device)
    jobs = teach(Embedder(model, info, embedding), cells, work / _VECTORS)
    taught = read_taught(model, jobs, embedding)
    student = new_student(model, options.seed)
    digests = sorted(Identity.of(job.source).sha256 for job in jobs)
    facts = {
        "kind": "distillation",
        "teacher": info.digest,
        "pool": chosen_pool(model, embedding.pool),
        "cells": digests,
        "options": asdict(options),
    }
    module = Distillation(student, taught, options, facts)
    with torch.no_grad():
        module.start(model.gene_embedding()[: model.config.genes])
    _train(module, work / _TRAINING, options, resume=embedding.resume, device=device)
    module.eval()
    tenth = ViewOptions(thinned=1, least_depth=0.1, in_panels=0)
    cosine, shallow = module.held_out_cosine(), module.held_out_cosine(tenth)
    origin = {**facts, "training_cells": len(taught.training), "cosine": round(cosine, 6)}
    save_checkpoint(student, output, origin=origin, overwrite=embedding.overwrite)
    return Distilled(output, len(taught.targets), cosine, shallow)


def teach(embedder: Embedder, cells: Sequence[Path], folder: Path) -> list[Job]:
    """Embed cells by the teacher, in blocks that stay; what is there already is passed over.

    Raises:
        InputError: a file cannot be embedded, or other vectors are in the way.
    """
    # A file that is named twice is read once; a single one would go to a file, not to a folder.
    jobs = plan_jobs([*cells, cells[0]], folder, suffix=".npy")
    _LOG.info("the teacher embeds %s files into %s", f"{len(jobs):,}", folder)
    again = replace(embedder.options, resume=True)
    outcomes = embed_files(Embedder(embedder.model, embedder.info, again), jobs)
    if failed := [found for found in outcomes if found.status == "failed"]:
        raise InputError(f"{failed[0].job.source}: {failed[0].error}")
    return jobs


def new_student(teacher: ScLong, seed: int) -> Student:
    """An untrained student of a model."""
    width = pool_width(teacher, chosen_pool(teacher, None))
    config = student_config(teacher.config, StudentConfig(width=width))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return Student(config, teacher.vocabulary)


def student_config(teacher: ScLongConfig, student: StudentConfig) -> ScLongConfig:
    """The configuration of a student of a model."""
    return replace(
        teacher, graph="none", context=None, readout=None, student=student, storage="bfloat16"
    )


def _train(
    module: Distillation, folder: Path, options: DistillOptions, *, resume: bool, device: str
) -> None:
    """Train, and go on where an earlier run was stopped.

    Raises:
        KeyboardInterrupt: somebody interrupted it; the last checkpoint stays.
    """
    last = folder / "last.ckpt"
    found = find_device(device)
    with quiet_lightning():
        trainer = Trainer(
            max_steps=options.steps,
            accelerator="gpu" if found.type == "cuda" else found.type,
            devices=[found.index or 0] if found.type == "cuda" else 1,
            plugins=[LightningEnvironment(), AtomicCheckpointIO()],
            callbacks=[
                ModelCheckpoint(
                    dirpath=folder,
                    filename="last",
                    enable_version_counter=False,
                    save_on_train_epoch_end=True,
                )
            ],
            default_root_dir=folder,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            gradient_clip_val=1.0,
            reload_dataloaders_every_n_epochs=1,
            num_sanity_val_steps=0,
        )
        try:
            trainer.fit(module, ckpt_path=str(last) if resume and last.is_file() else None)
        except SystemExit as error:
            raise KeyboardInterrupt from error
    module.to("cpu")
