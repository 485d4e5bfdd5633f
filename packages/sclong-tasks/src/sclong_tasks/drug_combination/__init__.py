"""Drug combination after DeepDDS: whether two drugs are synergistic in a cell line."""

from sclong_tasks.drug_combination.task import DrugCombination

task = DrugCombination()

__all__ = ["DrugCombination", "task"]
