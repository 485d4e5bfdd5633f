"""Models under names of the user's own, functions in files, settings of one model: as commands."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from sclong_core.cli.main import main
from sclong_core.errors import ConfigError
from sclong_core.testing import make_tiny_model
from sclong_tasks.data_files import prepare_data
from sclong_tasks.drug_response import task
from sclong_tasks.drug_response.example import write_example
from sclong_tasks.named_models import name_models, names_of

FILE = """
import numpy as np
from pathlib import Path

CALLED = Path(__file__).with_name("called.txt")

def embed(adata):
    with CALLED.open("a") as log:
        log.write("embed\\n")
    return np.asarray(adata.X)[:, :3]

def bad(adata):
    return np.full((adata.n_obs, 2), np.nan)
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_example(folder / "original", lines=14, genes=8)
    prepare_data(task, folder / "prepared", str(folder / "original"))
    return folder / "prepared"


@pytest.fixture
def place(prepared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(prepared, tmp_path / "task-data" / "drug_response")
    (tmp_path / "mine.py").write_text(FILE)
    return tmp_path


QUICK = ["--set", "task.bootstrap=5", "--device", "cpu"]
RUN = ["task", "run", "drug_response", "--model"]
ONE_EPOCH = ["--set", "model.training.epochs=1"]


def configs(place):
    """Settings of all runs, by folder."""
    return {
        path.parent.name: yaml.safe_load(path.read_text())
        for path in sorted((place / "task-runs").rglob("config.yaml"))
    }


def said(capsys):
    return " ".join(capsys.readouterr().err.split())


def test_a_function_runs_beside_models_once_for_all_seeds(place, capsys):
    words = [*RUN, "mine.py:embed", "drug_mean", "--name", "mine", "--seed", "1", "2", "3"]
    settings = [*QUICK, "--set", "mine.training.epochs=1"]
    assert main([*words, *settings]) == 0
    assert (place / "called.txt").read_text() == "embed\n"
    found = configs(place)
    assert sorted({one["model"] for one in found.values()}) == ["drug_mean", "mine"]
    mine = next(one for name, one in found.items() if name.startswith("mine-"))
    encoder = mine["settings"]["model"]["encoder"]
    assert (mine["base"], encoder["path"]) == ("function", "mine.py:embed")
    assert len(encoder["options"]["sha256"]) == 64
    assert "base" not in next(one for one in found.values() if one["model"] == "drug_mean")
    capsys.readouterr()
    assert main(["task", "results", "task-runs", "--markdown", "t.md"]) == 0
    assert "| mine | 3 |" in (place / "t.md").read_text()
    assert main([*words, *settings, "--resume"]) == 0
    (place / "mine.py").write_text(FILE + "\n# another version\n")
    assert main([*words, *settings, "--resume"]) == 0
    assert sum(name.startswith("mine-") for name in configs(place)) == 6


def test_a_finished_run_runs_its_function_only_when_it_is_named_again(place, capsys):
    assert main([*RUN, "mine.py:embed", *QUICK, *ONE_EPOCH]) == 0
    (folder,) = (place / "task-runs" / "drug_response").iterdir()
    assert folder.name.startswith("embed-")
    (place / "pairs.csv").write_text("line,smiles\nACH-000002,CCO\n")
    (place / "called.txt").unlink()
    ask = ["task", "predict", "drug_response", "--run", str(folder), "--input", "pairs.csv"]
    capsys.readouterr()
    assert main([*ask, "--device", "cpu"]) == 2
    assert "give --function mine.py:embed" in said(capsys)
    assert not (place / "called.txt").exists()
    assert main([*ask, "--device", "cpu", "--function", "mine.py:embed"]) == 0
    assert (place / "called.txt").exists()


def test_the_example_of_the_page_runs(place):
    page = Path(__file__).parents[3] / "docs" / "tasks" / "extending.md"
    if not page.is_file():
        pytest.skip("needs the whole repository")
    text = page.read_text("utf-8").partition("## An encoder of your own")[2]
    (place / "mine.py").write_text(re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0])
    assert main([*RUN, "mine.py:embed", "--name", "mine", *QUICK, *ONE_EPOCH]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["mine.py:nothing"], "mine.py does not define nothing: it has embed, bad"),
        (["none.py:embed"], "none.py is not a file"),
        (["mine.py:bad"], "mine.py:bad returned NaN or infinite values"),
        (["drug_mean", "drug_mean"], "two models are called 'drug_mean': give each a name"),
        (["mine.py:embed", "mine.py:embed"], "two models are called 'embed'"),
        (["mine.py:embed", "--name", "a", "b"], "--name gives 2 names for 1 models"),
        (["mine.py:embed", "--name", "model"], "'model' cannot be the name of a model"),
        (["mine.py:embed", "--name", "a.b"], "'a.b' cannot be the name"),
        (["mine.py:embed", "--name", "../a"], "'../a' cannot be the name"),
        (["mine.py:embed", "--set", "other.training.epochs=1"], "setting other: settings begin"),
        (["drug_mean", "--name", "x", "--set", "x.nothing=1"], "setting model.nothing"),
        (["nothing", "--name", "x"], "has no model 'nothing'"),
    ],
)
def test_what_cannot_be_named_is_one_line(place, capsys, words, message):
    capsys.readouterr()
    assert main([*RUN, *words, *QUICK]) == 2
    found = said(capsys)
    assert message in found
    assert "Traceback" not in found
    assert not configs(place)


def test_a_task_that_takes_no_encoder_of_cells_says_so(place, tmp_path, capsys):
    from sclong_tasks.chemical_perturbation.example import write_example as chemical  # noqa: PLC0415

    chemical(tmp_path / "l1000", drugs=14, genes=6)
    assert main(["task", "data", "chemical_perturbation", "--source", "l1000"]) == 0
    capsys.readouterr()
    assert (
        main(
            ["task", "run", "chemical_perturbation", "--model", "mine.py:embed", "--device", "cpu"]
        )
        == 2
    )
    assert "mine.py:embed gives vectors of cells, and this task needs vectors of genes" in said(
        capsys
    )


def test_two_models_of_one_kind_have_two_names_and_settings_of_their_own(place):
    words = [*RUN, "ridge_pca", "ridge_pca", "--name", "few", "many", *QUICK]
    assert (
        main(
            [
                *words,
                "--set",
                "few.expression_components=2",
                "--set",
                "many.expression_components=5",
            ]
        )
        == 0
    )
    found = {one["model"]: one for one in configs(place).values()}
    assert {
        name: one["settings"]["model"]["expression_components"] for name, one in found.items()
    } == {
        "few": 2,
        "many": 5,
    }
    assert {one["base"] for one in found.values()} == {"ridge_pca"}
    few = next(path for path in (place / "task-runs/drug_response").iterdir() if "few" in path.name)
    (place / "pairs.csv").write_text("line,smiles\nACH-000002,CCO\n")
    ask = ["task", "predict", "drug_response", "--run", str(few), "--input", "pairs.csv"]
    assert main([*ask, "-o", "out.csv"]) == 0


def test_settings_of_a_file_may_be_for_one_model(place):
    (place / "s.yaml").write_text(
        "task: {bootstrap: 5}\n"
        "model: {expression_components: 3}\n"
        "ridge_pca: {expression_components: 4}\n"
    )
    words = [*RUN, "ridge_pca", "ridge_pca", "--name", "ridge_pca", "other"]
    assert main([*words, "--config", "s.yaml"]) == 0
    found = {one["model"]: one["settings"]["model"] for one in configs(place).values()}
    assert (
        found["ridge_pca"]["expression_components"],
        found["other"]["expression_components"],
    ) == (4, 3)


def test_a_checkpoint_that_a_model_does_not_use_changes_nothing(place):
    make_tiny_model(genes=8).save_pretrained(place / "checkpoint")
    assert main([*RUN, "drug_mean", *QUICK]) == 0
    before = set(configs(place))
    assert main([*RUN, "drug_mean", *QUICK, "--checkpoint", "checkpoint", "--resume"]) == 0
    assert set(configs(place)) == before
    assert main([*RUN, "gene2vec", *QUICK, *ONE_EPOCH, "--checkpoint", "checkpoint"]) in (0, 2)


def test_names_go_to_all_models_or_to_functions():
    assert names_of(name_models(["pca", "hvg"])) == ["pca", "hvg"]
    assert names_of(name_models(["pca", "hvg"], ["a", "b"])) == ["a", "b"]
    with pytest.raises(ConfigError, match="give one for each model"):
        name_models(["pca", "hvg"], ["a"])
    (same,) = name_models(["pca"], ["pca"])
    assert same.base == ""


def test_a_record_of_metrics_names_the_file_by_its_content(place):
    assert main([*RUN, "mine.py:embed", "--name", "mine", *QUICK, *ONE_EPOCH]) == 0
    (path,) = (place / "task-runs").rglob("metrics.json")
    content = json.loads(path.read_text())
    assert content["rows"][0]["model"] == "mine"
    facts = content["facts"]["encoder"]
    assert facts["source"] == "mine.py:embed"
    assert len(facts["sha256"]) == 64
    assert str(place) not in path.read_text()
    assert np.isfinite(content["rows"][0]["value"])
