"""The committed studies: manifests that can be used, and no study on both sides."""

import re
import sys
import types
import zlib
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from sclong_core.cli.main import main
from sclong_core.files import sha256_file
from sclong_core.testing import make_counts_anndata, synthetic_gene_ids
from sclong_core.vocabulary import GeneVocabulary
from sclong_data.corpus.corpus import CellCorpus
from sclong_data.dataset_manifest import Manifest
from sclong_data.harmoniser.rules import HarmoniseRules

ROOT = Path(__file__).parents[1]
STUDY = ROOT / "studies" / "mini"
DATA = ROOT.parent / "shared" / "data"
MANIFESTS = ("corpus.tsv", "corpus-without-zheng.tsv", "upstream.tsv")
SETS = yaml.safe_load((STUDY / "sets.yaml").read_text(encoding="utf-8"))
ALLOWED = re.compile(r"MIT|BSD-[23]-Clause|GPL( \(>= [23]\)|-[23])|Artistic-2.0")


def first_author(study: str) -> str:
    return re.split(r"[ ,]", study)[0]


@pytest.mark.parametrize("name", MANIFESTS)
def test_every_source_says_where_it_is_from(name):
    for entry in Manifest.read(STUDY / name):
        assert entry.repository, entry.dataset
        assert re.fullmatch(r"[0-9a-f]{12,40}", entry.commit or ""), entry.dataset
        assert entry.path, entry.dataset
        assert entry.study, entry.dataset
        assert entry.tissue, entry.dataset
        assert ALLOWED.fullmatch(entry.licence or ""), entry.dataset


@pytest.mark.parametrize("name", ["corpus.tsv", "corpus-without-zheng.tsv"])
def test_files_of_the_corpus_are_relative_and_checksummed(name):
    for entry in Manifest.read(STUDY / name):
        assert not entry.remote
        assert not Path(entry.location).is_absolute()
        assert entry.sha256, entry.dataset


def test_addresses_hold_repository_commit_and_path():
    for entry in Manifest.read(STUDY / "upstream.tsv"):
        assert entry.location.endswith(f"/{entry.repository}/{entry.commit}/{entry.path}")


def test_upstream_has_the_sources_of_the_corpus():
    def sources(name: str) -> set[tuple[str, str, str]]:
        return {
            (str(entry.repository), str(entry.commit), path)
            for entry in Manifest.read(STUDY / name)
            for path in str(entry.path).split("; ")
        }

    assert sources("upstream.tsv") == sources("corpus.tsv")


def test_no_study_that_judges_is_in_the_corpus():
    corpus = Manifest.read(STUDY / "corpus.tsv")
    without = Manifest.read(STUDY / "corpus-without-zheng.tsv")
    for name, judging in SETS.items():
        used = without if judging.get("trained_without") == "zheng" else corpus
        authors = {first_author(str(entry.study)) for entry in used} - {"10x", "not"}
        assert first_author(judging["study"]) not in authors, name
        assert judging["path"] not in {entry.location for entry in used}, name


def test_the_corpus_without_zheng_lacks_that_study_alone():
    corpus = Manifest.read(STUDY / "corpus.tsv")
    without = {entry.dataset for entry in Manifest.read(STUDY / "corpus-without-zheng.tsv")}
    left_out = [entry for entry in corpus if entry.dataset not in without]
    assert {first_author(str(entry.study)) for entry in left_out} == {"Zheng"}
    assert all("Zheng" not in str(entry.study) for entry in corpus if entry.dataset in without)


def test_every_set_has_a_role_and_labels():
    assert {judging["role"] for judging in SETS.values()} == {"development", "report"}
    for name, judging in SETS.items():
        assert judging["labels"], name
        assert re.fullmatch(r"[0-9a-f]{64}", judging["sha256"]), name


def test_the_rules_can_be_used():
    assert HarmoniseRules.read(STUDY / "rules.yaml").maximum is None


def test_twenty_tissues_of_cellxgene_are_fetched_and_harmonised(tmp_path, monkeypatch, capsys):
    """The whole way, with a stand-in for the Census that gives a few cells for each slice."""
    manifest = STUDY / "cellxgene.tsv"
    assert len({entry.tissue for entry in Manifest.read(manifest)}) == 20
    assert main(["data", "fetch", str(manifest), "--data", str(tmp_path), "--dry-run"]) == 0
    assert capsys.readouterr().out.count("census:2025-01-30") == 20
    monkeypatch.setitem(sys.modules, "cellxgene_census", stand_in_for_the_census())
    assert main(["data", "fetch", str(manifest), "--data", str(tmp_path)]) == 0
    GeneVocabulary.from_ids(synthetic_gene_ids(1200)).write(tmp_path / "vocabulary.tsv")
    words = ["data", "harmonise", str(manifest), "--data", str(tmp_path), "-o", f"{tmp_path}/out"]
    words += ["--vocabulary", f"{tmp_path}/vocabulary.tsv", "--rules", f"{STUDY}/rules.yaml"]
    assert main(words) == 0
    assert len(CellCorpus(tmp_path / "out")) == 20 * 3


def stand_in_for_the_census() -> types.ModuleType:
    @contextmanager
    def open_soma(*, census_version):
        yield census_version

    def get_anndata(census, organism, *, obs_value_filter, X_name):  # noqa: N803  # their spelling
        assert (census, organism, X_name) == ("2025-01-30", "homo_sapiens", "raw")
        cells = make_counts_anndata(3, 1200, seed=zlib.crc32(obs_value_filter.encode()))
        cells.var["feature_id"] = cells.var_names
        cells.var_names = [str(number) for number in range(1200)]
        cells.obs["organism_ontology_term_id"] = "NCBITaxon:9606"
        return cells

    module = types.ModuleType("cellxgene_census")
    module.open_soma, module.get_anndata = open_soma, get_anndata
    return module


@pytest.mark.real_data
@pytest.mark.skipif(not DATA.is_dir(), reason="the real cells are not here")
def test_the_files_are_those_that_the_manifest_names():
    for entry in Manifest.read(STUDY / "corpus.tsv", folder=DATA):
        assert sha256_file(DATA / entry.location) == entry.sha256, entry.dataset
    for name, judging in SETS.items():
        assert sha256_file(DATA / judging["path"]) == judging["sha256"], name


@pytest.mark.parametrize(
    "path", sorted((ROOT / "studies").glob("*/[a-z]*.py")), ids=lambda path: path.stem
)
def test_every_study_can_be_imported(path):
    """No type checker reads the studies, and most of them are run by hand alone."""
    assert import_module(f"studies.{path.parent.name}.{path.stem}").__doc__
