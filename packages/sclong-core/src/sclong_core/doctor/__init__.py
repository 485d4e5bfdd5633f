"""What a checkpoint needs, told from real cells: ``sclong doctor``."""

from sclong_core.doctor.cells import RECORD, Diagnosis, diagnose, doctor

__all__ = ["RECORD", "Diagnosis", "diagnose", "doctor"]
