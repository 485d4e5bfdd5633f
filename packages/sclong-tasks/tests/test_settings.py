import pytest

from sclong_core.errors import ConfigError
from sclong_tasks.drug_response.config import DeepCdrOptions, DrugResponseSettings
from sclong_tasks.settings import as_plain, defaults, read_changes, resolve


def test_each_protocol_has_its_defaults():
    assert defaults(DrugResponseSettings, "published").select_on_test
    assert not defaults(DrugResponseSettings, "honest").select_on_test


def test_changes_are_merged_and_typed(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("model:\n  training:\n    epochs: 3\n    batch_size: 8\n")
    changes = read_changes(path, ["model.training.epochs=4", "model.network.graph_layers=[8,8]"])
    options = resolve(DeepCdrOptions, "honest", changes["model"], "model")
    assert (options.training.epochs, options.training.batch_size) == (4, 8)
    assert options.network.graph_layers == [8, 8]
    assert as_plain(options)["training"]["epochs"] == 4


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"training": {"epoch": 3}}, "epoch"),
        ({"training": {"epochs": "many"}}, "epochs"),
        ({"network": {"head": "transformer"}}, "head"),
    ],
)
def test_what_is_no_setting_is_refused_by_name(changes, said):
    with pytest.raises(ConfigError, match=said):
        resolve(DeepCdrOptions, "honest", changes, "model")


@pytest.mark.parametrize("text", ["- a\n- b\n", "data: {}\n", "a: [1\n"])
def test_a_file_that_holds_no_settings_is_refused(tmp_path, text):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        read_changes(path, [])


def test_a_word_without_a_value_is_refused():
    with pytest.raises(ConfigError, match="name=value"):
        read_changes(None, ["model.training.epochs"])
