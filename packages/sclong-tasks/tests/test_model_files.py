"""Models in folders: whole, checked, and refused in one line where they are not."""

import json

import pandas as pd
import pytest

from sclong_core.errors import InputError
from sclong_tasks.model_files import CHECKSUMS, load_model, save_model
from sclong_tasks.task import NoOptions, TaskModel


class Constant(TaskModel):
    Options = NoOptions

    def fit(self, data, split, context):
        self.value = 3

    def predict(self, data, rows):
        return pd.DataFrame({"x": float(self.value)}, index=rows)

    def save(self, folder):
        (folder / "value.json").write_text(json.dumps({"value": self.value}))

    @classmethod
    def load(cls, folder, context):
        model = cls(NoOptions())
        model.value = json.loads((folder / "value.json").read_text())["value"]
        return model


@pytest.fixture
def folder(tmp_path):
    model = Constant(NoOptions())
    model.fit(None, None, None)
    save_model(model, tmp_path / "model")
    return tmp_path / "model"


def test_a_model_comes_back(folder):
    assert load_model(Constant, folder, None).value == 3
    (folder / CHECKSUMS).unlink()  # as earlier versions left it
    assert load_model(Constant, folder, None).value == 3


def test_a_changed_file_is_named(folder):
    (folder / "value.json").write_text('{"value": 4}')
    with pytest.raises(InputError, match=r"value\.json is damaged"):
        load_model(Constant, folder, None)


@pytest.mark.parametrize("listed", ["[", "[1]", '{"value.json": 1}', '{"absent": "x"}', "[" * 5000])
def test_a_list_that_is_none_is_refused(folder, listed):
    (folder / CHECKSUMS).write_text(listed)
    with pytest.raises(InputError, match="run the task again"):
        load_model(Constant, folder, None)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"value"'])
def test_what_a_model_cannot_read_is_one_line(folder, content):
    (folder / CHECKSUMS).unlink()
    (folder / "value.json").write_text(content)
    with pytest.raises(InputError, match="no model of the kind Constant"):
        load_model(Constant, folder, None)
