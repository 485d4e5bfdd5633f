import pytest

from sclong_core.errors import ConfigError, InputError
from sclong_data.harmoniser.rules import HarmoniseRules


def test_defaults_are_the_papers():
    rules = HarmoniseRules()
    assert (rules.min_genes_per_dataset, rules.min_genes_per_cell, rules.maximum) == (1000, 300, 10)
    assert rules.organism == "NCBITaxon:9606"


def test_rules_survive_json():
    rules = HarmoniseRules(maximum=None, obs_columns=("batch",), log1p="printed")
    assert HarmoniseRules.from_dict(rules.to_dict()) == rules


def test_rules_are_read_from_yaml(tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text("min_genes_per_cell: 200\nmaximum: null\nobs_columns: [batch]\n")
    expected = HarmoniseRules(min_genes_per_cell=200, maximum=None, obs_columns=("batch",))
    assert HarmoniseRules.read(path) == expected


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"min_genes_per_cell": 0}, "positive integer"),
        ({"cells_per_shard": 2.5}, "positive integer"),
        ({"maximum": float("nan")}, "positive number"),
        ({"target_sum": None}, "positive number"),
        ({"log1p": "log2"}, "cp10k, printed"),
        ({"organism": "human"}, "NCBITaxon:9606"),
        ({"primary_only": "yes"}, "true or false"),
        ({"obs_columns": "batch"}, "list of names"),
        ({"least_genes": 5}, "unknown rule: least_genes"),
    ],
)
def test_impossible_rules_are_refused(values, said):
    with pytest.raises(ConfigError, match=said):
        HarmoniseRules.from_dict(values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n- b\n", "is not a YAML file of rules"),
        ("a: [", "cannot be read as YAML"),
        ("x: ${nowhere}\n", "not found"),
        ("organism: ${oc.env:HOME}\n", "asks for a lookup"),
        ("obs_columns: ['${oc.env:HOME}']\n", "asks for a lookup"),
    ],
)
def test_files_that_hold_no_rules_are_refused(tmp_path, text, message):
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=rf"rules\.yaml.* {message}"):
        HarmoniseRules.read(path)


@pytest.mark.parametrize("name", ["a/b", "/", ".", "..", "_index", "row", "x" * 250, "ü" * 120])
def test_columns_that_a_shard_cannot_hold_are_refused(name):
    with pytest.raises(ConfigError, match=r"obs_columns: .* cannot be the name of a column"):
        HarmoniseRules(obs_columns=("tissue", name))


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        HarmoniseRules.read(tmp_path / "none.yaml")
