import pytest

from sclong_core.errors import ConfigError, InputError
from sclong_core.settings import (
    MOST_BYTES,
    load_settings,
    parsed_settings,
    read_settings,
    refuse_lookups,
)

LOOKUPS = [
    "a: ${oc.env:HOME}",
    'a: "${oc.env:HOME,none}"',
    "a: {b: [1, '${oc.env:HOME}']}",
    "a: before ${oc.env:HOME} behind",
    "a: ${oc.decode:${oc.env:HOME}}",
    "b: oc.env\na: ${${b}:HOME}",
    "a: ${env:HOME}",
    "a: ${mine:1}",
    "- ${oc.env:HOME}",
    "a: &x ${oc.env:HOME}\nb: *x",
    "${oc.env:HOME}: a",
    "a: |\n  ${oc.env\n  :HOME}",
]


@pytest.mark.parametrize("text", LOOKUPS)
def test_nothing_of_the_machine_is_looked_up(text, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "SECRET")
    (tmp_path / "settings.yaml").write_text(text)
    with pytest.raises(ConfigError, match="asks for a lookup") as caught:
        read_settings(tmp_path / "settings.yaml")
    assert "SECRET" not in str(caught.value)
    with pytest.raises(ConfigError, match="asks for a lookup"):
        load_settings(tmp_path / "settings.yaml")


def test_plain_values_that_ask_for_a_lookup_are_refused():
    for value in ("${oc.env:HOME}", ["x", {"y": ("${oc.env:HOME}",)}]):
        with pytest.raises(ConfigError, match=r"task: .*asks for a lookup"):
            refuse_lookups(value, "task")
    refuse_lookups({"a": ["${b.c}", "cost: 5$", 1, None, "x:y"]}, "task")


def test_a_setting_may_refer_to_another_one(tmp_path):
    (tmp_path / "settings.yaml").write_text("a: {b: 3}\nc: ${a.b}\nd: ${a}\ne: 'x:${c}'\n")
    assert read_settings(tmp_path / "settings.yaml") == {
        "a": {"b": 3},
        "c": 3,
        "d": {"b": 3},
        "e": "x:3",
    }


def test_a_byte_order_mark_is_no_setting(tmp_path):
    (tmp_path / "settings.yaml").write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read_settings(tmp_path / "settings.yaml") == {"a": 1}


def test_few_lines_that_stand_for_millions_of_values_are_refused():
    levels = "".join(f"k{n}: &k{n} [{', '.join([f'*k{n - 1}'] * 9)}]\n" for n in range(1, 12))
    with pytest.raises(ConfigError, match="more than 100,000 values"):
        parsed_settings(f"k0: &k0 [1, 2]\n{levels}", "settings.yaml")
    with pytest.raises(ConfigError, match="more than 100,000 values"):
        parsed_settings("a: &a [1, *a]", "settings.yaml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [", "cannot be read as YAML"),
        (b"a: 1\na: 2\n", "cannot be read as YAML"),
        (b"a: !!python/object/apply:os.system [ls]", "cannot be read as YAML"),
        (b"a: ${b}\n", "not found"),
        (b"\xff\xfea", "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b"a: " + b"x" * MOST_BYTES, "larger than"),
    ],
)
def test_what_is_no_settings_gets_one_line(content, message, tmp_path):
    (tmp_path / "settings.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=rf"settings\.yaml.*{message}") as caught:
        read_settings(tmp_path / "settings.yaml")
    assert "\n" not in str(caught.value)


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_settings(tmp_path / "settings.yaml")
    with pytest.raises(InputError, match="not a file"):
        read_settings(tmp_path)
