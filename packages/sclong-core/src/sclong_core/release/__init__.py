"""The authors' released weights: what is in them (files, settings, tensors), and conversion."""

from sclong_core.release.convert import convert_release

__all__ = ["convert_release"]
