"""Names of checkpoints and of the files in them: from a name to a folder, and back.

A name is a folder, the name of a model that comes with the package, or ``owner/name`` on the
Hugging Face hub, in this order: a folder that is there comes before a model of the same name.
"""

import os
import re
from os import PathLike
from pathlib import Path
from typing import Final

from sclong_core import __version__
from sclong_core.errors import CheckpointError

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
VOCABULARY_FILE = "vocabulary.tsv"
GRAPH_FILE = "graph.npz"
CHECKPOINT_FILES = (CONFIG_FILE, WEIGHTS_FILE, VOCABULARY_FILE, GRAPH_FILE)
"""Everything a checkpoint folder may hold; the graph only where the model has one."""

DEFAULT: Final = "mini"
"""What is meant where no checkpoint is named."""
_FOLDER: Final = Path(__file__).parent / "models"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)


def packaged_names() -> tuple[str, ...]:
    """Names of the models that come with the package."""
    if not _FOLDER.is_dir():
        return ()
    return tuple(sorted(path.name for path in _FOLDER.iterdir() if path.is_dir()))


def packaged_checkpoint(name: str = DEFAULT) -> Path:
    """The folder of a model that comes with the package.

    Raises:
        CheckpointError: there is no such model.
    """
    if name not in packaged_names():
        listed = ", ".join(packaged_names()) or "none"
        raise CheckpointError(
            f"this sclong-core has no model {name!r} (available: {listed}): install "
            "sclong-core again, or name a checkpoint folder"
        )
    return _FOLDER / name


def checkpoint_folder(name: str | PathLike[str]) -> Path:
    """The folder that a command's or a file's ``checkpoint`` means, whether it exists or not."""
    folder = Path(name)
    there = os.path.isdir(folder)  # noqa: PTH112  # Path.is_dir raises where a name is too long
    return packaged_checkpoint(str(name)) if not there and str(name) in packaged_names() else folder


def checkpoint_word(folder: str | PathLike[str]) -> str:
    """How to name a folder again for :func:`checkpoint_folder`, on this machine or another."""
    path = Path(folder)
    return path.name if path.parent == _FOLDER else str(folder)


def checkpoint_source(folder: Path) -> str:
    """The packaged model's name, ``owner/name@commit`` in the hub's cache, else the folder."""
    if folder.parent == _FOLDER:
        return f"sclong-{folder.name}, which comes with sclong-core {__version__}"
    repository = folder.parent.parent.name
    if folder.parent.name == "snapshots" and repository.startswith("models--"):
        return f"{repository.removeprefix('models--').replace('--', '/')}@{folder.name}"
    return str(folder)


def resolve_checkpoint(
    folder_or_hub_id: str | PathLike[str] | None = None, *, revision: str | None = None
) -> Path:
    """The folder of a checkpoint.

    Without a name it is the model that comes with the package. A folder that exists is taken as it
    is, and so is the name of a model that comes with the package. Anything else must be an
    ``owner/name`` on the hub: of that repository the four files of a checkpoint are fetched, or
    found in the hub's cache, and nothing else. The commit is the name of the folder returned, and
    part of :attr:`CheckpointInfo.source`.

    Args:
        folder_or_hub_id: a folder, "mini", or ``owner/name``.
        revision: branch, tag or commit on the hub; by default its main branch.

    Raises:
        CheckpointError: there is no such folder and no such repository, the hub cannot be
            reached, or a revision is given for a folder.
    """
    if folder_or_hub_id is None:
        folder_or_hub_id = packaged_checkpoint()
    name = str(folder_or_hub_id)
    folder = checkpoint_folder(folder_or_hub_id)
    if os.path.isdir(folder):  # noqa: PTH112  # see checkpoint_folder
        if revision is not None:
            packaged = folder != Path(name)
            what = "comes with sclong-core" if packaged else "is a local folder"
            raise CheckpointError(f"{name} {what}: it has no revision {revision!r}")
        return folder
    if not _HUB_ID.fullmatch(name) or ".." in name:
        raise CheckpointError(
            f"{name} is neither a checkpoint folder nor a hub id (owner/name), nor a "
            "model that ships with sclong-core "
            f"({', '.join(packaged_names()) or 'none'})"
        )
    return _download(name, revision)


def _download(hub_id: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download  # noqa: PLC0415  # loads slowly
    from huggingface_hub.errors import (  # noqa: PLC0415  # loads slowly
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return Path(
            snapshot_download(hub_id, revision=revision, allow_patterns=list(CHECKPOINT_FILES))
        )
    except RevisionNotFoundError as error:
        raise CheckpointError(f"{hub_id} has no revision {revision!r} on the hub") from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise CheckpointError(
            f"{hub_id} is neither a local folder nor a repository that you can see on "
            "the hub: check the name, and log in if it is private"
        ) from error
    except LocalEntryNotFoundError as error:
        raise CheckpointError(
            f"{hub_id} is not in the hub's cache, and the hub cannot be reached: "
            "download it on a machine with a network, or pass a local folder"
        ) from error
    except Exception as error:  # of many kinds: the HTTP library differs between hub versions
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{hub_id} could not be downloaded from the hub: {reason}") from error
