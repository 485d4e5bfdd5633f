import sys
from types import ModuleType

import pytest

from sclong_core.lazy import lazy_names


@pytest.fixture
def namespace(monkeypatch):
    inner = ModuleType("planted.inner")
    inner.value = 7
    monkeypatch.setitem(sys.modules, "planted", ModuleType("planted"))
    monkeypatch.setitem(sys.modules, "planted.inner", inner)
    return {"__name__": "planted", "__all__": ["value", "own"], "own": 1}


def test_a_name_is_imported_once_and_kept(namespace):
    get, names = lazy_names(namespace, {"value": "inner"})
    assert "value" not in namespace
    assert "value" in names()
    assert get("value") == 7
    assert namespace["value"] == 7


def test_another_name_is_missing_as_in_any_module(namespace):
    get, _ = lazy_names(namespace, {"value": "inner"})
    with pytest.raises(AttributeError, match="module 'planted' has no attribute 'other'"):
        get("other")
