"""The benchmarks of the scLong paper, with scLong and with what it is compared to.

The names below are loaded on first use, so that ``import sclong_tasks`` stays fast.
"""

from importlib.metadata import version
from typing import TYPE_CHECKING

from sclong_core.lazy import lazy_names

if TYPE_CHECKING:
    from sclong_tasks.predict import PredictRequest as PredictRequest
    from sclong_tasks.registry import get_model as get_model
    from sclong_tasks.registry import get_task as get_task
    from sclong_tasks.results import read_runs as read_runs
    from sclong_tasks.results import summarise as summarise
    from sclong_tasks.run import RunRequest as RunRequest
    from sclong_tasks.run import run_task as run_task

__version__ = version("sclong-tasks")

_MODULES = {
    "PredictRequest": "predict",
    "RunRequest": "run",
    "get_model": "registry",
    "get_task": "registry",
    "read_runs": "results",
    "run_task": "run",
    "summarise": "results",
}

__all__ = [
    "PredictRequest",
    "RunRequest",
    "__version__",
    "get_model",
    "get_task",
    "read_runs",
    "run_task",
    "summarise",
]

__getattr__, __dir__ = lazy_names(globals(), _MODULES)
