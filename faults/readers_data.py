"""Readers of sclong-data, sclong-tasks and sclong-bench: corpora, tables, archives, settings."""

import gzip
import io
import json
import tarfile
import zipfile
import zlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from faults.damage import packed_bomb
from faults.trials import Reader
from sclong_bench.results.reading import read_results
from sclong_bench.suites.suite import read_suite
from sclong_core.errors import ScLongError
from sclong_core.testing import make_counts_anndata, synthetic_gene_ids
from sclong_core.vocabulary import GeneVocabulary
from sclong_data.corpus.check import check_corpus
from sclong_data.corpus.corpus import CellCorpus
from sclong_data.dataset_manifest import DatasetEntry, Manifest
from sclong_data.fetching.archives import unpack
from sclong_data.fetching.checksums import Lock
from sclong_data.gene2vec import read_vectors
from sclong_data.genes.gencode import read_gene_list, read_gtf
from sclong_data.genes.hgnc import read_hgnc
from sclong_data.graph.ontology import GeneOntology
from sclong_data.graph.reading import read_annotations
from sclong_data.harmoniser.executors import slurm_settings
from sclong_data.harmoniser.rules import HarmoniseRules
from sclong_data.reading.opening import open_dataset
from sclong_tasks.encoders.precomputed import Precomputed
from sclong_tasks.results import FORMAT, read_metrics
from sclong_tasks.settings import read_changes
from sclong_tasks.splits import Split, make_split
from tests.support.corpora import write_made_up_corpus
from tests.support.r_files import dgc, write_rds

_CELLS, _GENES = 12, 8
_IDS = synthetic_gene_ids(_GENES)
Generator = np.random.Generator
_CODE = "a: !!python/object/apply:os.mkdir ['pwned']\n"


def _write_corpus(folder: Path) -> None:
    write_made_up_corpus(folder / "corpus", {"a.0": 12, "b.0": 8})


def _read_corpus(folder: Path) -> Any:
    checked = check_corpus(folder / "corpus")
    if checked.problems:
        raise ScLongError(str(checked.problems[0]))
    corpus = CellCorpus(folder / "corpus")
    return corpus.read(np.arange(len(corpus))).toarray().tobytes()


def _write_manifest(folder: Path) -> None:
    entries = (DatasetEntry("a", location="a.h5ad", title="A"), DatasetEntry("b", location="b.h5"))
    Manifest(entries, folder).write(folder / "manifest.tsv")


def _leave_folder(folder: Path, generator: Generator) -> None:
    path = folder / "manifest.tsv"
    outside = str(generator.choice(["../../x", "..", "a/../../b"]))
    path.write_text(path.read_text().replace("\na\t", f"\n{outside}\t", 1))


def _dataset(name: str) -> Any:
    def read(folder: Path) -> Any:
        entry = DatasetEntry("a", location=name)
        genes = frozenset(_IDS)
        with open_dataset(entry, folder / name, folder / "scratch", known_genes=genes) as source:
            rows = source.read_rows(0, len(source.obs))
            return np.asarray(rows.todense() if hasattr(rows, "todense") else rows).tobytes()

    return read


def _write_table(folder: Path) -> None:
    cells = make_counts_anndata(_CELLS, _GENES)
    frame = pd.DataFrame(cells.X.toarray().astype(int), cells.obs_names, cells.var_names)
    frame.to_csv(folder / "cells.csv")


def _write_mtx(folder: Path) -> None:
    place = folder / "tenx"
    place.mkdir()
    matrix = make_counts_anndata(_CELLS, _GENES).X.tocoo()
    lines = ["%%MatrixMarket matrix coordinate integer general"]
    lines += [f"{_GENES} {_CELLS} {matrix.nnz}"]
    lines += [
        f"{gene + 1} {cell + 1} {int(value)}"
        for cell, gene, value in zip(matrix.row, matrix.col, matrix.data, strict=True)
    ]
    (place / "matrix.mtx").write_text("\n".join(lines) + "\n")
    (place / "barcodes.tsv").write_text("".join(f"C{number}\n" for number in range(_CELLS)))
    genes = "".join(f"{gene}\tG{number}\tGene Expression\n" for number, gene in enumerate(_IDS))
    (place / "features.tsv").write_text(genes)


def _huge_mtx(folder: Path, generator: Generator) -> None:
    path = folder / "tenx" / "matrix.mtx"
    lines = path.read_text().splitlines()
    lines[1] = f"{_GENES} {_CELLS} {generator.choice([10**12, 10**19, -5])}"
    path.write_text("\n".join(lines) + "\n")


def _write_chunk(folder: Path) -> None:
    matrix = make_counts_anndata(_CELLS, _GENES).X.tocsr()
    arrays = {name: getattr(matrix, name) for name in ("data", "indices", "indptr")}
    np.savez(folder / "cells_merged_0_to_12.npz", shape=np.array(matrix.shape), **arrays)
    GeneVocabulary.from_ids(_IDS).write(folder / "vocabulary.tsv")


def _write_r(folder: Path) -> None:
    cells = make_counts_anndata(_CELLS, _GENES)
    write_rds(folder / "cells.rds", dgc(cells.X.T, list(cells.var_names), list(cells.obs_names)))


def _write_zip(folder: Path) -> None:
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("one.txt", "one" * 100)
        archive.writestr("in/two.txt", "two" * 100)


def _write_tar(folder: Path) -> None:
    with tarfile.open(folder / "a.tar.gz", "w:gz") as archive:
        _add(archive, "one.txt", b"one" * 100)
        _add(archive, "in/two.txt", b"two" * 100)


def _add(
    archive: tarfile.TarFile, name: str, content: bytes, kind: bytes = tarfile.REGTYPE
) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(content), kind, "/etc/passwd"
    archive.addfile(info, io.BytesIO(content))


def _outside(generator: Generator) -> str:
    depth = int(generator.integers(1, 6))
    names = ["../" * depth + "pwned", "/tmp/pwned", "a/../../pwned", "..", "C:/pwned", "a\\..\\b"]  # noqa: S108  # what is refused
    return str(generator.choice(names))


def _zip_traversal(folder: Path, generator: Generator) -> None:
    with zipfile.ZipFile(folder / "a.zip", "a") as archive:
        archive.writestr(_outside(generator), "pwned")


def _zip_bomb(folder: Path, generator: Generator) -> None:
    (folder / "a.zip").write_bytes(packed_bomb("bomb"))


def _tar_traversal(folder: Path, generator: Generator) -> None:
    with tarfile.open(folder / "a.tar.gz", "w:gz") as archive:
        _add(archive, _outside(generator), b"pwned")


def _tar_link(folder: Path, generator: Generator) -> None:
    kind = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE)
    with tarfile.open(folder / "a.tar.gz", "w:gz") as archive:
        _add(archive, "link", b"", kind[int(generator.integers(4))])


def _unpacked(name: str) -> Any:
    def read(folder: Path) -> Any:
        unpack(folder / name, folder / "out")
        found = {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted((folder / "out").rglob("*"))
            if path.is_file()
        }
        assert not any(path.is_symlink() for path in (folder / "out").rglob("*"))
        return found

    return read


def write_text(name: str, text: str) -> Any:
    """Something that writes a text, packed if the name says so."""

    def write(folder: Path) -> None:
        content = text.encode()
        (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)

    return write


_HGNC = (
    "hgnc_id\tsymbol\tname\tlocus_group\tlocus_type\tstatus\talias_symbol\tprev_symbol\tentrez_id"
    "\tensembl_gene_id\tuniprot_ids\n"
) + "".join(
    f"HGNC:{n}\tS{n}\tname\tprotein-coding gene\tgene\tApproved\t\t\t{n}\t{gene}\tP{n}\n"
    for n, gene in enumerate(_IDS)
)
_GTF = "##description: evidence\n" + "".join(
    f'chr1\tHAVANA\tgene\t1\t9\t.\t+\t.\tgene_id "{gene}.1"; gene_type "x"; gene_name "S{n}";\n'
    for n, gene in enumerate(_IDS)
)
_OBO = """format-version: 1.2
data-version: releases/2025-06-01

[Term]
id: GO:0000001
name: root

[Term]
id: GO:0000002
name: kind
is_a: GO:0000001 ! root

[Typedef]
id: part_of
name: part of
"""
_GAF = "!gaf-version: 2.2\n" + "".join(
    f"UniProtKB\tP{n}\tS{n}\tinvolved_in\tGO:0000001\tPMID:1\tIDA\t\tP\t\t\tprotein\ttaxon:9606"
    "\t20250101\tUniProt\t\t\n"
    for n in range(_GENES)
)
_VECTORS = "".join(f"S{n} " + " ".join([f"{n}.5"] * 4) + "\n" for n in range(_GENES))
_LOCK = json.dumps(
    {"format": 1, "files": {"https://h/x": {"sha256": "0" * 64, "bytes": 5}}}, indent=2
)


def gzip_bomb(name: str, line: bytes) -> Any:
    """A plant: a small file that unpacks to a large one."""

    def plant(folder: Path, generator: Generator) -> None:
        (folder / name).write_bytes(_bomb(line))

    return plant


@cache
def _bomb(line: bytes) -> bytes:
    """120 MB of the same, in 120 kB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    piece = line * (1_000_000 // len(line))
    return b"".join(packer.compress(piece) for _ in range(120)) + packer.flush()


def yaml_code(name: str) -> Any:
    """A plant: code where there should be settings."""

    def plant(folder: Path, generator: Generator) -> None:
        path = folder / name
        path.write_text(_CODE + path.read_text())

    return plant


def _write_split(folder: Path) -> None:
    parts = {"train": np.arange(6), "validation": np.arange(6, 8), "test": np.arange(8, 12)}
    make_split(parts, name="random", seed=1, unit="row").write(folder)


def _split_objects(folder: Path, generator: Generator) -> None:
    rows = np.array([{}, {}], dtype=object)
    np.savez(folder / "split.npz", train=rows, validation=rows, test=rows)


METRICS = {
    "format": FORMAT,
    "rows": [
        {
            "task": "t",
            "protocol": "honest",
            "scenario": "s",
            "metric": "m",
            "stratum": "all",
            "model": "a",
            "variant": "",
            "seed": seed,
            "value": 0.5,
            "low": 0.4,
            "high": 0.6,
        }
        for seed in (1, 2)
    ],
}


def _write_representations(folder: Path) -> None:
    np.savez(folder / "r.npz", names=np.array(_IDS), values=np.ones((_GENES, 3), np.float32))


def _infinite(folder: Path, generator: Generator) -> None:
    values = np.ones((_GENES, 3), np.float32)
    values[int(generator.integers(_GENES))] = generator.choice([np.nan, np.inf])
    np.savez(folder / "r.npz", names=np.array(_IDS), values=values)


_SUITE = yaml.safe_dump(
    {
        "runs": [{"task": "drug_combination", "models": ["pair_prior"]}],
        "seeds": [1],
        "data": "data",
        "output": "runs",
    }
)
_RULES = "min_genes_per_cell: 10\nmin_genes_per_dataset: 20\ncells_per_shard: 16\n"
_SLURM = "jobs: 2\nqueue: x\ncores: 1\nmemory: 2GB\n"
_CHANGES = "task:\n  a: 1\nmodel:\n  b: [1, 2]\n"
_RESULTS = "task,metric,model,seed,value\nt,m,a,1,0.5\nt,m,a,2,0.6\nt,m,b,1,0.4\nt,m,b,2,0.3\n"

READERS = (
    Reader("corpus", _write_corpus, _read_corpus, sealed=True),
    Reader(
        "manifest",
        _write_manifest,
        lambda folder: Manifest.read(folder / "manifest.tsv").entries,
        planted={"a name that leaves the folder": _leave_folder},
    ),
    Reader("table of text", _write_table, _dataset("cells.csv")),
    Reader("10x folder", _write_mtx, _dataset("tenx"), planted={"absurd sizes": _huge_mtx}),
    Reader("released chunk", _write_chunk, _dataset("cells_merged_0_to_12.npz")),
    *([Reader("file of R", _write_r, _dataset("cells.rds"))] if find_spec("rdata") else []),
    Reader(
        "zip archive",
        _write_zip,
        _unpacked("a.zip"),
        planted={"traversal": _zip_traversal, "a bomb": _zip_bomb},
    ),
    Reader(
        "tar archive",
        _write_tar,
        _unpacked("a.tar.gz"),
        planted={"traversal": _tar_traversal, "a link or device": _tar_link},
    ),
    Reader(
        "gene table of HGNC",
        write_text("hgnc.txt", _HGNC),
        lambda folder: read_hgnc(folder / "hgnc.txt"),
    ),
    Reader(
        "annotation of GENCODE",
        write_text("g.gtf.gz", _GTF),
        lambda folder: read_gtf(folder / "g.gtf.gz"),
        planted={
            "a bomb of one line": gzip_bomb("g.gtf.gz", b"0"),
            "a bomb of lines": gzip_bomb("g.gtf.gz", b"#" * 999 + b"\n"),
        },
    ),
    Reader(
        "list of genes",
        write_text("g.csv", "".join(f"{gene},S{n}\n" for n, gene in enumerate(_IDS))),
        lambda folder: read_gene_list(folder / "g.csv"),
    ),
    Reader(
        "ontology",
        write_text("go.obo", _OBO),
        lambda folder: len(GeneOntology.read(folder / "go.obo")),
    ),
    Reader(
        "annotations of genes",
        write_text("goa.gaf", _GAF),
        lambda folder: list(read_annotations(folder / "goa.gaf")),
    ),
    Reader(
        "Gene2vec",
        write_text("g2v.txt.gz", _VECTORS),
        lambda folder: read_vectors(folder / "g2v.txt.gz", dimensions=4).names,
        planted={"a bomb": gzip_bomb("g2v.txt.gz", b"0")},
    ),
    Reader(
        "lock of downloads",
        write_text("lock.json", _LOCK),
        lambda folder: Lock(folder / "lock.json").expected("https://h/x"),
    ),
    Reader(
        "rules of harmonising",
        write_text("rules.yaml", _RULES),
        lambda folder: HarmoniseRules.read(folder / "rules.yaml"),
        planted={"code": yaml_code("rules.yaml")},
    ),
    Reader(
        "settings of a cluster",
        write_text("slurm.yaml", _SLURM),
        lambda folder: slurm_settings(folder / "slurm.yaml"),
        planted={"code": yaml_code("slurm.yaml")},
    ),
    Reader(
        "settings of a task",
        write_text("changes.yaml", _CHANGES),
        lambda folder: read_changes(folder / "changes.yaml", []),
        planted={"code": yaml_code("changes.yaml")},
    ),
    Reader(
        "split",
        _write_split,
        lambda folder: Split.read(folder).digest,
        planted={"objects": _split_objects},
    ),
    Reader(
        "metrics of a run",
        write_text("metrics.json", json.dumps(METRICS)),
        lambda folder: read_metrics(folder / "metrics.json").shape,
    ),
    Reader(
        "representations",
        _write_representations,
        lambda folder: Precomputed.read(folder / "r.npz").values.tobytes(),
        planted={"numbers that are not finite": _infinite},
    ),
    Reader(
        "suite of runs",
        write_text("suite.yaml", _SUITE),
        lambda folder: read_suite(folder / "suite.yaml").config,
        planted={"code": yaml_code("suite.yaml")},
    ),
    Reader(
        "table of results",
        write_text("results.csv", _RESULTS),
        lambda folder: read_results(folder / "results.csv").rows.shape,
    ),
)
