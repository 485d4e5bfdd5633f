"""Zero-shot batch integration: do embeddings of cells part types and mix batches?"""

from sclong_tasks.batch_integration.task import BatchIntegration

task = BatchIntegration()

__all__ = ["BatchIntegration", "task"]
