"""Each job script of ``sclong slurm`` is one that sbatch, bash and the commands in it understand.

The scripts run with stand-ins for what they call, which parse their arguments and do nothing else.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import sclong_core
from sclong_core.cli.main import main
from sclong_core.cli.slurm import SCRIPTS as NAMES
from tests.support.training import write_cells

SCRIPTS = Path(sclong_core.__file__).with_name("slurm")
TEMPLATES = sorted(SCRIPTS.glob("*.sbatch"))
SRUN = """#!/bin/bash
while [[ $1 == -* ]]; do shift; done
exec "$@"
"""
SCLONG = """#!{python}
import argparse, sys
from importlib.metadata import entry_points
from sclong_core.cli.main import main
name, *words = sys.argv[1:]
print(name, *words)
[command] = [entry.load() for entry in entry_points(group="sclong.commands") if entry.name == name]
if name == "pretrain":
    sys.exit(main([name, *words, "--dry-run"]))
parser = argparse.ArgumentParser()
command.add_arguments(parser)
parser.parse_args(words)
"""
DASK = """#!{python}
import sys
from importlib import import_module
name, *words = sys.argv[1:]
import_module(f"distributed.cli.dask_{{name}}").main.make_context(name, words)
print("dask", name)
"""
WORDS = {
    "bench": ["suite.yaml"],
    "embed": ["files.txt", "model", "embedded"],
    "harmonise": ["manifest.tsv", "-o", "corpus", "--vocabulary", "vocabulary.tsv"],
    "pretrain": ["--config", "tiny", "--data.path", "cells.h5ad"],
    "task": ["drug_response", "--model", "drug_mean"],
}
JOB = {
    "SLURM_JOB_ID": "17",
    "SLURM_ARRAY_TASK_ID": "3",
    "SLURM_ARRAY_TASK_MIN": "3",
    "SLURM_ARRAY_TASK_COUNT": "1",
    "SLURM_MEM_PER_CPU": "8192",
}


def named(template):
    return template.stem


@pytest.mark.parametrize("template", TEMPLATES, ids=named)
class TestTemplates:
    def test_is_a_script_that_bash_can_read(self, template):
        subprocess.run(["bash", "-n", template], check=True)

    def test_sbatch_sees_every_directive(self, template):
        """A line '# SBATCH', or one after the first command, is passed over without a word."""
        lines = template.read_text().splitlines()
        first_command = next(
            number for number, line in enumerate(lines) if line and not line.startswith("#")
        )
        directives = [n for n, line in enumerate(lines) if re.match(r"#\s*SBATCH", line)]
        assert directives
        for number in directives:
            assert lines[number].startswith("#SBATCH --"), lines[number]
            assert number < first_command, lines[number]

    def test_says_how_it_is_submitted(self, template):
        assert f": sbatch {template.name}" in template.read_text().splitlines()[1]

    def test_can_come_back(self, template):
        text = template.read_text()
        for directive in ("--job-name=", "--time=", "--requeue", "--open-mode=append", "--output="):
            assert f"#SBATCH {directive}" in text

    def test_its_commands_understand_their_words(self, template, tmp_path):
        folder = tmp_path / "bin"
        folder.mkdir()
        stand_ins = {"srun": SRUN, "sclong": SCLONG, "dask": DASK, "scontrol": "#!/bin/sh\n"}
        for name, text in stand_ins.items():
            (folder / name).write_text(text.format(python=sys.executable) if "{" in text else text)
            (folder / name).chmod(0o755)
        write_cells(tmp_path / "cells.h5ad")
        (tmp_path / "files.txt").write_text("cells.h5ad\n")
        done = subprocess.run(
            ["bash", template, *WORDS[template.stem]],
            cwd=tmp_path,
            env={**JOB, "PATH": f"{folder}:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert WORDS[template.stem][0] in done.stdout or template.stem == "embed"
        assert "error" not in done.stderr


def test_long_training_is_told_before_its_time_is_over():
    assert "#SBATCH --signal=SIGUSR1@180" in (SCRIPTS / "pretrain.sbatch").read_text()


def test_every_script_can_be_had_from_the_command(tmp_path, capsys):
    assert sorted(NAMES) == [template.stem for template in TEMPLATES]
    for template in TEMPLATES:
        assert main(["slurm", template.stem]) == 0
        assert capsys.readouterr().out == template.read_text()
    assert main(["pretrain", "slurm"]) == 0
    assert capsys.readouterr().out == (SCRIPTS / "pretrain.sbatch").read_text()


def test_a_file_that_is_there_is_kept(tmp_path, capsys):
    path = tmp_path / "job.sbatch"
    assert main(["slurm", "embed", "-o", str(path)]) == 0
    written = path.read_text()
    assert main(["slurm", "pretrain", "-o", str(path)]) == 2
    assert "already exists" in capsys.readouterr().err
    assert path.read_text() == written
