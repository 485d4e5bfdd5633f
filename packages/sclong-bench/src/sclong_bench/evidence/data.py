"""From original files to two corpora, a vocabulary, a gene graph and gene vectors.

All is made by the commands that any corpus is made by; they are kept for the record.
"""

import hashlib
import logging
import shlex
import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import anndata
import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_bench.demo.data import gene_vectors
from sclong_bench.evidence.cells import Floats, HeldOut
from sclong_bench.evidence.known import Known, KnownGenes, prepare_known
from sclong_bench.evidence.panel import name_table, wanted_genes, with_genes
from sclong_bench.evidence.suite import EvidenceSuite, Source
from sclong_core.cli.main import main
from sclong_core.config import ScLongConfig
from sclong_core.errors import InputError
from sclong_core.files import atomic_folder, sha256_file, write_json
from sclong_core.manifest import canonical_json
from sclong_core.vocabulary import GeneVocabulary
from sclong_data.corpus.corpus import CellCorpus
from sclong_data.dataset_manifest import DatasetEntry, Manifest

_LOG = logging.getLogger("sclong")
LABEL, BATCH = "label", "batch_label"
"""Columns of ``obs`` in the corpus of what is held out."""
PRETRAINING, HELD_OUT = "pretraining", "held-out"
"""Folders of the two corpora, and the ending of a data set that is split."""
VOCABULARY, GRAPH, VECTORS = "vocabulary.tsv", "graph.npz", "gene_vectors.npy"
EXPRESSED, KNOWN = "expressed.tsv", "known"
"""Genes that are in the vocabulary for their non-zero values; folder of what is known of genes."""
RECORD = "data.json"
"""Which suite the data is of, and the commands that made it."""
RULES: Final = """# The reduced data sets have fewer genes than the paper asks for, and the genes
# of a cell are counted over a small vocabulary. All else is the paper's.
min_genes_per_dataset: 500
min_genes_per_cell: 20
obs_columns: [label, batch_label]
"""


@dataclass(frozen=True)
class EvidenceData:
    """What was prepared in a folder."""

    folder: Path

    @cached_property
    def corpus(self) -> CellCorpus:
        """The cells of pretraining."""
        return CellCorpus(self.folder / PRETRAINING)

    @cached_property
    def training(self) -> Floats:
        """``(cells, genes)`` of pretraining."""
        values: Floats = self.corpus.read(np.arange(len(self.corpus))).toarray()
        return values

    @cached_property
    def held_out(self) -> tuple[HeldOut, ...]:
        """The data sets of the evaluation."""
        corpus = CellCorpus(self.folder / HELD_OUT)
        values = corpus.read(np.arange(len(corpus))).toarray()
        obs = corpus.obs([LABEL, BATCH])
        datasets = np.asarray(corpus.datasets(), dtype=str)
        found = []
        for name in dict.fromkeys(datasets.tolist()):
            rows = datasets == name
            label, batch = (_texts(obs[column][rows]) for column in (LABEL, BATCH))
            found.append(HeldOut(name, values[rows], label, batch))
        return tuple(found)

    @cached_property
    def known(self) -> KnownGenes:
        """What is known of genes, and the cells to ask."""
        return KnownGenes(self.folder / KNOWN)

    @cached_property
    def digest(self) -> str:
        """Of both corpora, the graph, the vectors, and what is known of genes."""
        files = [self.folder / name for name in (VOCABULARY, GRAPH, VECTORS)]
        files += sorted(path for path in (self.folder / KNOWN).rglob("*") if path.is_file())
        digests = [self.corpus.digest, CellCorpus(self.folder / HELD_OUT).digest]
        joined = "\n".join([*digests, *map(sha256_file, files)])
        return hashlib.sha256(joined.encode()).hexdigest()


def prepare(suite: EvidenceSuite, data: Path, folder: Path) -> EvidenceData:
    """Prepare the data of a suite, unless it is there.

    Args:
        suite: which data sets.
        data: folder of the original files.
        folder: to make; it appears whole.

    Raises:
        InputError: a file is missing, a data set is left out, or ``folder`` is of another suite.
    """
    wanted = _key(suite)
    if folder.is_dir():
        kept = (folder / RECORD).read_text(encoding="utf-8") if (folder / RECORD).is_file() else ""
        if wanted not in kept:
            raise InputError(f"{folder} was prepared for another suite: name another folder")
        return EvidenceData(folder)
    for path in _files(suite):
        if not (data / path).is_file():
            raise InputError(f"{data / path} is missing: name the folder of data with --data")
    with atomic_folder(folder) as made:
        _make(suite, data, made, wanted)
    return EvidenceData(folder)


def _key(suite: EvidenceSuite) -> str:
    """Of everything that the data depends on."""
    parts = suite.to_dict()
    training = {name: parts["training"][name] for name in ("genes", "neighbours", "threshold")}
    of_data = ("cells", "seed", "fewest_edges", "fewest_factors")
    evaluation = {name: parts["evaluation"][name] for name in of_data}
    sources = ("names", "pretraining", "held_out", "markers", "networks")
    kept = {name: parts[name] for name in sources}
    text = canonical_json({**kept, **training, **evaluation, "preset": suite.training.preset})
    return hashlib.sha256(text.encode()).hexdigest()


def _files(suite: EvidenceSuite) -> list[str]:
    sources = [source.path for source in (*suite.pretraining, *suite.held_out)]
    sources += [suite.markers.path] if suite.markers.path else []
    for network in suite.networks:
        sources += [*network.edges.values(), *([network.expression] if network.expression else [])]
    return [*sources, suite.names.hgnc, suite.names.gencode, suite.names.annotations]


def _make(suite: EvidenceSuite, data: Path, folder: Path, key: str) -> None:
    sources = folder / "sources"
    sources.mkdir()
    entries: dict[str, list[DatasetEntry]] = {PRETRAINING: [], HELD_OUT: []}
    for source in suite.pretraining:
        for where, part, cells in _split(source, data, suite):
            entries[where].append(_write(part, cells, sources))
    for source in suite.held_out:
        cells = _sample(_annotated(source, data), suite)
        entries[HELD_OUT].append(_write(source, cells, sources))
    commands = _corpora(suite, data, folder, entries)
    made = EvidenceData(folder)
    dim = ScLongConfig.preset(suite.training.preset, genes=suite.training.genes).dim
    vectors = gene_vectors(made.training, dim=dim)
    with (folder / VECTORS).open("wb") as handle:
        np.save(handle, vectors)
    vocabulary = GeneVocabulary.read(folder / VOCABULARY)
    expressed, table = len(GeneVocabulary.read(folder / EXPRESSED)), name_table(suite, data)
    prepare_known(
        Known(suite, data, vocabulary, expressed, table, made.held_out, vectors), folder / KNOWN
    )
    said = [shlex.join(["sclong", *command]).replace(str(folder), "DATA") for command in commands]
    write_json(folder / RECORD, {"key": key, "commands": said, "digest": made.digest})


def _corpora(
    suite: EvidenceSuite, data: Path, folder: Path, entries: dict[str, list[DatasetEntry]]
) -> list[list[str]]:
    """Vocabulary, graph and both corpora; the commands that made them."""
    sources = folder / "sources"
    names = [str(data / suite.names.hgnc), str(data / suite.names.gencode)]
    vocabulary, training = str(folder / VOCABULARY), suite.training
    (folder / "rules.yaml").write_text(RULES, encoding="utf-8")
    counted = [str(sources / entry.location) for entry in entries[PRETRAINING]]
    first = [
        *("data", "vocabulary", "build", "-o", str(folder / EXPRESSED), "--cells", *counted),
        *("--top", str(training.genes), "--without", "protein_coding", "go", "gene2vec"),
        *("--gene-table", *names),
    ]
    _run(first)
    table = name_table(suite, data)
    more = wanted_genes(suite, data, sources, table)
    with_genes(GeneVocabulary.read(folder / EXPRESSED), more, table).write(vocabulary)
    commands = [
        [
            *("data", "graph", "build", "--vocabulary", vocabulary, "-o", str(folder / GRAPH)),
            *("--annotations", str(data / suite.names.annotations)),
            *("--gene-table", *names),
            *("--neighbours", str(training.neighbours), "--threshold", str(training.threshold)),
        ]
    ]
    for where, listed in entries.items():
        manifest = sources / f"{where}.tsv"
        Manifest(tuple(listed), sources).write(manifest)
        commands.append(
            [
                *("data", "harmonise", str(manifest), "-o", str(folder / where)),
                *("--vocabulary", vocabulary, "--rules", str(folder / "rules.yaml")),
                *("--gene-table", *names),
            ]
        )
    for command in commands:
        _run(command)
    for where, listed in entries.items():
        _check_complete(folder / where, listed)
    return [first, *commands]


def _run(command: list[str]) -> None:
    if main(command):
        raise InputError(f"sclong {shlex.join(command)} has failed")


def _check_complete(folder: Path, entries: list[DatasetEntry]) -> None:
    there = {record.dataset for record in CellCorpus(folder).index.shards}
    for entry in entries:
        if entry.dataset not in there:
            raise InputError(
                f"the harmoniser left {entry.dataset} out: {folder / 'report.tsv'} says why"
            )


def _annotated(source: Source, data: Path) -> anndata.AnnData:
    """A data set with types and batches in columns of fixed names, and nothing else."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the age of the files
        cells = anndata.read_h5ad(data / source.path)
    for name in (source.label, source.batch):
        if name and name not in cells.obs:
            raise InputError(f"{data / source.path} has no column {name} in obs")
    obs = pd.DataFrame(index=cells.obs_names.astype(str))
    for column, name in ((LABEL, source.label), (BATCH, source.batch)):
        obs[column] = cells.obs[name].astype(str).to_numpy() if name else ""
    return anndata.AnnData(cells.X, obs=obs, var=pd.DataFrame(index=cells.var_names.astype(str)))


def _split(
    source: Source, data: Path, suite: EvidenceSuite
) -> list[tuple[str, Source, anndata.AnnData]]:
    """The part of a data set for pretraining, and what is held out of it."""
    cells = _annotated(source, data)
    if not source.held_out:
        return [(PRETRAINING, source, cells)]
    shuffled = np.random.default_rng(suite.evaluation.seed).permutation(cells.n_obs)
    held = np.zeros(cells.n_obs, dtype=bool)
    held[shuffled[: round(source.held_out * cells.n_obs)]] = True
    rest = replace(source, name=f"{source.name}_{HELD_OUT.replace('-', '_')}")
    return [
        (PRETRAINING, source, cells[~held].copy()),
        (HELD_OUT, rest, _sample(cells[held].copy(), suite)),
    ]


def _sample(cells: anndata.AnnData, suite: EvidenceSuite) -> anndata.AnnData:
    evaluation = suite.evaluation
    if cells.n_obs <= evaluation.cells:
        return cells
    drawn = np.random.default_rng(evaluation.seed).permutation(cells.n_obs)
    return cells[np.sort(drawn[: evaluation.cells])].copy()


def _write(source: Source, cells: anndata.AnnData, folder: Path) -> DatasetEntry:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # text becomes categories, which is meant
        cells.write_h5ad(folder / f"{source.name}.h5ad")
    given: Any = source.normalisation
    return DatasetEntry(source.name, location=f"{source.name}.h5ad", normalisation=given)


def _texts(column: "pd.Series[Any]") -> npt.NDArray[np.str_]:
    texts = np.asarray(column.astype(str).str.replace("^(unknown|nan)$", "", regex=True), dtype=str)
    return texts if (texts != "").any() else np.empty(0, dtype=str)
