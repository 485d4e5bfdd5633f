"""The device that a user names, and threads."""

import pytest
import torch

from sclong_core.devices import find_device, one_thread
from sclong_core.errors import ConfigError


def test_devices_that_are_there():
    assert find_device("cpu") == torch.device("cpu")
    assert find_device(torch.device("cpu")) == torch.device("cpu")
    there = "cuda" if torch.cuda.is_available() else "cpu"
    assert find_device("auto") == torch.device(there)


@pytest.mark.parametrize("name", ["abacus", "cuda:77", "cpu:x", ""])
def test_devices_that_are_not(name):
    with pytest.raises(ConfigError, match="there is no device"):
        find_device(name)


def test_threads_are_as_before_after_work_on_one():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
