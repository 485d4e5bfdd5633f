from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest

from sclong_core.errors import ConfigError
from sclong_core.pretraining import data_choice
from sclong_core.pretraining.data_choice import OneFile, choose_data, data_path
from tests.support.training import write_cells


class OnlyFolders:
    def accepts(self, path):
        return path.is_dir()


def installed(monkeypatch, *entries):
    monkeypatch.setattr(data_choice, "entry_points", lambda group: entries)


def test_an_installed_package_may_bring_its_own_kind_of_data(monkeypatch, tmp_path):
    entry = EntryPoint("folders", f"{__name__}:OnlyFolders", data_choice.GROUP)
    monkeypatch.setattr(EntryPoint, "load", lambda self: OnlyFolders())
    installed(monkeypatch, entry)
    assert isinstance(choose_data(tmp_path), OnlyFolders)
    for path in (tmp_path / "cells.h5ad", None):
        assert isinstance(choose_data(path), OneFile)


def test_a_corpus_without_the_package_that_reads_it_is_refused(monkeypatch, tmp_path):
    installed(monkeypatch)
    (tmp_path / "corpus.json").write_text("{}")
    with pytest.raises(ConfigError, match="pip install sclong-data"):
        choose_data(tmp_path)


def test_one_file_knows_its_size(tmp_path):
    cells = write_cells(tmp_path / "cells.h5ad")
    assert OneFile().size(SimpleNamespace(path=str(cells), matrix=None)) == (60, 40)
    assert OneFile().load().__name__ == "AnnDataModule"


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (["fit"], None),
        (["fit", "--data.path", "a"], "a"),
        (["fit", "--data.path=a", "--data.path=b=c"], "b=c"),
        (["fit", "--config", "{one}"], "one"),
        (["fit", "-c={one}", "--config={two}"], "2"),
        (["fit", "--config={one}", "--config={bare}"], "one"),
        (["fit", "--data.path", "a", "--config", "{one}"], "one"),
        (["fit", "--config={one}", "--data.path=a"], "a"),
        (["fit", "--data", "path: a"], "a"),
        (["fit", "--data={part}"], "part"),
        (["fit", "--config={broken}", "--config=absent", "--data.path"], None),
        (["fit", "--config={linked}"], "runs/x"),
    ],
)
def test_the_path_is_found_where_the_parser_will_find_it(tmp_path, words, path):
    texts = {
        "one": "data:\n  path: one\n",
        "two": "data:\n  path: 2\n",
        "bare": "trainer:\n  devices: 1\n",
        "part": "path: part\n",
        "broken": "data: [",
        "linked": "root: runs\ndata:\n  path: ${root}/x\n",
    }
    files = {name: tmp_path / f"{name}.yaml" for name in texts}
    for name, text in texts.items():
        files[name].write_text(text)
    assert data_path([word.format(**files) if "{" in word else word for word in words]) == path
