"""Models of other packages: found by entry point, refused by name."""

import pytest

from sclong_core.embedding import offered
from sclong_core.errors import ConfigError, ScLongError


class Entry:
    name, value = "a", "package:provider"

    def load(self):
        raise ImportError("no module\nof that name")


def test_without_packages_the_install_is_told(monkeypatch):
    monkeypatch.setattr(offered, "entry_points", lambda group: [])
    with pytest.raises(ConfigError, match=r"choose one of sclong; pip install sclong-tasks"):
        offered.offered_encoder("scgpt", "folder", {})


def test_a_package_that_cannot_be_loaded_is_named(monkeypatch):
    monkeypatch.setattr(offered, "entry_points", lambda group: [Entry()])
    with pytest.raises(ScLongError, match=r"package:provider cannot be loaded: no module of that"):
        offered.providers()
