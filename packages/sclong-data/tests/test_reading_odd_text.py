"""Tables and 10x folders as people save them: the same numbers as the plain file, or one line."""

import gzip

import numpy as np
import pytest
from scipy import sparse

from sclong_core.errors import InputError
from sclong_data.dataset_manifest import DatasetEntry
from sclong_data.reading import open_dataset

GENES = tuple(f"ENSG{number:011d}" for number in range(1, 31))
SYMBOLS = tuple(f"ZNF{number}" for number in range(1, 31))
CELLS = tuple(f"cell{number}" for number in range(6))
COUNTS = np.random.default_rng(0).poisson(2.0, (len(CELLS), len(GENES)))
ENTRY = DatasetEntry("set", location="unused")


def opened(path, tmp_path):
    """Cells, genes and values of a data set."""
    with open_dataset(ENTRY, path, tmp_path / "scratch") as source:
        rows = source.read_rows(0, source.n_cells)
        values = rows.toarray() if sparse.issparse(rows) else np.asarray(rows)
        return list(source.obs.index), source.var, values


def table(sep=",", corner="gene", end="\n", cells=CELLS, *, by_genes=True, number=str, tail=""):
    columns, rows, values = (cells, GENES, COUNTS.T) if by_genes else (GENES, cells, COUNTS)
    lines = [sep.join([*([] if corner is None else [corner]), *columns]) + tail]
    lines += [
        sep.join([name, *map(number, row)]) + tail for name, row in zip(rows, values, strict=True)
    ]
    return (end.join(lines) + end).encode()


COUNTED = [str(number) for number in range(1, 7)]
READ = {
    "byte order mark": (b"\xef\xbb\xbf" + table(), CELLS),
    "byte order mark, no corner": (b"\xef\xbb\xbf" + table(corner=None), CELLS),
    "byte order mark, cells by genes": (
        b"\xef\xbb\xbf" + table(corner=None, by_genes=False),
        CELLS,
    ),
    "line ends of Windows": (table(end="\r\n"), CELLS),
    "semicolons": (table(sep=";"), CELLS),
    "tabs, names with spaces": (
        table(sep="\t", cells=[f"T cell {name}" for name in CELLS]),
        [f"T cell {name}" for name in CELLS],
    ),
    "a comma at the end": (table(tail=","), CELLS),
    "cells 1 to n": (table(corner="", cells=COUNTED), COUNTED),
    "cells 0 to n": (table(corner="gene", cells=["0", *COUNTED[:-1]]), ["0", *COUNTED[:-1]]),
    "quoted numbers": (table(number=lambda value: f'"{value}"'), CELLS),
    "with a point": (table(number=lambda value: f"{value}.0"), CELLS),
    "scientific": (table(number=lambda value: f"{value:.6e}"), CELLS),
    "blank lines": (b"\n" + table().replace(b"\n", b"\n\n"), CELLS),
}


def r_table(sep, *, corner):
    """As R's write.table writes it: every name quoted, nothing above the names of the rows."""
    quote = '"'
    head = [f"{quote}{name}{quote}" for name in CELLS]
    lines = [sep.join([*([quote + quote] if corner else []), *head])]
    lines += [
        sep.join([f"{quote}{gene}{quote}", *map(str, row)])
        for gene, row in zip(GENES, COUNTS.T, strict=True)
    ]
    return ("\n".join(lines) + "\n").encode()


READ |= {
    f"R's write.table, {sep!r}, {corner}": (r_table(sep, corner=corner), CELLS)
    for sep in " \t,;"
    for corner in (False, True)
}


@pytest.mark.parametrize(("content", "cells"), READ.values(), ids=list(READ))
@pytest.mark.parametrize("packed", [False, True])
def test_a_table_as_people_save_it_gives_the_same_numbers(tmp_path, content, cells, packed):
    path = tmp_path / ("counts.csv.gz" if packed else "counts.txt")
    path.write_bytes(gzip.compress(content) if packed else content)
    found, var, values = opened(path, tmp_path)
    assert found == list(cells)
    assert list(var.index) == list(GENES)
    np.testing.assert_array_equal(values, COUNTS)


REFUSED = {
    "decimal commas": (table(sep=";", number=lambda value: f"{value},0"), "point for decimals"),
    "thousands": (table(number=lambda value: f'"{value},000"'), "nothing between thousands"),
    "thousands with a gap": (table(sep="\t", number=lambda n: f"{n} 000"), "between thousands"),
    "underscores": (table(number=lambda value: f"{value}_0"), "not a finite number"),
    "other digits": (table(number=lambda n: f"{n}\u0663"), "not a finite number"),
    "gaps": (table(number=lambda value: str(value or "")), "empty is not a finite number"),
    "words": (table(number=lambda value: "NA" if value == 0 else str(value)), "'NA'"),
    "old Macintosh": (table(end="\r"), "no table"),
    "UTF-16": (table().decode().encode("utf-16"), "not UTF-8"),
    "a comma at the end of the rows": (
        b"\n".join(
            line + (b"," if number else b"") for number, line in enumerate(table().split(b"\n"))
        ),
        "empty is not a finite number",
    ),
    "no line of names": (b"\n".join(table().split(b"\n")[1:]), "where names belong|damaged"),
    "a column of symbols": (
        b"\n".join(line.replace(b",", b",ZNF1,", 1) for line in table().split(b"\n")),
        "'ZNF1' is not a finite number",
    ),
}


@pytest.mark.parametrize(("content", "message"), REFUSED.values(), ids=list(REFUSED))
def test_a_table_that_could_mean_something_else_is_refused(tmp_path, content, message):
    (tmp_path / "counts.csv").write_bytes(content)
    with pytest.raises(InputError, match=message):
        opened(tmp_path / "counts.csv", tmp_path)


def write_tenx(folder, *, features=None, barcodes=None, prefix="", packed=False, **how):
    folder.mkdir()
    number, head, end = how.get("number", str), how.get("head", ""), how.get("end", "\n")
    cells, genes = np.nonzero(COUNTS)
    lines = [
        f"{number(gene + 1)} {number(cell + 1)} {COUNTS[cell, gene]}"
        for cell, gene in zip(cells, genes, strict=True)
    ]
    first = "%%MatrixMarket matrix coordinate integer general\n"
    size = f"{len(GENES)} {len(CELLS)} {len(lines)}\n"
    contents = {
        how.get("matrix", "matrix.mtx"): first + head + size + "\n".join(lines) + "\n",
        "genes.tsv": features or plain_features(),
        "barcodes.tsv": barcodes or plain_barcodes(),
    }
    for name, text in contents.items():
        content = how.get("mark", "").encode() + text.replace("\n", end).encode()
        place = folder / f"{prefix}{name}{'.gz' if packed else ''}"
        place.write_bytes(gzip.compress(content) if packed else content)
    return folder


def plain_features(quote="", *, numbered=False):
    rows = zip(range(1, 31), GENES, SYMBOLS, strict=True)
    return "".join(
        "\t".join(f"{quote}{cell}{quote}" for cell in (row if numbered else row[1:])) + "\n"
        for row in rows
    )


def plain_barcodes(quote="", *, numbered=False):
    return "".join(
        (f"{quote}{number}{quote}\t" if numbered else "") + f"{quote}{cell}{quote}\n"
        for number, cell in enumerate(CELLS, 1)
    )


FOLDERS = {
    "plain": {},
    "line ends of Windows": {"end": "\r\n"},
    "byte order mark": {"mark": "\ufeff"},
    "quotes": {"features": plain_features('"'), "barcodes": plain_barcodes('"')},
    "row numbers": {
        "features": plain_features('"', numbered=True),
        "barcodes": plain_barcodes('"', numbered=True),
    },
    "blank lines": {"features": plain_features() + "\n\n", "barcodes": "\n" + plain_barcodes()},
    "exponents": {"number": lambda number: "1e+01" if number == 10 else str(number)},
    "comments": {"head": '%metadata_json: {"a": 1}\n%\n'},
    "packed": {"packed": True},
}


@pytest.mark.parametrize("how", FOLDERS.values(), ids=list(FOLDERS))
def test_a_folder_as_people_save_it_gives_the_same_numbers(tmp_path, how):
    found, var, values = opened(write_tenx(tmp_path / "set", **how), tmp_path)
    assert found == list(CELLS)
    assert list(var["gene_ids"]) == list(GENES)
    assert list(var.index) == list(SYMBOLS)
    np.testing.assert_array_equal(values, COUNTS)


@pytest.mark.parametrize(
    ("prefix", "matrix"),
    [("GSM1_S1_", "matrix.mtx"), ("GSM1_", "counts.mtx"), ("", "counts.mtx"), ("a.", "UMI.mtx")],
)
@pytest.mark.parametrize("packed", [False, True])
def test_files_of_a_matrix_are_found_by_their_prefix(tmp_path, prefix, matrix, packed):
    folder = write_tenx(tmp_path / "set", prefix=prefix, matrix=matrix, packed=packed)
    path = folder / f"{prefix}{matrix}{'.gz' if packed else ''}"
    np.testing.assert_array_equal(opened(path, tmp_path)[2], COUNTS)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"features": "gene\tsymbol\n" + plain_features()}, r"genes\.tsv \('gene.tsymbol'\)"),
        ({"barcodes": "x\n" + plain_barcodes()}, r"barcodes\.tsv \('x'\) seems to be a header"),
        ({"barcodes": '"x"\n' + plain_barcodes('"', numbered=True)}, "seems to be a header"),
        (
            {"features": "a\tb\n" + plain_features(), "barcodes": "x\n" + plain_barcodes()},
            "genes.tsv and of barcodes.tsv",
        ),
        ({"features": plain_features() * 2}, "not one set"),
        ({"number": lambda number: f"{number}.5"}, "not a whole number"),
        ({"number": lambda number: f"{number}e"}, "not a row, a column and a value"),
    ],
)
def test_files_that_do_not_fit_are_refused_with_the_reason(tmp_path, how, message):
    with pytest.raises(InputError, match=message):
        opened(write_tenx(tmp_path / "set", **how), tmp_path)
