"""Gene regulatory networks: which transcription factor regulates which gene, from expression."""

from sclong_tasks.grn.task import GeneRegulatoryNetworks

task = GeneRegulatoryNetworks()

__all__ = ["GeneRegulatoryNetworks", "task"]
