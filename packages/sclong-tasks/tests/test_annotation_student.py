"""Labels by a student of a model: its vectors are used, and not mixed with its teacher's."""

from pathlib import Path

import numpy as np
import pytest

from sclong_core import save_checkpoint
from sclong_core.distillation.distil import new_student
from sclong_core.errors import InputError
from sclong_core.testing import make_counts_anndata, make_tiny_model
from sclong_tasks.annotation.vectors import Embedder, require_same_encoder


def test_a_student_makes_vectors_that_are_not_mixed_with_its_teachers(tmp_path):
    teacher = make_tiny_model()
    student = new_student(teacher, 0)
    save_checkpoint(teacher, tmp_path / "teacher")
    save_checkpoint(student, tmp_path / "student")
    cells = make_counts_anndata(20, teacher.config.genes)
    of_student, of_teacher = (
        Embedder(str(tmp_path / name), device="cpu", allow_poor_match=True).vectors_of(
            cells, Path("cells.h5ad")
        )
        for name in ("student", "teacher")
    )
    assert of_student.vectors.shape == (20, teacher.config.dim)
    assert np.isfinite(of_student.vectors).all()
    require_same_encoder(of_student, of_student.encoder)
    with pytest.raises(InputError, match="embed both with one model"):
        require_same_encoder(of_student, of_teacher.encoder)
