"""From the name of a checkpoint to its folder: local, or fetched from the Hugging Face hub."""

import os
import re
from os import PathLike
from pathlib import Path

from sclong_core.errors import CheckpointError
from sclong_core.manifest import CHECKPOINT_FILES
from sclong_core.packaged import packaged_checkpoint, packaged_names

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)


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
    folder = Path(folder_or_hub_id)
    if os.path.isdir(folder):  # noqa: PTH112  # Path.is_dir raises where a name is too long
        if revision is not None:
            raise CheckpointError(f"{folder} is a local folder: it has no revision {revision!r}")
        return folder
    name = str(folder_or_hub_id)
    if name in packaged_names():
        if revision is not None:
            raise CheckpointError(f"{name} comes with sclong-core: it has no revision {revision!r}")
        return packaged_checkpoint(name)
    if not _HUB_ID.fullmatch(name) or ".." in name:
        raise CheckpointError(
            f"{name} is neither a checkpoint folder nor a hub id (owner/name), nor a model that "
            f"comes with sclong-core ({', '.join(packaged_names()) or 'there is none'})"
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
            f"{hub_id} is neither a folder here nor a repository that the hub shows you: "
            "check the name, and log in if it is private"
        ) from error
    except LocalEntryNotFoundError as error:
        raise CheckpointError(
            f"{hub_id} is not in the hub's cache and the hub cannot be reached: "
            "fetch it where there is a network, or give a local folder"
        ) from error
    except Exception as error:  # of many kinds: the HTTP library differs between hub versions
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{hub_id} could not be fetched from the hub: {reason}") from error
