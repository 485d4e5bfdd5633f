"""Cancer drug response after DeepCDR: ln IC50 of a drug in a cell line."""

from sclong_tasks.drug_response.task import DrugResponse

task = DrugResponse()

__all__ = ["DrugResponse", "task"]
