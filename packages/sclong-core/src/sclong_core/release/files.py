"""The files of a release, each read without executing anything in it."""

import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

from torch import Tensor

from sclong_core.array_files import read_array
from sclong_core.config import ScLongConfig
from sclong_core.errors import CheckpointError, InputError
from sclong_core.files import sha256_file
from sclong_core.manifest import name_some
from sclong_core.pickles import load_tensors
from sclong_core.release.tensors import without_wrappers
from sclong_core.vocabulary import GeneVocabulary, without_version

FilePath: TypeAlias = str | PathLike[str]

_STATE = "model_state_dict"
_SEPARATORS = re.compile(r"\t|,|\s+")


def file_record(path: FilePath) -> dict[str, Any]:
    """Name, size and SHA-256 of a file, for the checkpoint's origin.

    Raises:
        CheckpointError: there is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist or is not a file")
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": sha256_file(path)}


def read_state(path: FilePath) -> tuple[dict[str, Tensor], int | None]:
    """The state dictionary, mapped from the file where its format allows, and the epoch it is of.

    Raises:
        CheckpointError: the file holds more than plain values and tensors, or no state dictionary.
    """
    content = load_tensors(Path(path))
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"{path} must contain a state dictionary, not {type(content).__name__}"
        )
    state = content.get(_STATE, content)
    if not isinstance(state, Mapping) or not state:
        raise CheckpointError(f"{path} holds no tensors under {_STATE}")
    other = [
        str(name)
        for name, value in state.items()
        if not (isinstance(name, str) and isinstance(value, Tensor))
    ]
    if other:
        raise CheckpointError(
            f"{path} holds neither {_STATE} nor a state dictionary: {name_some(other)} "
            "is not a tensor"
        )
    epoch = content.get("epoch")
    return without_wrappers(state, str(path)), epoch if isinstance(epoch, int) else None


def read_vocabulary(
    genes: FilePath, symbols: FilePath | None, config: ScLongConfig
) -> GeneVocabulary:
    """The gene list, with symbols where a table gives them.

    Raises:
        CheckpointError: the list has another number of genes than the model.
        InputError: the list or the table is unusable.
    """
    vocabulary = GeneVocabulary.read(genes)
    if len(vocabulary) != config.genes:
        raise CheckpointError(
            f"{genes} lists {len(vocabulary)} genes, but the hyper-parameters give "
            f"{config.genes} (max_seq_len - 1)"
        )
    if symbols is None:
        return vocabulary
    table = _read_symbols(Path(symbols))
    if not table.keys() & set(vocabulary.ids):
        raise InputError(
            f"{symbols} contains no gene of {genes}: it needs two columns, Ensembl id and symbol"
        )
    return GeneVocabulary(vocabulary.ids, tuple(table.get(name, "") for name in vocabulary.ids))


def check_gene2vec(path: FilePath, config: ScLongConfig) -> None:
    """Refuse initial gene vectors that are not of this model.

    Raises:
        CheckpointError: not an npy file of numbers, or of another shape than (genes, dim).
    """
    try:
        vectors = read_array(path, "an npy file of numbers")
    except InputError as error:
        raise CheckpointError(str(error)) from error
    if vectors.shape != (config.genes, config.dim):
        raise CheckpointError(
            f"{path} has shape {vectors.shape}, the model needs {(config.genes, config.dim)}"
        )


def _read_symbols(path: Path) -> dict[str, str]:
    """Ensembl id to symbol; a header, empty symbols and ids without one are skipped.

    Raises:
        InputError: a line has more than two columns, or an id has two symbols.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as a table of ids and symbols: {error}") from error
    table: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        name, *rest = _SEPARATORS.split(line.strip())
        if len(rest) > 1:
            raise InputError(
                f"{path} has more than two columns in line {number}: id and symbol are needed"
            )
        symbol = rest[0] if rest else ""
        if symbol and table.setdefault(without_version(name), symbol) != symbol:
            raise InputError(f"{path} gives {name} two symbols (line {number})")
    return table
