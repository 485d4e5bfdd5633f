"""Embeddings that are told the batches and correct for them: Harmony and scVI.

Both place the cells that they were fitted to, and no others. Types stay out of their sight.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import anndata
import numpy as np
import pandas as pd
from lightning.fabric.plugins.environments.lightning import LightningEnvironment

from sclong_core.errors import ConfigError, InputError
from sclong_core.quiet import quiet_lightning
from sclong_tasks.batch_integration.data import IntegrationData
from sclong_tasks.batch_integration.models.simple import (
    Embedding,
    Pca,
    PcaOptions,
    Values,
    highly_variable,
    numbered,
)
from sclong_tasks.chemistry.molecules import shown
from sclong_tasks.training import seeded


class Placed(Embedding):
    """An embedding of the cells that it was fitted to."""

    def learn(self, data: IntegrationData) -> None:
        """Correct these cells, and keep where they are."""
        self.arrays["values"] = self.correct(data)
        self.arrays["cells"] = np.array(data.expression.cells)

    @abstractmethod
    def correct(self, data: IntegrationData) -> Values:
        """The places of all cells."""

    def embed(self, data: IntegrationData) -> tuple[Values, list[str]]:
        """The places of these cells.

        Raises:
            InputError: some were not fitted.
        """
        places = pd.Index(self.arrays["cells"]).get_indexer(pd.Index(data.expression.cells))
        new = np.flatnonzero(places < 0)
        if len(new):
            names = shown([data.expression.cells[row] for row in new])
            raise InputError(
                f"{len(new)} cells are not among those that were integrated: {names}; make a run "
                "of all cells together"
            )
        return numbered(self.arrays["values"][places])


@dataclass
class HarmonyOptions(PcaOptions):
    """Components to correct, and how hard."""

    theta: float = 2.0
    """How much a cluster of few batches costs."""
    rounds: int = 10
    """Of correction, at most."""


class Harmony(Placed):
    """Principal components of variable genes, corrected by Harmony (Korsunsky et al. 2019)."""

    Options: ClassVar[type] = HarmonyOptions

    def correct(self, data: IntegrationData) -> Values:
        """Components moved until clusters hold all batches.

        Raises:
            ConfigError: harmonypy is not installed.
        """
        try:
            from harmonypy import run_harmony  # noqa: PLC0415  # an extra
        except ImportError as error:
            raise ConfigError(
                "Harmony needs the package harmonypy: pip install 'sclong-tasks[harmony]'"
            ) from error
        options: HarmonyOptions = self.options
        components = Pca(PcaOptions(options.genes, options.components))
        components.learn(data)
        values, _ = components.embed(data)
        found = run_harmony(
            values.astype(np.float64),
            pd.DataFrame({"batch": data.batch}),
            "batch",
            theta=options.theta,
            nclust=int(np.clip(round(len(values) / 30), 1, 100)),
            max_iter_harmony=options.rounds,
            verbose=False,
            random_state=self.seed,
        )
        corrected = np.asarray(found.Z_corr, dtype=np.float32)
        self.facts = {**components.facts, "rounds": len(found.objective_harmony) - 1}
        return corrected


@dataclass
class ScViOptions:
    """As Kedzierska et al. 2025 set it."""

    genes: int = 2000
    """Variable genes; all where 0."""
    layers: int = 2
    latent: int = 30
    epochs: int = 0
    """scVI's own rule, at most 400, where 0."""

    def __post_init__(self) -> None:
        if min(self.layers, self.latent) < 1 or min(self.genes, self.epochs) < 0:
            raise ConfigError("model.layers and latent start at 1, genes and epochs at 0")


class ScVi(Placed):
    """Latent space of scVI over counts (Lopez et al. 2018), trained on these cells."""

    Options: ClassVar[type] = ScViOptions

    def correct(self, data: IntegrationData) -> Values:
        """Means of the latent distributions.

        Raises:
            ConfigError: scvi-tools is not installed.
            InputError: the values are not counts.
        """
        counts = data.expression.values
        if not (counts == np.floor(counts)).all():
            raise InputError("scVI needs counts, and these are none: name a layer with task.layer")
        try:
            import scvi  # noqa: PLC0415  # an extra
        except ImportError as error:
            raise ConfigError(
                "scVI needs the package scvi-tools: pip install 'sclong-tasks[scvi]'"
            ) from error
        return self._latent(scvi, data, counts)

    def _latent(self, scvi: Any, data: IntegrationData, counts: Values) -> Values:
        assert self.context is not None
        options: ScViOptions = self.options
        if options.genes:
            counts = counts[:, highly_variable(data.expression.log1p, options.genes)]
        names = list(data.expression.cells)
        cells = anndata.AnnData(counts, obs=pd.DataFrame({"batch": data.batch}, index=names))
        kind, _, number = self.context.device.partition(":")
        with seeded(self.seed), quiet_lightning():
            scvi.settings.seed = self.seed  # from which it draws its validation cells
            scvi.model.SCVI.setup_anndata(cells, batch_key="batch")
            model = scvi.model.SCVI(
                cells, n_layers=options.layers, n_latent=options.latent, gene_likelihood="nb"
            )
            model.train(
                max_epochs=options.epochs or None,
                accelerator={"cuda": "gpu"}.get(kind, kind),
                devices=[int(number)] if number else "auto",
                enable_progress_bar=self.context.progress,
                default_root_dir=str(self.context.scratch),
                plugins=[LightningEnvironment()],
            )
            latent = model.get_latent_representation()
        self.facts = {"epochs": len(model.history["elbo_train"]), "genes": counts.shape[1]}
        return np.asarray(latent, dtype=np.float32)
