"""The file ``config.json`` of a checkpoint folder: what the folder holds and how it is verified.

It records the size and SHA-256 of every other file and a digest of itself, so that nothing in the
folder can change unnoticed. Reading and verifying it needs neither PyTorch nor the weights in
memory.
"""

import hashlib
import json
import stat
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import sclong_core
from sclong_core.checkpoint_names import (
    CHECKPOINT_FILES,
    CONFIG_FILE,
    GRAPH_FILE,
    VOCABULARY_FILE,
    WEIGHTS_FILE,
    checkpoint_source,
)
from sclong_core.config import ScLongConfig
from sclong_core.errors import CheckpointError, ConfigError
from sclong_core.files import atomic_file, sha256_file
from sclong_core.renaming import set_aside

FORMAT = "sclong"
FORMAT_VERSION = 1
_KEYS = frozenset(
    (
        "format",
        "format_version",
        "sclong_version",
        "model",
        "vocabulary_digest",
        "graph_digest",
        "files",
        "origin",
        "config_digest",
    )
)
_MAXIMUM_CONFIG_BYTES = 16 << 20


@dataclass(frozen=True)
class FileRecord:
    """Size and SHA-256 of one file of a checkpoint."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class CheckpointInfo:
    """What ``config.json`` says about a checkpoint."""

    folder: Path
    """Where the checkpoint is."""
    config: ScLongConfig
    """The model's configuration."""
    vocabulary_digest: str
    """:attr:`GeneVocabulary.digest` of ``vocabulary.tsv``."""
    graph_digest: str | None
    """:attr:`GeneGraph.digest` of ``graph.npz``, None where there is none."""
    files: Mapping[str, FileRecord]
    """Every file but ``config.json`` itself, by name."""
    origin: Mapping[str, Any]
    """Where the weights come from: a conversion, a training run."""
    sclong_version: str
    """Version of sclong-core that wrote the folder."""

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the model's configuration and the hashes of all files.

        Two checkpoints with one digest embed every cell alike.
        """
        digest = hashlib.sha256(canonical_json(self.config.to_dict()).encode())
        for name in sorted(self.files):
            digest.update(f"{name} {self.files[name].sha256}\n".encode())
        return digest.hexdigest()

    @property
    def source(self) -> str:
        """The packaged model's name, ``owner/name@commit`` in the hub's cache, else the folder."""
        return checkpoint_source(self.folder)


def read_checkpoint_info(folder: str | PathLike[str]) -> CheckpointInfo:
    """Read ``config.json`` and check that the files it lists are there in full size.

    Their content is not read: :func:`verify_checkpoint` does that.

    Raises:
        CheckpointError: the folder is not a checkpoint, is incomplete, was written by a newer
            version, or its ``config.json`` was changed.
    """
    folder = Path(folder).absolute()
    path = folder / CONFIG_FILE
    if (old := set_aside(folder)) is not None:
        raise CheckpointError(
            f"{folder} is missing: a process ended while it replaced it; the old "
            f"checkpoint is {old.name} next to it: rename it back"
        )
    if not folder.is_dir():
        raise CheckpointError(
            f"{folder} is not a folder: a checkpoint is a folder with {CONFIG_FILE}"
        )
    if _plain_file_size(path) > _MAXIMUM_CONFIG_BYTES:
        raise CheckpointError(f"{path} is too large to be part of a checkpoint")
    info = _parse(folder, _load_json(path))
    for name, record in info.files.items():
        size = _plain_file_size(folder / name)
        if size != record.bytes:
            raise CheckpointError(
                f"{folder / name} has {size} bytes instead of {record.bytes}: copy it again"
            )
    return info


def verify_checkpoint(folder: str | PathLike[str]) -> CheckpointInfo:
    """Read ``config.json`` and compare every file with its recorded SHA-256.

    Raises:
        CheckpointError: as :func:`read_checkpoint_info`, or a file's content differs.
    """
    info = read_checkpoint_info(folder)
    with ThreadPoolExecutor() as pool:
        hashes = pool.map(sha256_file, [info.folder / name for name in info.files])
        for (name, record), found in zip(info.files.items(), hashes, strict=True):
            if found != record.sha256:
                raise CheckpointError(
                    f"{info.folder / name} is damaged or was swapped (SHA-256 {found[:12]}..., "
                    f"recorded {record.sha256[:12]}...): copy the checkpoint again"
                )
    return info


def write_manifest(
    folder: Path,
    *,
    config: ScLongConfig,
    vocabulary_digest: str,
    graph_digest: str | None,
    origin: Mapping[str, Any],
) -> None:
    """Write ``config.json`` over the files that are in ``folder``, as the last of them."""
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": sha256_file(path)}
        for path in folder.iterdir()
        if path.name in CHECKPOINT_FILES
    }
    content = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "sclong_version": sclong_core.__version__,
        "model": config.to_dict(),
        "vocabulary_digest": vocabulary_digest,
        "graph_digest": graph_digest,
        "files": files,
        "origin": dict(origin),
    }
    content["config_digest"] = _sha256(canonical_json(content))
    with atomic_file(folder / CONFIG_FILE) as temporary:
        temporary.write_text(canonical_json(content), encoding="utf-8")


def canonical_json(content: Any) -> str:
    """The one spelling of ``content`` that ``config.json`` may have.

    Raises:
        CheckpointError: ``content`` is not JSON, as NaN is not.
    """
    try:
        return json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"a checkpoint's origin must be JSON: {error}") from error


def name_some(names: Iterable[str], *, most: int = 8) -> str:
    """A list for an error message: the first few names, and how many more there are.

    Names from a file are shortened, and made harmless to a terminal.
    """
    ordered = sorted(name[:120] if name.isprintable() else ascii(name)[:120] for name in names)
    rest = f" and {len(ordered) - most} more" if len(ordered) > most else ""
    return ", ".join(ordered[:most]) + rest


def _load_json(path: Path) -> dict[str, Any]:
    text = path.read_bytes()
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not JSON: the checkpoint is damaged") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{path} does not describe an scLong checkpoint")
    version = content.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has checkpoint format {version}, and this version of sclong-core "
            f"reads up to {FORMAT_VERSION}: pip install --upgrade sclong-core"
        )
    _check_unchanged(path, text, content)
    return content


def _check_unchanged(path: Path, text: bytes, content: dict[str, Any]) -> None:
    if (
        type(content.get("format_version")) is not int
        or content["format_version"] != FORMAT_VERSION
    ):
        raise CheckpointError(f"{path} does not name a known checkpoint format")
    unknown, missing = set(content) - _KEYS, _KEYS - set(content)
    if unknown or missing:
        what = f"unknown {name_some(unknown)}" if unknown else f"no {name_some(missing)}"
        raise CheckpointError(f"{path} has {what}: it was not written by this format's version")
    rest = {key: value for key, value in content.items() if key != "config_digest"}
    if (
        content["config_digest"] != _sha256(canonical_json(rest))
        or text != canonical_json(content).encode()
    ):
        raise CheckpointError(f"{path} was changed after it was written: copy the checkpoint again")


def _parse(folder: Path, content: dict[str, Any]) -> CheckpointInfo:
    path = folder / CONFIG_FILE
    for name in ("model", "files", "origin"):
        if not isinstance(content[name], dict):
            raise CheckpointError(f"{path} is not usable: {name} must be a mapping")
    try:
        config = ScLongConfig.from_dict(content["model"])
        files = {name: FileRecord(**record) for name, record in content["files"].items()}
    except (ConfigError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is not usable: {error}") from error
    graph_digest = content["graph_digest"]
    expected = {WEIGHTS_FILE, VOCABULARY_FILE} | (
        {GRAPH_FILE} if graph_digest is not None else set()
    )
    if set(files) != expected:
        raise CheckpointError(
            f"{path} lists the files {name_some(files)} instead of {name_some(expected)}"
        )
    texts = [content["vocabulary_digest"], graph_digest or "", content["sclong_version"]]
    texts += [record.sha256 for record in files.values()]
    sizes = [record.bytes for record in files.values()]
    if not all(isinstance(text, str) for text in texts) or not all(
        type(size) is int for size in sizes
    ):
        raise CheckpointError(
            f"{path} is not usable: a digest must be text and a size a whole number"
        )
    return CheckpointInfo(
        folder=folder,
        config=config,
        vocabulary_digest=content["vocabulary_digest"],
        graph_digest=graph_digest,
        files=files,
        origin=content["origin"],
        sclong_version=content["sclong_version"],
    )


def _plain_file_size(path: Path) -> int:
    """Size of a regular file that lies in the folder itself.

    A link is followed only inside the hub's cache, whose snapshots link to the ``blobs`` beside
    them.
    """
    try:
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            blobs = path.parent.parent.parent / "blobs"
            if path.resolve().parent != blobs.resolve() or path.parent.parent.name != "snapshots":
                raise CheckpointError(
                    f"{path} is a link out of the checkpoint: put the file itself there"
                )
            status = path.stat()
    except OSError as error:
        raise CheckpointError(f"{path} is missing: the checkpoint is incomplete") from error
    if not stat.S_ISREG(status.st_mode):
        raise CheckpointError(f"{path} is not a plain file")
    return status.st_size


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
