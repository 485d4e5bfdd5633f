"""Which axis of a table of text holds the genes."""

import re
from collections.abc import Collection, Sequence
from typing import Literal

from sclong_core.errors import InputError

Layout = Literal["cells-by-genes", "genes-by-cells"]
GENES_AXIS: tuple[Layout, Layout] = ("cells-by-genes", "genes-by-cells")
"""What a manifest's ``matrix`` may say of a table of text."""

_ENSEMBL = re.compile(r"ENS[A-Z]*G\d{9,}(\.\d+)?")
_FAMILIES = re.compile(
    r"(RP[LS]\d+[AXYL]?\d*|MRP[LS]\d+|MT-?(ND\d|CO\d|CYB|ATP\d)\w*|HLA-[A-Z]+\d*|ZNF\d+|ZFP\d+"
    r"|SLC\d+[A-Z]+\d+\w*|TMEM\d+[A-Z]?|CCDC\d+[A-Z]?|FAM\d+[A-Z]\d*|KRT\d+[A-Z]?|COL\d+A\d+"
    r"|SOX\d+|FOX[A-Z]\d+[A-Z]?|HOX[ABCD]\d+|GATA[1-6]|STAT\d[AB]?|KLF\d+|LHX\d|NKX\d-\d+|PAX\d"
    r"|TBX\d+|IRF\d|MAP\d?K\d+|MAPK\d+|IL\d+R?[A-Z]?\d?|CXC[LR]\d+|CC[LR]\d+|CD\d+[A-Z]?|FGF\d+"
    r"|WNT\d+[AB]?|NOTCH\d|SMAD\d|CDK\d+|CCN[A-K]\d?|HSP[A-H]\w+|HIST\dH\w+|ATP\d+[A-Z]\w*"
    r"|NDUF[ABCSV]\w+|COX\d+\w*|PSM[A-G]\d+|EIF\d\w+|POLR\d\w|TUB[ABG]\w+|MYL\d+\w?|ACT[ABCGN]\d*"
    r"|GAPDH|B2M|MALAT1|VIM|TP53|EGFR|MYC|PTPRC|EPCAM|ALB|NANOG|POU5F1|LIN28[AB])"
)
_ENOUGH = 3
_SHARE = 0.04
_CLEAR = 5


def find_layout(
    columns: Sequence[str],
    rows: Sequence[str],
    name: str,
    known_genes: Collection[str] = (),
) -> Layout:
    """Which way round a table is, by which of its axes is named by genes.

    A name is one of a gene if it is an Ensembl id, a symbol of one of the large gene families
    (capitals make no difference), or known. One axis must have clearly more of them than the
    other.

    Args:
        columns: names of the columns.
        rows: names of the rows, or the first of them.
        name: of the file, for messages.
        known_genes: ids and symbols.

    Raises:
        InputError: it is not clear.
    """
    by_column, by_row = _share(columns, known_genes), _share(rows, known_genes)
    if by_column > _SHARE and by_column > _CLEAR * by_row:
        return "cells-by-genes"
    if by_row > _SHARE and by_row > _CLEAR * by_column:
        return "genes-by-cells"
    lacking = "both" if min(by_column, by_row) > _SHARE else "neither"
    raise InputError(
        f"{name}: {lacking} of its axes is clearly named by genes (columns: {_some(columns)}; "
        f"rows: {_some(rows)}): say in the manifest's column matrix which way round it is, "
        f"{GENES_AXIS[0]} or {GENES_AXIS[1]}"
    )


def looks_like_a_gene(name: str) -> bool:
    """Whether a name is an Ensembl id, or a symbol of one of the large gene families."""
    plain = name.strip().upper()
    return _ENSEMBL.fullmatch(plain) is not None or _FAMILIES.fullmatch(plain) is not None


def _share(names: Sequence[str], known_genes: Collection[str]) -> float:
    """Share of names that are surely genes; 0 where they are fewer than three."""
    found = sum(
        name in known_genes
        or _ENSEMBL.fullmatch(name) is not None
        or _FAMILIES.fullmatch(name.upper()) is not None
        for name in names
    )
    return found / len(names) if found >= _ENOUGH else 0.0


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(name[:30] for name in names[:3])
    return shown + (", ..." if len(names) > 3 else "")
