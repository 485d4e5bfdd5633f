import pytest

from sclong_bench.demo.settings import DemoSettings
from sclong_core.errors import ConfigError


@pytest.mark.parametrize(
    ("change", "message"),
    [({"seed": -1}, "--seed"), ({"seed": 2**32}, "--seed"), ({"epochs": 0}, "--epochs")],
)
def test_impossible_settings_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        DemoSettings(**change)


def test_settings_are_plain_values():
    values = DemoSettings().to_dict()
    assert DemoSettings(**values) == DemoSettings()
    assert all(isinstance(value, int | float | str) for value in values.values())
