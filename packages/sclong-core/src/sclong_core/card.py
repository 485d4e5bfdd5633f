"""The card of a model, and the README of a checkpoint folder.

A card says what a model was trained on, how it was judged, and what it must not be used for.

``card.json`` stands beside the files of a checkpoint and names the digest of that checkpoint, so
that a card is never read beside weights that it does not describe.
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from sclong_core.errors import CheckpointError
from sclong_core.files import atomic_file, read_json
from sclong_core.manifest import CheckpointInfo

CARD_FILE = "card.json"
README_FILE = "README.md"
_README = """\
---
library_name: sclong
tags: [single-cell, transcriptomics]
---

# A checkpoint of scLong

```bash
pip install sclong-core
sclong embed cells.h5ad --checkpoint FOLDER -o embedded.h5ad   # FOLDER: where this file is
sclong info FOLDER                                             # verifies every file first
```

```python
from sclong_core import ScLong

model = ScLong.from_pretrained("FOLDER")
adata.obsm["X_sclong"] = model.embed(adata)
```

"""
"""Begins every README that is written here, and tells it from one that a person wrote."""


@dataclass(frozen=True)
class CardSource:
    """One source of the cells that a model was trained on."""

    dataset: str
    study: str
    licence: str
    """Of the repository that publishes the file; the terms of the original data may differ."""
    tissue: str
    cells: int
    """After the harmoniser's rules."""
    repository: str
    commit: str


@dataclass(frozen=True)
class CardScore:
    """How a model and the simple methods beside it were judged on one data set."""

    data: str
    """Name of a data set that the model never saw, or ``mean`` over all."""
    measure: str
    value: float
    """Of the model that ships."""
    low: float | None
    """End of the 95 % interval over cells; None for a mean over data sets."""
    high: float | None
    beside: Mapping[str, float]
    """The same of other methods, by name."""


@dataclass(frozen=True)
class ModelCard:
    """All that a person should know before using a model."""

    name: str
    checkpoint: str
    """Digest of the checkpoint that the card describes."""
    licence: str
    summary: str
    visits: int
    """Cells seen in training, repeats included."""
    not_for: tuple[str, ...]
    """What it must not be used for."""
    findings: tuple[str, ...]
    """What judging found, the bars that were missed among it."""
    sources: tuple[CardSource, ...]
    scores: tuple[CardScore, ...]

    @property
    def cells(self) -> int:
        """Different cells that the model was trained on."""
        return sum(source.cells for source in self.sources)

    @property
    def tissues(self) -> Mapping[str, int]:
        """Cells by tissue, the most first."""
        counted: Counter[str] = Counter()
        for source in self.sources:
            counted[source.tissue] += source.cells
        return dict(counted.most_common())


def read_card(folder: str | PathLike[str], *, checkpoint: str) -> ModelCard | None:
    """The card of a checkpoint folder; None where it has none.

    Args:
        folder: of the checkpoint.
        checkpoint: digest of that checkpoint.

    Raises:
        CheckpointError: the card is damaged, or describes another checkpoint.
    """
    path = Path(folder) / CARD_FILE
    if not path.is_file():
        return None
    try:
        content: dict[str, Any] = read_json(path)
        card = ModelCard(
            **{
                **content,
                "not_for": tuple(map(str, content["not_for"])),
                "findings": tuple(map(str, content["findings"])),
                "sources": tuple(CardSource(**one) for one in content["sources"]),
                "scores": tuple(CardScore(**one) for one in content["scores"]),
            }
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{path} is not a model card: {error}") from error
    if card.checkpoint != checkpoint:
        raise CheckpointError(
            f"{path} describes the checkpoint {card.checkpoint[:12]}, not {checkpoint[:12]}: copy "
            "the whole folder again"
        )
    return card


def card_content(card: ModelCard) -> dict[str, Any]:
    """What ``card.json`` holds: plain JSON values."""
    return dataclasses.asdict(card)


def write_readme(info: CheckpointInfo) -> None:
    """Write a README into a checkpoint folder: what it is, and how it is used.

    Nothing reads it, and the digest of the checkpoint does not depend on it.
    """
    config = info.config
    if config.student is not None:
        sizes = {"genes": f"{config.genes:,}", "width of a cell": str(config.student.width)}
    else:
        high = f"{config.genes:,}, of which {config.high_genes:,} in the large encoder"
        sizes = {"genes": high, "width of a gene": str(config.dim)}
    facts = {
        "digest": f"`{info.digest}`",
        **sizes,
        "input": config.input.describe(),
        "kind": str(info.origin.get("kind", "")) or "not recorded",
        "written by": f"sclong-core {info.sclong_version}",
    }
    lines = ["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in facts.items())]
    with atomic_file(info.folder / README_FILE) as temporary:
        temporary.write_text(_README + "\n".join(lines) + "\n", encoding="utf-8")


def is_own_readme(path: Path) -> bool:
    """Whether a README was written by :func:`write_readme`, so that it may be replaced."""
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_README)) == _README.encode()
