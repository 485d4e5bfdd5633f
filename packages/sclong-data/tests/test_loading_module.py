from types import SimpleNamespace

import numpy as np
import pytest

from sclong_core.config import InputConfig
from sclong_core.errors import CheckpointError, ConfigError
from sclong_core.pretraining.data_choice import choose_data
from sclong_core.vocabulary import GeneVocabulary
from sclong_data import CorpusDataModule
from sclong_data.corpus.index import read_index, write_corpus
from sclong_data.corpus.layout import VOCABULARY
from sclong_data.loading.choice import CorpusChoice, choice
from sclong_data.loading.splits import SplitConfig
from tests.support.corpora import write_made_up_corpus


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    write_made_up_corpus(folder)
    return folder


def module_of(folder, **settings):
    module = CorpusDataModule(folder, **settings)
    module.setup("fit")
    return module


def test_a_corpus_is_chosen_by_its_folder_or_its_index(folder, tmp_path):
    for path in (folder, folder / "corpus.json"):
        assert isinstance(choose_data(path), CorpusChoice)
        assert len(CorpusDataModule(path).corpus) == 104
    assert not choice.accepts(tmp_path)
    assert choice.load() is CorpusDataModule
    assert choice.size(SimpleNamespace(path=str(folder))) == (104, 40)


def test_the_module_knows_genes_and_normalisation_before_it_reads(folder):
    module = CorpusDataModule(folder)
    assert module.vocabulary.digest == read_index(folder).vocabulary
    assert module.input == InputConfig(maximum=10.0)
    assert module.gene_means is None
    with pytest.raises(ConfigError, match=r'call setup\("fit"\) first'):
        module.train_dataloader()


def test_what_contradicts_the_corpus_is_refused(folder, tmp_path):
    same = CorpusDataModule(folder, folder / VOCABULARY, input=InputConfig(maximum=10.0))
    assert len(same.vocabulary) == 40
    ids = list(same.vocabulary.ids)
    GeneVocabulary.from_ids([ids[1], ids[0], *ids[2:]]).write(tmp_path / "other.tsv")
    for settings, message in (
        ({"vocabulary": tmp_path / "other.tsv"}, same.vocabulary.digest),
        ({"vocabulary": tmp_path / "absent.tsv"}, "does not exist"),
        ({"input": InputConfig()}, "maximum None, the corpus .* 10.0"),
        ({"batch_size": 0}, "batch_size"),
        ({"balance_power": 2.0}, "balance_power"),
    ):
        with pytest.raises(ConfigError, match=message):
            CorpusDataModule(folder, **settings)
    with pytest.raises(ConfigError, match=r"data\.path is missing"):
        CorpusDataModule()
    with pytest.raises(ConfigError, match="no obs column 'age'"):
        module_of(folder, balance="age")
    with pytest.raises(ConfigError, match="no cells are left"):
        module_of(folder, split=SplitConfig("dataset", ("a", "b")))


def test_another_logarithm_is_said(tmp_path, caplog):
    index = write_made_up_corpus(tmp_path, {"a.0": 9}, duplicates=0)
    write_corpus(
        tmp_path,
        vocabulary=GeneVocabulary.read(tmp_path / VOCABULARY),
        rules={"log1p": "printed", "target_sum": 1e4, "maximum": None},
        shards=index.shards,
        kept={"a.0": np.ones(9, dtype=bool)},
        datasets=[],
    )
    assert CorpusDataModule(tmp_path).input == InputConfig()
    assert "was made with log1p 'printed'" in caplog.text


def test_cells_are_split_and_all_of_them_come(folder):
    module = module_of(folder, batch_size=8, validation_fraction=0.2)
    trained = [cell for b in module.train_dataloader() for cell in b["cell"].tolist() if cell >= 0]
    held_out = [cell for b in module.val_dataloader() for cell in b["cell"].tolist() if cell >= 0]
    assert sorted(trained) == module.training_cells.tolist()
    assert sorted(held_out) == module.validation_cells.tolist()
    assert sorted(trained + held_out) == list(range(104))
    assert module_of(folder, validation_fraction=0.0).val_dataloader() == []


def test_the_mean_of_genes_is_over_training_cells(folder):
    module = module_of(folder)
    dense = module.corpus.read(module.training_cells).toarray()
    expected = dense.sum(axis=0) / np.maximum((dense > 0).sum(axis=0), 1)
    assert np.allclose(module.gene_means, expected, rtol=1e-5)


def test_rare_groups_come_more_often_where_that_is_asked_for(folder):
    module = module_of(folder, balance="cell_type", validation_fraction=0.0)
    types = module.corpus.obs(["cell_type"])["cell_type"]
    drawn = [c for b in module.train_dataloader() for c in b["cell"].tolist() if c >= 0]
    share = (types.iloc[drawn] == "B cell").mean()
    assert (types == "B cell").mean() < 0.25
    assert abs(share - 0.5) < 0.03
    assert len(drawn) == 104


def test_a_checkpoint_of_other_data_is_refused(folder):
    module = module_of(folder)
    state = module.state_dict()
    module.load_state_dict(state)
    for name in ("corpus", "split", "balance", "shuffle", "seed", "validation_fraction"):
        with pytest.raises(CheckpointError, match=name):
            module.load_state_dict({**state, name: "other"})


def test_the_record_says_what_was_read(folder):
    record = module_of(folder).describe()
    assert (record["cells"], record["datasets"]) == (104, ["a", "b"])
    assert record["training_cells"] + record["validation_cells"] == 104
    assert str(folder) not in str(record)


def test_batches_may_hold_expressed_genes_only(folder):
    module = module_of(folder, ragged=True, batch_size=4)
    batch = next(iter(module.train_dataloader()))
    assert batch["offsets"].shape == (5,)
    assert batch["gene"].shape == batch["expression"].shape
    assert "gene" in next(iter(module.val_dataloader()))
