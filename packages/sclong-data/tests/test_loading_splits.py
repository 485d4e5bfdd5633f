import numpy as np
import pandas as pd
import pytest

from sclong_core.errors import ConfigError
from sclong_data.corpus.corpus import CellCorpus
from sclong_data.corpus.index import write_corpus
from sclong_data.corpus.shards import write_shard
from sclong_data.loading.splits import SplitConfig, split_corpus
from tests.support.corpora import VOCABULARY, shard_parts, write_made_up_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    write_made_up_corpus(folder, {"a.0": 400, "b.0": 300})
    return CellCorpus(folder)


def held_out(corpus, fraction=0.2, seed=0, **split):
    training, validation = split_corpus(corpus, SplitConfig(**split), fraction, seed)
    assert sorted([*training, *validation]) == list(range(len(corpus)))
    return validation


def test_cells_stay_on_their_side_when_data_sets_are_added(corpus, tmp_path):
    write_made_up_corpus(tmp_path, {"a.0": 400, "b.0": 300, "aa.0": 100})
    more = CellCorpus(tmp_path)
    keys, others = corpus.keys[held_out(corpus)], more.keys[held_out(more)]
    assert set(keys) == set(others) & set(corpus.keys)
    assert 90 < keys.size < 190
    assert set(corpus.keys[held_out(corpus, seed=1)]) != set(keys)


def test_a_small_share_holds_out_one_cell_and_none_holds_out_none(corpus):
    assert held_out(corpus, fraction=1e-9).size == 1
    assert held_out(corpus, fraction=0.0).size == 0


def test_data_sets_and_donors_stay_together(corpus):
    datasets = corpus.datasets().astype(str)
    assert set(datasets[held_out(corpus, by="dataset")]) in ({"a"}, {"b"})
    obs = corpus.obs()
    donors = obs["dataset"].astype(str) + "/" + obs["donor_id"].astype(str)
    chosen = set(donors.iloc[held_out(corpus, by="donor_id")])
    assert 0 < len(chosen) < 6
    rest = donors.iloc[np.setdiff1d(np.arange(len(corpus)), held_out(corpus, by="donor_id"))]
    assert not chosen & set(rest)


def test_groups_can_be_named(corpus):
    found = held_out(corpus, by="dataset", groups=("b",))
    assert set(corpus.datasets()[found]) == {"b"}
    types = corpus.obs(["cell_type"])["cell_type"]
    assert set(types.iloc[held_out(corpus, by="cell_type", groups=("B cell",))]) == {"B cell"}


def test_what_cannot_be_held_out_is_refused(corpus, tmp_path):
    with pytest.raises(ConfigError, match="no dataset 'c' \\(there are a, b\\)"):
        held_out(corpus, by="dataset", groups=("c",))
    with pytest.raises(ConfigError, match="no obs column 'age'"):
        held_out(corpus, by="age")
    with pytest.raises(ConfigError, match="needs a column"):
        SplitConfig(groups=("a",))
    write_made_up_corpus(tmp_path, {"a.0": 20})
    with pytest.raises(ConfigError, match="fewer than two groups"):
        held_out(CellCorpus(tmp_path), by="dataset")


def test_cells_without_a_donor_are_a_group_of_their_data_set(tmp_path):
    expression, obs, digests = shard_parts(9)
    obs["donor_id"] = pd.Categorical([None] * 9)
    record = write_shard(tmp_path, "a.0", expression, obs, digests)
    write_corpus(
        tmp_path,
        vocabulary=VOCABULARY,
        rules={},
        shards=[record],
        kept={"a.0": np.ones(9, dtype=bool)},
        datasets=[],
    )
    with pytest.raises(ConfigError, match="fewer than two groups"):
        held_out(CellCorpus(tmp_path), by="donor_id")
