"""Seconds of processor time at 27,874 genes: a teacher of the ``small`` shape and a student of it.

    OMP_NUM_THREADS=1 python -m studies.students.speed -o speed.json

Weights are untrained, cells are made up with 2,000 expressed genes: neither changes the cost. Time
is that of the processor, so that other work on the machine counts little.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from sclong_core import ScLong, ScLongConfig
from sclong_core.distillation.distil import new_student

GENES, EXPRESSED = 27_874, 2_000


def main() -> None:
    """Measure both, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    teacher = ScLong(replace(ScLongConfig.preset("small"), graph="none")).eval()
    student = new_student(teacher, 0).eval()
    cells = torch.rand(64, GENES)
    cells[cells < 1 - EXPRESSED / GENES] = 0
    with torch.inference_mode():
        of_teacher = seconds(lambda: teacher(cells[:1]), 3)
        of_student = seconds(lambda: student.cell_vectors(cells), 9) / len(cells)
    found = {
        "teacher, s a cell": of_teacher,
        "student, s a cell": of_student,
        "student, cells a s": 1 / of_student,
        "parameters of the teacher": sum(value.numel() for value in teacher.parameters()),
        "bytes of the student": 2 * sum(value.numel() for value in student.state_dict().values()),
    }
    args.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def seconds(work: Callable[[], object], times: int) -> float:
    """Median processor time of some work."""
    taken = []
    for _ in range(times + 1):
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    return statistics.median(taken[1:])


if __name__ == "__main__":
    main()
