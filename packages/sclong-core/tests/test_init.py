import ast
from pathlib import Path

import pytest

import sclong_core


@pytest.mark.parametrize("name", sclong_core.__all__)
def test_every_public_name_loads(name):
    assert getattr(sclong_core, name) is not None
    assert name in dir(sclong_core)


def test_an_unknown_name_is_refused():
    with pytest.raises(AttributeError, match="no attribute 'ScShort'"):
        sclong_core.ScShort  # noqa: B018  # the access is what is tested


def test_type_checkers_see_the_same_names_as_users():
    tree = ast.parse(Path(sclong_core.__file__).read_text(encoding="utf-8"))
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {(alias.asname, node.module) for node in guarded.body for alias in node.names}
    used = {(name, f"sclong_core.{module}") for name, module in sclong_core._MODULES.items()}
    assert seen == used
    assert {name for name, _ in used} | {"__version__"} == set(sclong_core.__all__)
