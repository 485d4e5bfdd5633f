"""What is saved of a network over drugs and cell lines, and what is refused when it is read."""

import json

import pytest

from sclong_core.errors import InputError
from sclong_tasks.data_files import prepare_data
from sclong_tasks.drug_combination import task
from sclong_tasks.drug_combination.config import CombinationSettings
from sclong_tasks.drug_combination.example import write_synthetic_files
from sclong_tasks.drug_network import DrugNetwork
from sclong_tasks.registry import get_model, get_task
from sclong_tasks.settings import resolve
from sclong_tasks.task import RunContext

SETTINGS = CombinationSettings(bootstrap_draws=0)


@pytest.mark.parametrize(
    ("name", "model", "width"),
    [("drug_combination", "deepdds", "cell_features"), ("drug_response", "deepcdr", "features")],
)
def test_the_names_in_saved_facts_stay_what_they_were(name, model, width):
    kind = get_model(get_task(name), model)
    assert issubclass(kind, DrugNetwork)
    assert kind.width_name == width


def test_cell_lines_with_other_features_than_the_trained_ones_are_refused(tmp_path):
    write_synthetic_files(tmp_path / "files")
    prepare_data(task, tmp_path / "data", str(tmp_path / "files"))
    data = task.load(tmp_path / "data", SETTINGS)
    split = task.split(data, scenario="pair", seed=1, settings=SETTINGS)
    kind = get_model(task, "deepdds")
    model = kind(resolve(kind.Options, "honest", {"training": {"epochs": 1}}, "model"))
    context = RunContext(1, "honest", tmp_path, device="cpu")
    model.fit(data.hide(split.test), split, context)
    saved = tmp_path / "model"
    saved.mkdir()
    model.save(saved)
    facts = json.loads((saved / "model.json").read_text())
    facts["cell_features"] += 1
    (saved / "model.json").write_text(json.dumps(facts))
    with pytest.raises(
        InputError, match=r"returns \d+ features per cell line, but the trained network"
    ):
        kind.load(saved, context).predict(data, split.test)
