"""Whether an error says that another process of the same work has died."""

import re

from sclong_core.errors import causes

_READER = re.compile(
    r"DataLoader worker \(pid(\(s\))? [\d, ]+\) (exited unexpectedly|is killed by)"
)
_RANK = re.compile(
    r"(gloo|nccl|ProcessGroup|distributed).*(closed by peer|reset by peer|remote process exited"
    r"|socket closed|broken pipe|unhandled system error)", re.I | re.S,
)  # fmt: skip
"""What PyTorch says to the ranks that are left."""


def lost_process(error: BaseException) -> str | None:
    """What has died, and what to do about it, in words for a user; None for another error."""
    for seen in causes(error):
        reason = " ".join(str(seen).split())[:200]
        if isinstance(seen, RuntimeError) and _READER.search(str(seen)):
            return (
                f"a process that reads cells has died ({reason}): it was killed, or memory was "
                "short; run the same command again, with fewer workers if it happens again"
            )
        if isinstance(seen, RuntimeError) and _RANK.search(str(seen)):
            return (
                f"another process of this run has died ({reason}): see what it said; the same "
                "command goes on from what was finished"
            )
    return None
