"""Distillation: the teacher's vectors, views, training that resumes, and the student's folder."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from sclong_core import ScLong
from sclong_core.checkpoint import read_checkpoint_info, save_checkpoint
from sclong_core.cli.distill import command
from sclong_core.cli.main import main
from sclong_core.config import StudentConfig
from sclong_core.distillation import module as training
from sclong_core.distillation.cells import TaughtCells, read_taught
from sclong_core.distillation.distil import new_student, teach
from sclong_core.distillation.module import Distillation, DistillOptions, Whitening
from sclong_core.distillation.start import narrowed
from sclong_core.distillation.views import WHOLE, ViewOptions, draw_view
from sclong_core.embedding.embed_files import Embedder
from sclong_core.embedding.jobs import EmbedOptions
from sclong_core.errors import ConfigError
from sclong_core.files import sha256_file
from sclong_core.model import Student
from sclong_core.testing import make_counts_anndata, make_tiny_model

TEACHER = make_tiny_model()
CELLS = (40, 30)


@pytest.fixture(autouse=True)
def short_epochs(monkeypatch):
    monkeypatch.setattr(training, "EPOCH", 4)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("distilled")
    save_checkpoint(TEACHER, folder / "teacher")
    for number, cells in enumerate(CELLS):
        adata = make_counts_anndata(cells, TEACHER.config.genes, seed=number)
        adata.X = adata.X * 3
        adata = adata[:, : TEACHER.config.genes - 4 * number].copy()  # the second measures fewer
        adata.write_h5ad(folder / f"cells{number}.h5ad")
    return folder


def _words(made, output, *more: str) -> list[str]:
    cells = [str(made / f"cells{number}.h5ad") for number in range(len(CELLS))]
    words = ["distill", "--teacher", str(made / "teacher"), "--cells", *cells, "-o", str(output)]
    return [*words, "--steps", "8", "--train-batch-size", "16", *more]


@pytest.fixture(scope="module")
def taught(made):
    info = read_checkpoint_info(made / "teacher")
    embedder = Embedder(TEACHER, info, EmbedOptions())
    jobs = teach(embedder, [made / "cells0.h5ad", made / "cells1.h5ad"], made / "vectors")
    return read_taught(TEACHER, jobs, EmbedOptions())


def _view(taught: TaughtCells, options: ViewOptions, chosen=(0, 5, 41, 69), seed: int = 0):
    return draw_view(taught, np.array(chosen), options, 1e4, np.random.default_rng(seed))


def test_the_command_makes_a_student_that_embeds(made, tmp_path, capsys):
    output = tmp_path / "student"
    assert main(_words(made, output)) == 0
    assert "cosine with the teacher" in capsys.readouterr().out
    origin = read_checkpoint_info(output).origin
    assert origin["kind"] == "distillation"
    assert origin["teacher"] == read_checkpoint_info(made / "teacher").digest
    assert origin["cells"] == sorted(sha256_file(path) for path in made.glob("cells*.h5ad"))
    assert origin["options"]["seed"] == 0
    model = ScLong.from_pretrained(output, device="cpu")
    found = model.embed(made / "cells1.h5ad")
    assert found.shape == (CELLS[1], TEACHER.config.dim)
    assert np.isfinite(found).all()
    kept = np.load(tmp_path / "student.work" / "vectors" / "cells1.npy")
    np.testing.assert_allclose(kept, TEACHER.embed(made / "cells1.h5ad"), atol=1e-5)


def test_an_interrupted_training_goes_on_to_the_same_student(made, tmp_path, monkeypatch, capsys):
    assert main(_words(made, tmp_path / "whole")) == 0
    step = Distillation.training_step
    seen = []

    def stop(self, view, number):
        seen.append(number)
        if len(seen) == 6:
            raise KeyboardInterrupt
        return step(self, view, number)

    monkeypatch.setattr(Distillation, "training_step", stop)
    assert main(_words(made, tmp_path / "cut")) == 130
    assert "--resume" in capsys.readouterr().err
    assert not (tmp_path / "cut").exists()
    assert main(_words(made, tmp_path / "cut", "--resume")) == 0
    assert len(seen) == 6 + 4  # the first epoch of four steps was kept
    digests = [read_checkpoint_info(tmp_path / name).digest for name in ("whole", "cut")]
    assert digests[0] == digests[1]


def test_unfinished_training_of_other_settings_is_refused(made, tmp_path, monkeypatch, capsys):
    def stop(self, view, number):
        raise KeyboardInterrupt

    assert main(_words(made, tmp_path / "one")) == 0
    (tmp_path / "one").rename(tmp_path / "moved")
    assert main(_words(made, tmp_path / "one", "--resume", "--seed", "1")) == 2
    assert "other settings" in capsys.readouterr().err


def test_vectors_that_are_there_are_used_by_another_student(made, tmp_path, monkeypatch):
    work = str(tmp_path / "work")
    assert main(_words(made, tmp_path / "one", "--work", work)) == 0
    monkeypatch.setattr(
        "sclong_core.embedding.embed_files.embed_cells",
        lambda *_args, **_named: pytest.fail("the teacher embeds again"),
    )
    assert main(_words(made, tmp_path / "two", "--work", work, "--seed", "3")) == 0
    one, two = (read_checkpoint_info(tmp_path / name).digest for name in ("one", "two"))
    assert one != two


def test_a_student_that_is_there_is_not_replaced_unless_asked(made, tmp_path, capsys):
    save_checkpoint(TEACHER, tmp_path / "there")
    before = read_checkpoint_info(tmp_path / "there").digest
    assert main(_words(made, tmp_path / "there")) == 2
    assert "already exists" in capsys.readouterr().err
    assert read_checkpoint_info(tmp_path / "there").digest == before
    assert main(_words(made, tmp_path / "there", "--overwrite")) == 0
    assert read_checkpoint_info(tmp_path / "there").digest != before


def test_a_student_teaches_nobody(made, tmp_path, capsys):
    save_checkpoint(new_student(TEACHER, 0), tmp_path / "student")
    words = _words(made, tmp_path / "other")
    words[words.index("--teacher") + 1] = str(tmp_path / "student")
    assert main(words) == 2
    assert "is a student itself" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [("--steps", "0"), ("--train-batch-size", "0"), ("--seed", "-1")])
def test_impossible_settings_are_refused(made, tmp_path, capsys, wrong):
    assert main([*_words(made, tmp_path / "student"), *wrong]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_the_help_says_what_it_is_for():
    assert "student" in command.help


def test_one_file_is_enough(made, tmp_path, caplog):
    caplog.set_level("INFO", "sclong")
    words = ["distill", "--teacher", str(made / "teacher"), "--steps", "1", "--cells"]
    assert main([*words, str(made / "cells0.h5ad"), "-o", str(tmp_path / "student")]) == 0
    assert "on cells left out" in caplog.text  # a share of them, as there is no other file
    assert "cosine 0.000" not in caplog.text


def test_taught_cells_are_what_the_teacher_reads(taught):
    assert len(taught.targets) == sum(CELLS)
    assert taught.measured.sum(1).tolist() == [TEACHER.config.genes, TEACHER.config.genes - 4]
    assert len(taught.training) + len(taught.held_out) == sum(CELLS)
    assert not set(taught.training) & set(taught.held_out)
    mean, square, rate = taught.moments()
    assert (square >= mean**2 - 1e-5).all()
    assert ((rate >= 0) & (rate <= 1)).all()


def test_a_whole_view_shows_cells_as_they_are(taught):
    view = _view(taught, WHOLE)
    for number, cell in enumerate((0, 5, 41, 69)):
        own = slice(taught.starts[cell], taught.starts[cell + 1])
        first = int(view.cells.starts[number])
        rest = slice(first, first + own.stop - own.start)
        np.testing.assert_array_equal(view.cells.genes[rest], taught.genes[own])
        np.testing.assert_array_equal(view.cells.values[rest], taught.values[own])
    np.testing.assert_array_equal(view.target, taught.targets[[0, 5, 41, 69]])
    assert view.measured[view.set_of].sum(1).tolist() == [24, 24, 20, 20]


def test_thinned_views_lose_counts_and_keep_their_scale(taught):
    every = np.arange(len(taught.targets))
    whole = _view(taught, WHOLE, every)
    totals = []
    for seed in range(30):
        thin = _view(taught, ViewOptions(thinned=1, least_depth=0.1, in_panels=0), every, seed)
        assert len(thin.cells.genes) < len(whole.cells.genes)
        assert (thin.cells.values > 0).all()
        totals.append(float(torch.expm1(thin.cells.values.double()).sum()))
    assert np.mean(totals) == pytest.approx(
        float(torch.expm1(whole.cells.values.double()).sum()), rel=0.05
    )


def test_a_view_of_a_panel_shows_no_other_genes(taught):
    view = _view(taught, ViewOptions(thinned=0, in_panels=1, least_genes=4), range(70))
    ends = torch.cat([view.cells.starts[1:], torch.tensor([len(view.cells.genes)])])
    row = torch.repeat_interleave(torch.arange(70), ends - view.cells.starts)
    assert view.measured[view.set_of[row], view.cells.genes].all()
    assert (view.measured.sum(1) < 24).any()


def test_whitened_vectors_have_their_inverse():
    vectors = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32) * [5, 1, 1, 1, 1, 0]
    white = Whitening.of(vectors.astype(np.float32))
    torch.testing.assert_close(white.encoding @ white.decoding, torch.eye(6))
    assert torch.isfinite(white.encoding).all()
    assert (white.scale > 0).all()


def test_training_starts_from_the_best_linear_map_of_the_teachers_gene_vectors(taught):
    genes = torch.randn(TEACHER.config.genes, 4, generator=torch.Generator().manual_seed(0))
    row = np.repeat(np.arange(sum(CELLS)), np.diff(taught.starts))
    targets = np.zeros((sum(CELLS), 4), np.float32)
    np.add.at(targets, row, taught.values[:, None] * genes.numpy()[taught.genes])
    linear = dataclasses.replace(
        taught, targets=targets, measured=np.ones_like(taught.measured), source=taught.source
    )
    config = dataclasses.replace(TEACHER.config, student=StudentConfig(rank=4, width=4))
    student = Student(config, TEACHER.vocabulary)
    module = Distillation(student, linear, DistillOptions(steps=1, views=WHOLE), {})
    module.start(genes)
    assert module.held_out_cosine() > 0.7


def test_gene_vectors_are_narrowed_to_their_principal_directions():
    vectors = torch.randn(30, 2) @ torch.randn(2, 10)
    found = narrowed(vectors, 4)
    centred = vectors - vectors.mean(0)
    torch.testing.assert_close(found @ found.T, centred @ centred.T, atol=1e-3, rtol=1e-3)
    assert narrowed(torch.randn(30, 3), 8).shape == (30, 8)


@pytest.mark.parametrize(
    "wrong", [{"least_depth": 0}, {"thinned": 2}, {"in_panels": -1}, {"least_genes": 0}]
)
def test_impossible_views_are_refused(wrong):
    with pytest.raises(ConfigError):
        ViewOptions(**wrong)


def test_the_student_records_plain_json(made, tmp_path):
    assert main(_words(made, tmp_path / "student")) == 0
    json.dumps(dict(read_checkpoint_info(tmp_path / "student").origin))
