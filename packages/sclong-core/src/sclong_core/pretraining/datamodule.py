"""What data modules of pretraining have in common, whatever they read."""

from typing import Any

import numpy as np
import numpy.typing as npt
from lightning.pytorch import LightningDataModule

from sclong_core.config import InputConfig
from sclong_core.errors import CheckpointError, ConfigError
from sclong_core.pretraining.masking import MaskingConfig
from sclong_core.pretraining.reference import SampledCells
from sclong_core.vocabulary import GeneVocabulary


class PretrainingData(LightningDataModule):
    """Masked cells for training and validation; see the classes made of it."""

    vocabulary: GeneVocabulary
    """Genes of the model, known as soon as the module is made."""
    input: InputConfig
    """How the expression is normalised."""
    masking: MaskingConfig
    """How masks are drawn."""
    gene_means: npt.NDArray[np.float32] | None
    """Mean non-zero training value of each gene, a baseline in validation; None before setup."""

    def reference_cells(self, most: int) -> SampledCells:
        """At most so many training cells, evenly spread, with what their sources measure.

        Raises:
            ConfigError: this kind of data does not say what its sources measure.
        """
        raise ConfigError(
            f"{type(self).__name__} does not say which genes its cells measure, which a model with "
            "a readout needs: train it on a file of cells or a corpus"
        )

    def measured(self, cells: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """``(cells, genes)``: genes that were measured in cells of these numbers."""
        raise NotImplementedError

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Refuse to go on with other data: held-out cells would be trained on.

        Raises:
            CheckpointError: the checkpoint was trained on other cells or another split.
        """
        for name, value in self.state_dict().items():
            if state_dict.get(name) != value:
                raise CheckpointError(
                    f"the checkpoint was trained on data with {name} "
                    f"{state_dict.get(name)}, and this run has {value}: resume with the "
                    "same data, or start in another folder"
                )

    def ranks(self) -> tuple[int, int]:
        """Rank of this process and number of processes."""
        if self.trainer is None:
            return 0, 1
        return self.trainer.global_rank, self.trainer.world_size


def check_numbers(
    *, validation_fraction: float, batch_size: int, num_workers: int, seed: int
) -> None:
    """Refuse impossible settings.

    Raises:
        ConfigError: one is out of its range; it is named as an option.
    """
    if not 0 <= validation_fraction < 1:
        raise ConfigError(
            f"data.validation_fraction must be at least 0 and below 1, not {validation_fraction}"
        )
    if batch_size < 1:
        raise ConfigError(f"data.batch_size must be at least 1, not {batch_size}")
    for name, value in (("num_workers", num_workers), ("seed", seed)):
        if value < 0:
            raise ConfigError(f"data.{name} must not be negative, not {value}")


def mean_of_genes(
    sums: npt.NDArray[np.float64], counts: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    """Mean non-zero value of each gene; of all genes for one that is never expressed.

    Args:
        sums: of the values of each gene.
        counts: of its values that are not zero.
    """
    overall = sums.sum() / max(counts.sum(), 1)
    means = np.divide(sums, counts, out=np.full_like(sums, overall), where=counts > 0)
    return means.astype(np.float32)


def spread(cells: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """At most so many of the cells, evenly spread over them."""
    places = np.linspace(0, cells.size - 1, min(count, cells.size))
    return cells[places.round().astype(np.int64)]
