"""Fetching files: resumable, checked, and never half there."""

from sclong_data.fetching.archives import unpack
from sclong_data.fetching.download import Patience, download
from sclong_data.fetching.fetch import Fetched, fetch
from sclong_data.fetching.lock import Lock

__all__ = ["Fetched", "Lock", "Patience", "download", "fetch", "unpack"]
