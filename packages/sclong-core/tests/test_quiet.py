"""Lightning's greetings are not shown, its errors are, and all is as before afterwards."""

import logging
import warnings

import pytest

from sclong_core.quiet import quiet_lightning


def test_greetings_and_advice_are_left_out_and_errors_stay(caplog):
    logger = logging.getLogger("lightning.pytorch")
    before = logger.level
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with quiet_lightning():
            logger.info("a tip")
            logger.error("a fault")
            for module in ("lightning.pytorch.loops", "sclong_core.model"):
                warnings.warn_explicit(module, UserWarning, "x.py", 1, module=module)
    assert "a tip" not in caplog.text
    assert "a fault" in caplog.text
    assert [str(one.message) for one in seen] == ["sclong_core.model"]
    assert logger.level == before


def test_levels_are_put_back_after_an_error():
    logger = logging.getLogger("lightning.fabric")
    before = logger.level
    with pytest.raises(ValueError, match="it"), quiet_lightning():
        raise ValueError("it")
    assert logger.level == before
