"""A process that holds one subject, and runs it each time it is told to.

Run as ``python -m benchmarks.worker SUBJECT`` with the subject as JSON. It reads commands, one a
line (``run``, ``save PATH``), and answers each with a line of JSON. A process of its own gives a
subject a memory figure of its own; several at once, told in turn, are measured side by side.
"""

import json
import os
import sys
import time
from typing import Any, TextIO

import numpy as np
import torch
from torch import Tensor

from benchmarks.candidates import Prepared, prepare
from benchmarks.machine import describe_machine, memory
from benchmarks.subject import Subject


def main() -> None:
    """Prepare the subject, say so, and obey until the input ends."""
    answers = _answers()
    description = json.loads(sys.argv[1])
    if description == "machine":
        _answer(answers, {"machine": describe_machine()})
        return
    subject = Subject(**description)
    start = time.perf_counter()
    prepared = prepare(subject)
    _answer(
        answers,
        {
            "seconds": time.perf_counter() - start,
            "parameters": prepared.parameters,
            **_memory(subject),
        },
    )
    result: Tensor | None = None
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        if command == "run":
            result, seconds = _run(prepared, subject)
            _answer(answers, {"seconds": seconds, **_memory(subject)})
        elif command == "save" and result is not None:
            np.save(argument, result.float().cpu().numpy())
            _answer(answers, {"saved": argument})


def _run(prepared: Prepared, subject: Subject) -> tuple[Tensor, float]:
    on_accelerator = subject.device != "cpu"
    if on_accelerator:
        torch.cuda.synchronize()
    start = time.perf_counter()
    result = prepared.run()
    if on_accelerator:
        torch.cuda.synchronize()
    return result, time.perf_counter() - start


def _memory(subject: Subject) -> dict[str, Any]:
    figures: dict[str, Any] = {"memory": memory()}
    if subject.device != "cpu":
        figures["accelerator_peak"] = torch.cuda.max_memory_allocated()
    return figures


def _answers() -> TextIO:
    """The standard output, kept for answers: whatever else is printed goes to standard error."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers


def _answer(answers: TextIO, answer: dict[str, Any]) -> None:
    print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
