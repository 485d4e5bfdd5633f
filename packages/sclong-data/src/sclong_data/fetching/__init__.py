"""Fetching files: resumable, checked, and never half there."""

from sclong_data.fetching.archives import unpack
from sclong_data.fetching.checksums import Lock
from sclong_data.fetching.download import Patience, download
from sclong_data.fetching.fetch import Fetched, fetch

__all__ = ["Fetched", "Lock", "Patience", "download", "fetch", "unpack"]
