"""Pretraining of one variant with one seed, by the trainer that every pretraining uses."""

from pathlib import Path
from typing import Any

from sclong_bench.demo.train import fit, one_cycle
from sclong_bench.evidence.data import GRAPH, PRETRAINING, VECTORS, EvidenceData
from sclong_bench.evidence.suite import EvidenceSuite, Variant, ablation
from sclong_core.model import ScLong
from sclong_core.pretraining.config import NetworkConfig
from sclong_core.pretraining.export import ExportModel
from sclong_core.pretraining.masking import MaskingConfig
from sclong_core.pretraining.module import ScLongPretraining
from sclong_data.loading.module import CorpusDataModule

MODEL = "model"
"""Folder of the checkpoint in that of a run."""


def pretrain(
    suite: EvidenceSuite, variant: Variant, seed: int, data: EvidenceData, folder: Path
) -> ScLong:
    """Make the checkpoint of a variant in ``folder``, and give the model in evaluation mode.

    The seed decides the initial weights, random features, order of cells and masks, and the numbers
    that a random ablation draws.

    Args:
        suite: with the budget.
        variant: what is pretrained; one that is not trained gets its initial weights.
        seed: of the run.
        data: that was prepared.
        folder: of the run.
    """
    training = suite.training
    low_expression, graph = ablation(variant)
    preset: Any = training.preset  # its name was checked when the suite was read
    cells = CorpusDataModule(
        data.folder / PRETRAINING,
        masking=MaskingConfig(ratio=training.masked, seed=seed),
        validation_fraction=0.0,
        batch_size=training.batch_size,
        seed=seed,
    )
    module = ScLongPretraining(
        cells.vocabulary,
        NetworkConfig(preset=preset, low_expression=low_expression, graph=graph, feature_seed=seed),
        input=cells.input,
        graph=data.folder / GRAPH,
        gene_vectors=data.folder / VECTORS,
        schedule=one_cycle(training.steps, training.learning_rate),
        seed=seed,
    )
    if not variant.trained:
        module.model.save_pretrained(folder / MODEL)
        return module.model.eval()
    fit(module, cells, folder, [ExportModel(folder, suite.to_dict())], max_steps=training.steps)
    return module.model.eval()
