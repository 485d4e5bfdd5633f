"""Names of human genes: Ensembl id, symbol, and the symbols of earlier days and other names.

The table is HGNC's (CC0), see ``human_genes.md``; :mod:`sclong_data.genes.name_table` builds it.
"""

import lzma
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, cached_property
from importlib.resources import files

from sclong_core.errors import InputError
from sclong_core.vocabulary import GeneVocabulary, plain_id

FILE = "human_genes.tsv.xz"
HEADER = "ensembl_gene_id\tsymbol\tprevious\talias"
_FRAME = re.compile(r"(C(?:\d+|X|Y))ORF(\d+)")
"""Open reading frames are ``C1orf43``: whoever writes all symbols in capitals means these."""

_SYMBOLS = 0.1

Row = tuple[str, str, Sequence[str], Sequence[str]]


class HumanGenes:
    """What names of human genes mean; see :func:`human_genes`.

    An approved symbol is its gene and nothing else, even where HGNC knows no Ensembl id of it.
    Other names are earlier symbols and aliases; one that stands for several genes is never guessed.

    Args:
        rows: of each gene its Ensembl id (empty where there is none), its symbol, its earlier
            symbols and its aliases.
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        self._approved: dict[str, str] = {}
        self._symbols: dict[str, str] = {}
        other: dict[str, set[str]] = {}
        for gene, symbol, previous, aliases in rows:
            self._approved[symbol] = gene
            if gene:
                self._symbols[gene] = symbol
                for name in (*previous, *aliases):
                    other.setdefault(name, set()).add(gene)
        self._other = {
            name: next(iter(found)) if len(found) == 1 else ""
            for name, found in other.items()
            if name not in self._approved
        }

    def __len__(self) -> int:
        """Number of genes with an Ensembl id."""
        return len(self._symbols)

    @property
    def symbols(self) -> Mapping[str, str]:
        """The approved symbol of each Ensembl id."""
        return self._symbols

    def knows(self, name: str) -> bool:
        """Whether a name is an approved symbol, an earlier symbol or an alias of any gene."""
        name = _frame(name)
        return name in self._approved or name in self._other

    def by_symbol(self, name: str) -> str | None:
        """The Ensembl id of an approved symbol; None where it is none, or has no id."""
        return self._approved.get(_frame(name)) or None

    def by_other_name(self, name: str) -> str | None:
        """The Ensembl id of the one gene that has an earlier symbol or alias; else None."""
        return self._other.get(_frame(name)) or None

    def names_of(self, gene: str) -> tuple[str, ...]:
        """All names that mean this gene alone, its approved symbol first; none if it is unknown."""
        if gene not in self._symbols:
            return ()
        return (self._symbols[gene], *self._other_names.get(gene, ()))

    @cached_property
    def _other_names(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, gene in self._other.items():
            if gene:
                found.setdefault(gene, []).append(name)
        return found


def _frame(name: str) -> str:
    found = _FRAME.fullmatch(name)
    return f"{found.group(1)}orf{found.group(2)}" if found else name


def packed_table(file: str, header: str) -> tuple[bytes, list[list[str]]]:
    """A table that this package ships: the bytes of its file, and its rows without the header.

    Raises:
        InputError: it has another header.
    """
    packed = files("sclong_core").joinpath(file).read_bytes()
    lines = lzma.decompress(packed).decode("utf-8").splitlines()
    if not lines or lines[0] != header:
        raise InputError(f"{file} of sclong-core is damaged: install sclong-core again")
    return packed, [line.split("\t") for line in lines[1:]]


@cache
def human_genes() -> HumanGenes:
    """The table that this package ships."""
    _, rows = packed_table(FILE, HEADER)
    return HumanGenes((gene, symbol, _names(old), _names(also)) for gene, symbol, old, also in rows)


def _names(cell: str) -> list[str]:
    return cell.split("|") if cell else []


def with_symbols(vocabulary: GeneVocabulary) -> GeneVocabulary:
    """The vocabulary with HGNC's symbols for human Ensembl ids that had none.

    Ids and their order, and so its digest, stay. Symbols that are there stay, and none is given to
    two genes.
    """
    known = human_genes().symbols
    proposed = [
        own or known.get(gene, "")
        for gene, own in zip(vocabulary.ids, vocabulary.symbols, strict=True)
    ]
    often = Counter(proposed)
    symbols = (
        own or (symbol if often[symbol] == 1 else "")
        for own, symbol in zip(vocabulary.symbols, proposed, strict=True)
    )
    return GeneVocabulary(vocabulary.ids, tuple(symbols))


def vocabulary_of_symbols(names: Sequence[str]) -> tuple[GeneVocabulary, tuple[str, ...]] | None:
    """A vocabulary of the genes that symbols stand for, and the names that stand for none.

    Ensembl ids among the symbols stay.

    Args:
        names: of genes.

    Returns:
        None where the names are not those of human genes: less than a tenth are approved symbols,
        or more are so only when written in capitals.
    """
    genes = human_genes()
    found = {name: _id_of(name) for name in names}
    known = sum(gene is not None for gene in found.values())
    if known < _SYMBOLS * len(found) or known < len(symbols_of_other_species(names)):
        return None
    ids = {gene: name for name, gene in found.items() if gene is not None}
    for name in names:
        gene = genes.by_other_name(name) if found[name] is None else None
        if gene is not None and gene not in ids:
            ids[gene] = name
    order = {name: place for place, name in enumerate(names)}
    chosen = sorted(ids.items(), key=lambda pair: order[pair[1]])
    vocabulary = GeneVocabulary(
        tuple(gene for gene, _ in chosen), tuple(genes.symbols.get(gene, "") for gene, _ in chosen)
    )
    held = {name for _, name in chosen}
    return vocabulary, tuple(name for name in names if name not in held)


def symbols_of_other_species(names: Iterable[str]) -> tuple[str, ...]:
    """Names that are symbols of human genes only once they stand in capitals, as ``Cd3e`` is."""
    genes = human_genes()
    return tuple(
        name
        for name in dict.fromkeys(names)
        if genes.by_symbol(name) is None and genes.by_symbol(name.upper()) is not None
    )


def _id_of(name: str) -> str | None:
    """The Ensembl id that a name is, or that it is the approved symbol of."""
    return plain_id(name) if name.startswith("ENS") else human_genes().by_symbol(name)
