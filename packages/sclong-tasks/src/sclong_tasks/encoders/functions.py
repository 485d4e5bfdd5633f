"""Encoders that are a function of somebody else's: from a file of yours, or an installed package.

Such an encoder is a function of an AnnData that returns one row of numbers a cell, or an object (or
a class, which is called without arguments) with ``cells(adata)``, with ``genes(names)``, or with
both. X of the AnnData holds natural log1p values, and the layer "values" the data as they are, on
the scale that ``uns["scale"]`` names: counts, tpm, log2 or log1p.

Code is run only where a user names it: on the command line, in a suite, or by installing it. What
a folder of results says is never run.
"""

import importlib.util
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sclong_core.errors import ConfigError, InputError, ScLongError
from sclong_core.files import sha256_file
from sclong_tasks.cache import ContentCache, digest_of
from sclong_tasks.encoders.names import installed_functions
from sclong_tasks.encoders.protocol import Coverage, ExpressionTable, Representation

_VERSION = 1
_IN_FILE = re.compile(r"(?P<path>.+\.py):(?P<name>[A-Za-z_]\w*)")
Values = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class EncoderFunction:
    """An encoder of somebody else's, loaded."""

    source: str
    """"FILE.py:function", as it was named; or the name of an installed one."""
    cells: Callable[[Any], Any] | None
    """From an AnnData to ``(cells, width)``."""
    genes: Callable[[list[str]], Any] | None
    """From names of genes to ``(genes, width)``."""
    identity: dict[str, str] = field(default_factory=dict)
    """The SHA-256 of the file, or the package and its version: for digests and records."""


def names_function(word: str) -> bool:
    """Whether a word is a function in a file, "FILE.py:function"."""
    return _IN_FILE.fullmatch(word) is not None


def read_function(word: str) -> EncoderFunction:
    """Run a file of Python and take an encoder from it.

    Args:
        word: "FILE.py:function".

    Raises:
        ConfigError: no such file or function, it is not an encoder, or the file raises.
    """
    found = _IN_FILE.fullmatch(word)
    if found is None:
        raise ConfigError(f"{word!r} is not a function in a file: write FILE.py:FUNCTION")
    path, name = Path(found["path"]), found["name"]
    if not path.is_file():
        raise ConfigError(f"{path} is not a file: {word} names a function in a file of Python")
    identity = {"sha256": sha256_file(path)}
    module = _run(path, identity["sha256"])
    if not hasattr(module, name):
        there = [one for one, value in vars(module).items() if _is_own(value, module)]
        listed = f": it has {', '.join(there)}" if there else ""
        raise ConfigError(f"{path} does not define {name}{listed}")
    return _encoder(word, getattr(module, name), identity)


def installed_function(name: str) -> EncoderFunction:
    """The encoder of this name that a package installs.

    Raises:
        ConfigError: it cannot be imported, or is not an encoder.
    """
    entry = installed_functions()[name]
    try:
        found = entry.load()
    except Exception as error:  # of any kind: the code is somebody else's
        raise ConfigError(f"{name} ({entry.value}) cannot be imported: {_said(error)}") from error
    package = "" if entry.dist is None else entry.dist.name
    number = version(package) if package else ""
    return _encoder(name, found, {"package": package, "version": number, "target": entry.value})


@dataclass(frozen=True, eq=False)
class FunctionEncoder:
    """Representations by such a function, checked.

    Args:
        function: what is called.
        name: of the encoder, for messages and records.
        cache: where they are kept under the identity of the function and the digest of the cells.
    """

    function: EncoderFunction
    name: str
    cache: ContentCache

    def cells(self, expression: ExpressionTable) -> Representation:
        """``(cells, width)``.

        Raises:
            InputError: the function raises, or returns something else.
        """
        call = self.function.cells
        if call is None:
            raise InputError(
                f"{self.function.source} gives no vectors of cells, which this task needs: give "
                "it a function of an AnnData, or a method cells(adata)"
            )

        def compute() -> dict[str, Values]:
            adata = expression.anndata()
            adata.layers["values"] = expression.values.copy()
            adata.uns["scale"] = expression.scale
            return {"cells": self._checked(call, adata, len(expression.cells), "cell")}

        key = {"what": "function", "version": _VERSION, "source": self._name_in_file}
        key.update(self.function.identity, cells=expression.digest)
        values = self.cache.arrays(key, compute)["cells"]
        coverage = Coverage("cells", len(expression.cells))
        return Representation(values, expression.cells, coverage, self._facts)

    def genes(self, names: Sequence[str]) -> Representation:
        """``(genes, width)``, the same in every cell.

        Raises:
            InputError: there is no such function, it raises, or returns something else.
        """
        call = self.function.genes
        if call is None:
            raise InputError(
                f"{self.function.source} gives vectors of cells, and this task needs vectors of "
                "genes: name an object with a method genes(names)"
            )
        values = self._checked(call, list(names), len(names), "gene")
        return Representation(values, tuple(names), Coverage("genes", len(names)), self._facts)

    @property
    def _name_in_file(self) -> str:
        return self.function.source.rpartition(":")[2]

    @property
    def _facts(self) -> dict[str, Any]:
        identity = self.function.identity
        facts = {"encoder": self.name, "source": Path(self.function.source).name, **identity}
        return {**facts, "model": digest_of(facts)}

    def _checked(self, call: Callable[[Any], Any], given: Any, rows: int, what: str) -> Values:
        source = self.function.source
        try:
            found = call(given)
        except ScLongError:
            raise
        except (Exception, SystemExit) as error:  # of any kind: the code is somebody else's
            raise InputError(f"{source} raised {_said(error)}") from error
        try:
            dense = found.toarray() if hasattr(found, "toarray") else found
            dense = dense.detach().cpu().numpy() if hasattr(dense, "detach") else dense
            values = np.array(dense, dtype=np.float32)
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(
                f"{source} returned {type(found).__name__}, not an array of numbers"
            ) from error
        if values.ndim != 2 or len(values) != rows or not values.shape[1]:
            raise InputError(
                f"{source} returned an array of shape {values.shape}; expected one row a {what}: "
                f"({rows}, width)"
            )
        wrong = np.flatnonzero(~np.isfinite(values).all(1))
        if len(wrong):
            raise InputError(
                f"{source} returned NaN or infinite values for {len(wrong)} of {rows} {what}s, "
                f"the first in row {int(wrong[0])}"
            )
        return values


def _run(path: Path, digest: str) -> Any:
    """The module that a file of Python makes."""
    name = f"_sclong_plugin_{digest[:16]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses of the file look themselves up there
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)  # as if Python had been started on the file
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # of any kind: the code is the user's
        raise ConfigError(f"{path} cannot be run: {_said(error)}") from error
    finally:
        sys.path.remove(folder)
    return module


def _encoder(source: str, found: Any, identity: dict[str, str]) -> EncoderFunction:
    if isinstance(found, type):
        try:
            found = found()
        except Exception as error:  # of any kind: the code is somebody else's
            raise ConfigError(f"{source} cannot be made: {_said(error)}") from error
    cells, genes = getattr(found, "cells", None), getattr(found, "genes", None)
    if cells is None and callable(found):
        cells = found
    if not callable(cells) and not callable(genes):
        raise ConfigError(
            f"{source} is not an encoder: name a function of an AnnData, or an object with "
            "cells(adata) or genes(names)"
        )
    return EncoderFunction(
        source, cells if callable(cells) else None, genes if callable(genes) else None, identity
    )


def _is_own(value: Any, module: Any) -> bool:
    return callable(value) and getattr(value, "__module__", "") == module.__name__


def _said(error: BaseException) -> str:
    """An error in one line."""
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
