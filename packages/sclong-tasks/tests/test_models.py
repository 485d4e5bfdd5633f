"""The one list of models: options of earlier runs stay, and every encoder is in every task."""

from pathlib import Path

import pytest

from sclong_core.cli.main import main
from sclong_core.errors import ConfigError
from sclong_tasks.models import encoder_models, models_of
from sclong_tasks.registry import TASKS, class_of, get_model, get_task
from sclong_tasks.results import config_digest
from sclong_tasks.settings import as_plain, defaults
from sclong_tasks.task import EncoderPlace, ModelSpec

OPTIONS = Path(__file__).with_name("model_options.tsv")
"""Task, model, protocol, and the digest of its options, by which runs are found again."""
ROLES = {"model", "ablation", "simple", "floor", "ceiling"}


def test_options_of_every_model_are_those_that_earlier_runs_were_made_with():
    lines = [line.split("\t") for line in OPTIONS.read_text(encoding="utf-8").splitlines()]
    changed = []
    for task, model, protocol, digest in lines:
        options = defaults(get_model(get_task(task), model).Options, protocol)
        if config_digest(as_plain(options))[:12] != digest:
            changed.append(f"{task} {model} {protocol}")
    assert not changed
    assert len(lines) == 414


@pytest.mark.parametrize("name", TASKS)
def test_every_model_says_what_it_is_and_can_be_made(name):
    task = get_task(name)
    for model, spec in models_of(task).items():
        assert isinstance(spec, ModelSpec), model
        assert spec.role in ROLES
        assert 5 <= len(spec.summary) <= 70 or spec.summary in ("GEARS", "scVI"), model
        kind = get_model(task, model)
        assert get_model(task, model) is kind
        kind(kind.Options())
    assert set(task.baselines) <= set(models_of(task))
    assert {models_of(task)[one].role for one in task.baselines} <= {"simple", "floor"}


@pytest.mark.parametrize("name", TASKS)
def test_every_task_has_sclong_untrained_scLong_and_gene_vectors(name):  # noqa: N802  # its name
    found = models_of(get_task(name))
    wanted = {"sclong", "random_sclong", "sclong_no_graph", "gene2vec", "precomputed", "geneformer"}
    assert wanted <= set(found)
    assert found["sclong"].role == found["geneformer"].role == "model"
    assert found["random_sclong"].role == "floor"
    assert found["sclong_no_graph"].role == "ablation"
    assert ("sclong_lora" in found) == ("geneformer_lora" in found) == name.startswith("drug_")


def test_a_place_leaves_out_what_cannot_be_and_moves_options_of_its_own():
    found = encoder_models(
        EncoderPlace(
            "here:A",
            classes={"gene2vec": "here:B", "published": "here:C"},
            without=("graph",),
            own=("weights",),
            suffix="_x",
        )
    )
    assert "graph_x" not in found
    assert "sclong_lora_x" not in found
    assert [found[f"{one}_x"].target[-1] for one in ("sclong", "gene2vec", "uce")] == list("ABC")
    normal = found["random_sclong_normal_x"].options
    assert normal == {"weights": "normal", "encoder": {"name": "random"}}
    assert found["uce_x"].options["encoder"] == {"name": "uce", "tuning": "frozen"}


def test_a_string_is_a_model_without_further_ado():
    text = "sclong_tasks.drug_response.models.identity:Mean"
    assert class_of(ModelSpec(text)) is get_model(get_task("drug_response"), "mean")
    with pytest.raises(ConfigError, match="has no model 'nothing': choose one of"):
        get_model(get_task("drug_response"), "nothing")


def test_the_list_of_a_task_says_what_each_model_is(capsys):
    assert main(["task", "list", "drug_combination"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "sclong_no_graph" in said
    assert "ablation" in said
    assert "without the gene graph" in said
    assert "gradient_boosting, random_forest, logistic_regression" in said
