"""Lists of marker genes by cell type: ScType's, Pegasus's, the paper's, and a user's own.

ScType publishes a workbook. It is opened with bounds: what unpacks to more than a list of genes
can need is refused, and no external link, macro or entity is followed.
"""

import json
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from sclong_core.errors import InputError
from sclong_tasks.marker_clustering.config import MarkerSettings

Lists = dict[str, list[str]]
SCTYPE, PEGASUS = "ScTypeDB_full.xlsx", "pegasus_human_immune_cell_markers.json"
_LARGEST = 32 * 1024**2
_COLUMNS = ("tissueType", "cellName", "geneSymbolmore1")
_CD3, _CD8 = ("CD3D", "CD3E", "CD3G"), ("CD8A", "CD8B")
_CD4 = ("CD4", "FOXP3", "IL2RA", "IL7R", *_CD3)

PAPER: Mapping[str, tuple[str, ...]] = {
    "CD8+ Cytotoxic T": (*_CD8, *_CD3),
    "CD8+/CD45RA+ Naive Cytotoxic": _CD8,
    "CD4+/CD25 T Reg": _CD4,
    "CD4+/CD45RO+ Memory": _CD4,
    "CD4+/CD45RA+/CD25- Naive T": _CD4,
    "CD4+ T Helper2": _CD4,
    "CD19+ B": (
        "CD19", "MS4A1", "CD79A", "CD37", "CD74", "CD79B", "HLA-DPA1", "HLA-DRA",
    ),
    "CD56+ NK": (
        "NCAM1", "FCGR3A", "CLIC3", "CST7", "FGFBP2", "GNLY", "GZMA", "GZMB", "HOPX", "IFITM2",
        "KLRB1", "NKG7", "PRF1",
    ),
    "CD34+": ("CD34", "THY1", "ENG", "KIT", "PROM1"),
    "Dendritic": ("IL3RA", "CD1C", "BATF3", "THBD", "CD209"),
    "CD14+ Monocyte": (
        "CD14", "FCGR1A", "CD68", "S100A12", "AIF1", "CST3", "FCN1", "FTH1", "FTL", "GPX1", "LST1",
        "LYZ", "S100A8", "S100A9", "TYMP",
    ),
}  # fmt: skip
"""Markers and signature genes of the paper's figures, by Zheng68K's names of cell types."""

NAMES: Mapping[str, Mapping[str, str]] = {
    "sctype": {
        "CD8+ Cytotoxic T": "Effector CD8+ T cells",
        "CD8+/CD45RA+ Naive Cytotoxic": "Naive CD8+ T cells",
        "CD4+/CD45RO+ Memory": "Memory CD4+ T cells",
        "CD4+/CD45RA+/CD25- Naive T": "Naive CD4+ T cells",
        "CD4+ T Helper2": "Effector CD4+ T cells",
        "CD19+ B": "Naive B cells",
        "CD56+ NK": "Natural killer cells",
        "CD34+": "HSC/MPP cells",
        "Dendritic": "Myeloid Dendritic cells",
        "CD14+ Monocyte": "Classical Monocytes",
        "T_CD4": "Memory CD4+ T cells",
        "T_CD8": "Effector CD8+ T cells",
        "B": "Naive B cells",
        "NK": "Natural killer cells",
        "DC": "Myeloid Dendritic cells",
        "Mono_CD14": "Classical Monocytes",
        "Mono_CD16": "Non-classical monocytes",
        "MK": "Platelets",
        "HSC": "HSC/MPP cells",
    },
    "pegasus": {
        "CD8+ Cytotoxic T": "CD8 TEM",
        "CD8+/CD45RA+ Naive Cytotoxic": "CD8 Naive T cell",
        "CD4+/CD25 T Reg": "T regulatory cell",
        "CD4+/CD45RO+ Memory": "CD4 TCM",
        "CD4+/CD45RA+/CD25- Naive T": "CD4 Naive T cell",
        "CD19+ B": "B cell",
        "CD56+ NK": "Natural killer cell",
        "CD34+": "Hematopoietic stem cell",
        "Dendritic": "CD1C+ dendritic cell",
        "CD14+ Monocyte": "CD14+ Monocyte",
        "T_CD4": "CD4 TCM",
        "T_CD8": "CD8 TEM",
        "B": "B cell",
        "NK": "Natural killer cell",
        "DC": "CD1C+ dendritic cell",
        "Mono_CD14": "CD14+ Monocyte",
        "Mono_CD16": "CD16+ Monocyte",
        "MK": "Platelet",
        "HSC": "Hematopoietic stem cell",
    },
    "paper": {
        "T_CD4": "CD4+/CD45RO+ Memory",
        "T_CD8": "CD8+ Cytotoxic T",
        "B": "CD19+ B",
        "NK": "CD56+ NK",
        "DC": "Dendritic",
        "Mono_CD14": "CD14+ Monocyte",
        "HSC": "CD34+",
    },
}
"""Names of cell types in Zheng68K and in Symphony's PBMC, and in each list."""


def read_sctype(path: Path) -> dict[str, Lists]:
    """Positive markers by tissue and cell type of ScType's workbook.

    Raises:
        InputError: it is not such a workbook, is too large, or lacks a column.
    """
    table = _workbook(path)
    missing = [name for name in _COLUMNS if name not in table]
    if missing:
        raise InputError(f"{path} has no column {', '.join(missing)}")
    found: dict[str, Lists] = {}
    for tissue, kind, genes in table[list(_COLUMNS)].itertuples(index=False):
        names = _unique(str(genes).split(","))
        if str(kind).strip() and names:
            lists = found.setdefault(_plain(tissue), {})
            lists[_plain(kind)] = _unique([*lists.get(_plain(kind), []), *names])
    return found


def read_pegasus(path: Path) -> Lists:
    """Positive markers by cell type of Pegasus's file, subtypes too.

    Raises:
        InputError: it is not such a file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found: Lists = {}
        waiting: list[Any] = list(content["cell_types"])
        while waiting:
            kind = waiting.pop(0)
            genes = [gene for group in kind["markers"] for gene in group["genes"]]
            found[_plain(kind["name"])] = _unique([g[:-1] for g in genes if g.endswith("+")])
            waiting += kind.get("subtypes", {}).get("cell_types", [])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is not a list of markers by Pegasus: {error!r}") from error
    return found


def read_table(path: Path) -> Lists:
    """A user's list: a table with columns ``cell_type`` and ``gene``.

    Raises:
        InputError: a column is missing, or a line is empty.
    """
    try:
        table = pd.read_csv(
            path, sep="\t" if path.suffix == ".tsv" else ",", dtype=str, keep_default_na=False
        )
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    if not {"cell_type", "gene"} <= set(table) or table.empty:
        raise InputError(f"{path} needs lines and the columns cell_type and gene")
    found: Lists = {}
    for line, (kind, gene) in enumerate(table[["cell_type", "gene"]].itertuples(index=False), 2):
        if not kind.strip() or not gene.strip():
            raise InputError(f"{path}, line {line}: cell_type and gene must be given")
        found.setdefault(_plain(kind), []).append(gene.strip())
    return {kind: _unique(genes) for kind, genes in found.items()}


def choose_lists(prepared: Mapping[str, Any], settings: MarkerSettings) -> Lists:
    """The lists that the settings name.

    Args:
        prepared: "sctype" by tissue and "pegasus", as far as they were given.
        settings: which.

    Raises:
        InputError: they were not given, or have no such tissue.
    """
    if settings.markers == "paper":
        return {kind: list(genes) for kind, genes in PAPER.items()}
    if settings.markers not in NAMES:
        return read_table(Path(settings.markers))
    if settings.markers not in prepared:
        file = SCTYPE if settings.markers == "sctype" else PEGASUS
        raise InputError(
            f"the data were prepared without {file}: give it, or take task.markers=paper"
        )
    found: Any = prepared[settings.markers]
    if settings.markers == "sctype":
        if settings.tissue not in found:
            raise InputError(
                f"ScType has no tissue {settings.tissue!r}: it has {', '.join(sorted(found))}"
            )
        found = found[settings.tissue]
    return dict(found)


def list_name(cell_type: str, settings: MarkerSettings) -> str:
    """What the chosen list calls a cell type of the data."""
    known = NAMES.get(settings.markers, {})
    return settings.names.get(cell_type, known.get(cell_type, cell_type))


def _workbook(path: Path) -> pd.DataFrame:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is not a workbook: {error}") from error
    if size > _LARGEST:
        raise InputError(f"{path} unpacks to {size:,} bytes: that is not a list of markers")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and extensions, which are not read
            return pd.read_excel(path, engine="openpyxl", dtype=str, keep_default_na=False)
    except Exception as error:  # whatever the reader says of a damaged workbook
        raise InputError(f"{path} is not a readable workbook: {error}") from error


def _plain(name: Any) -> str:
    return " ".join(str(name).split())


def _unique(names: list[str]) -> list[str]:
    return list(dict.fromkeys(name.strip() for name in names if name.strip()))
