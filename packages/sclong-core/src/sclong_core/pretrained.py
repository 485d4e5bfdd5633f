"""Loading and saving a model by folder or hub id."""

from os import PathLike
from typing import TYPE_CHECKING, Any, Self, cast

import torch
from huggingface_hub import ModelHubMixin

from sclong_core.config import GraphUse, LowExpression

if TYPE_CHECKING:
    from sclong_core.model import ScLong


class PretrainedMethods(ModelHubMixin, library_name="sclong", tags=["single-cell", "biology"]):
    """``from_pretrained`` and ``save_pretrained`` over checkpoint folders.

    ``push_to_hub`` is the hub library's own and uploads what ``save_pretrained`` writes. The
    mixin's ways to load and save are replaced: they neither verify nor write atomically.
    """

    @classmethod
    def from_pretrained(  # type: ignore[override]  # no hub settings: the hub library has its own
        cls,
        pretrained_model_name_or_path: str | PathLike[str] | None = None,
        *,
        device: str | torch.device = "auto",
        dtype: str = "auto",
        revision: str | None = None,
        low_expression: LowExpression | None = None,
        graph: GraphUse | None = None,
    ) -> Self:
        """Load a model in evaluation mode: the one that comes with the package, or another.

        Args:
            pretrained_model_name_or_path: nothing or "mini" for the model that comes with the
                package; a folder, or ``owner/name`` on the hub.
            device: "auto" takes the first accelerator there is.
            dtype: of the large products: "auto" keeps the file's; or "float32", "bfloat16".
            revision: branch, tag or commit on the hub.
            low_expression: ablate the low-expression encoder of the loaded model.
            graph: ablate the gene graph of the loaded model.

        Raises:
            CheckpointError: the checkpoint is missing, incomplete or damaged.
            ConfigError: no such device or dtype.
        """
        from sclong_core.checkpoint import (  # noqa: PLC0415  # it imports the model
            load_checkpoint,
            resolve_checkpoint,
        )

        folder = resolve_checkpoint(pretrained_model_name_or_path, revision=revision)
        model = load_checkpoint(
            folder, device=device, dtype=dtype, low_expression=low_expression, graph=graph
        )
        return cast("Self", model)

    def save_pretrained(
        self,
        save_directory: str | PathLike[str],
        *,
        overwrite: bool = False,
        **_hub: Any,
    ) -> None:
        """Write a self-contained checkpoint folder, whole or not at all.

        Raises:
            InputError: the folder exists and ``overwrite`` is false.
            CheckpointError: the model has no vocabulary.
        """
        from sclong_core.checkpoint import save_checkpoint  # noqa: PLC0415  # see from_pretrained

        save_checkpoint(cast("ScLong", self), save_directory, overwrite=overwrite)
