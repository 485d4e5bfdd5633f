"""scLong: a foundation model of single-cell expression over all human genes.

The names below are loaded on first use, so that ``import sclong_core`` stays fast: it loads
neither PyTorch nor Lightning.
"""

from importlib.metadata import version
from typing import TYPE_CHECKING

from sclong_core.lazy import lazy_names

if TYPE_CHECKING:
    from sclong_core.checkpoint import CheckpointInfo as CheckpointInfo
    from sclong_core.checkpoint import read_checkpoint_info as read_checkpoint_info
    from sclong_core.checkpoint import save_checkpoint as save_checkpoint
    from sclong_core.config import ContextConfig as ContextConfig
    from sclong_core.config import InputConfig as InputConfig
    from sclong_core.config import PerformerConfig as PerformerConfig
    from sclong_core.config import ReadoutConfig as ReadoutConfig
    from sclong_core.config import ScLongConfig as ScLongConfig
    from sclong_core.errors import CheckpointError as CheckpointError
    from sclong_core.errors import ConfigError as ConfigError
    from sclong_core.errors import InputError as InputError
    from sclong_core.errors import ScLongError as ScLongError
    from sclong_core.graph import GeneGraph as GeneGraph
    from sclong_core.model import ScLong as ScLong
    from sclong_core.model import ScLongOutput as ScLongOutput
    from sclong_core.model import load_checkpoint as load_checkpoint
    from sclong_core.pretraining.module import ScLongPretraining as ScLongPretraining
    from sclong_core.release import convert_release as convert_release
    from sclong_core.vocabulary import GeneVocabulary as GeneVocabulary

__version__ = version("sclong-core")

_MODULES = {
    "CheckpointError": "errors",
    "CheckpointInfo": "checkpoint",
    "ConfigError": "errors",
    "ContextConfig": "config",
    "GeneGraph": "graph",
    "GeneVocabulary": "vocabulary",
    "InputConfig": "config",
    "InputError": "errors",
    "PerformerConfig": "config",
    "ReadoutConfig": "config",
    "ScLong": "model",
    "ScLongConfig": "config",
    "ScLongError": "errors",
    "ScLongOutput": "model",
    "ScLongPretraining": "pretraining.module",
    "convert_release": "release",
    "load_checkpoint": "model",
    "read_checkpoint_info": "checkpoint",
    "save_checkpoint": "checkpoint",
}

__all__ = [
    "CheckpointError",
    "CheckpointInfo",
    "ConfigError",
    "ContextConfig",
    "GeneGraph",
    "GeneVocabulary",
    "InputConfig",
    "InputError",
    "PerformerConfig",
    "ReadoutConfig",
    "ScLong",
    "ScLongConfig",
    "ScLongError",
    "ScLongOutput",
    "ScLongPretraining",
    "__version__",
    "convert_release",
    "load_checkpoint",
    "read_checkpoint_info",
    "save_checkpoint",
]

__getattr__, __dir__ = lazy_names(globals(), _MODULES)
