"""The device that a user names, if it is there."""

import torch

from sclong_core.errors import ConfigError


def find_device(device: str | torch.device) -> torch.device:
    """A device of this machine; "auto" is a GPU if there is one.

    Raises:
        ConfigError: there is no such device here.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(f"there is no device {str(device)!r} on this machine") from error
    return found
