import pytest

from sclong_bench.demo.folder import FORMAT, RESULTS, check_replaceable, output_folder
from sclong_core.errors import InputError
from sclong_core.files import write_json


def finish(folder, number):
    with output_folder(folder) as temporary:
        write_json(temporary / RESULTS, {"format": FORMAT, "number": number})


def test_a_new_and_an_empty_folder_are_filled(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("new", "empty", "deep/er"):
        finish(tmp_path / name, 1)
        assert (tmp_path / name / RESULTS).is_file()


def test_a_former_demonstration_is_replaced(tmp_path):
    finish(tmp_path / "demo", 1)
    finish(tmp_path / "demo", 2)
    assert '"number": 2' in (tmp_path / "demo" / RESULTS).read_text()
    assert [item.name for item in tmp_path.iterdir()] == ["demo"]


@pytest.mark.parametrize("content", ["", "{}", '{"format": "other"}', "[]", "\x00"])
def test_a_folder_of_something_else_is_refused(tmp_path, content):
    (tmp_path / RESULTS).write_text(content)
    with pytest.raises(InputError, match="holds no demonstration"):
        check_replaceable(tmp_path)


def test_a_demonstration_with_something_added_is_refused(tmp_path):
    finish(tmp_path / "demo", 1)
    (tmp_path / "demo" / "thesis.tex").touch()
    with pytest.raises(InputError, match=r"thesis\.tex"):
        check_replaceable(tmp_path / "demo")


def test_a_file_and_the_present_folder_are_refused(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file"):
        check_replaceable(tmp_path / "file")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="folder it is run in"):
        check_replaceable(tmp_path)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_what_was_there(tmp_path, error):
    finish(tmp_path / "demo", 1)

    def fail():
        with output_folder(tmp_path / "demo") as temporary:
            (temporary / "report.html").touch()
            raise error

    with pytest.raises(error):
        fail()
    assert [item.name for item in tmp_path.iterdir()] == ["demo"]
    assert [item.name for item in (tmp_path / "demo").iterdir()] == [RESULTS]
