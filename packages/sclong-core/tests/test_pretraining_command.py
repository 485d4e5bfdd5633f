import argparse
import csv
import json
import logging
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
import yaml
from lightning.pytorch.loggers import CSVLogger

from sclong_core.cli.main import main
from sclong_core.config import PRESETS
from sclong_core.errors import ConfigError
from sclong_core.pretraining import command
from sclong_core.pretraining.config_files import (
    description,
    find_config,
    shipped_configs,
    with_config_paths,
)
from tests.support.training import NETWORK_OPTIONS, write_cells

# Lightning asks PyTorch about trees in a way that PyTorch deprecates, and SWIG's types, which
# TensorBoard's protocol buffers bring, have no module.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.isinstance.treespec:FutureWarning"),
    pytest.mark.filterwarnings("ignore:builtin type .* has no __module__:DeprecationWarning"),
]


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """As in a process of its own, in a folder of its own, with one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["sclong"])
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    return write_cells(tmp_path_factory.mktemp("data") / "cells.h5ad")


def words_of(cells, *options):
    return [
        "pretrain",
        "fit",
        "--config=tiny",
        *NETWORK_OPTIONS,
        f"--data.path={cells}",
        "--trainer.default_root_dir=run",
        "--trainer.accelerator=cpu",
        "--trainer.max_epochs=1",
        "--trainer.enable_progress_bar=false",
        "--trainer.log_every_n_steps=2",
        *options,
    ]


def fit(cells, *options):
    return main(words_of(cells, *options))


def table(capsys):
    """A rich table as plain text, whatever the width of the terminal broke."""
    return re.sub(r"[\s│]+", " ", capsys.readouterr().out)


def test_one_seed_decides_weights_order_and_masks(cells, capsys):
    def weights(*options):
        folder = f"runs/{len(list(Path().glob('runs/*')))}"
        words = words_of(cells, *options, f"--trainer.default_root_dir={folder}")
        assert main(words) == 0
        config = yaml.safe_load(next(Path(folder).glob("logs/*/config.yaml")).read_text())
        seeds = [config[part]["seed"] for part in ("model", "data")]
        seeds.append(config["data"]["masking"]["seed"])
        return seeds, (Path(folder) / "model" / "model.safetensors").read_bytes()

    first, other = (weights(f"--seed_everything={seed}") for seed in (0, 3))
    assert (first[0], other[0]) == ([0, 0, 0], [3, 3, 3])
    assert first[1] != other[1]
    assert "seed_everything (3) sets model.seed, data.seed" in capsys.readouterr().err
    assert weights("--seed_everything=3", "--model.seed=5")[0] == [5, 3, 3]


def test_help_is_for_a_terminal(capsys):
    assert main(["pretrain", "--help"]) == 0
    assert "sclong pretrain fit --config tiny" in capsys.readouterr().out
    assert main(["pretrain"]) == 2
    assert main(["pretrain", "fit", "--help"]) == 0
    helped = capsys.readouterr().out
    for option in ("--model.network.preset", "--data.path", "--trainer.max_epochs", "--dry-run"):
        assert option in helped


def test_configurations_are_listed_printed_and_copied(capsys, tmp_path):
    assert main(["pretrain", "configs"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == ["1b-12x8a100", "base", "mini", "small", "tiny"]
    assert main(["pretrain", "configs", "tiny"]) == 0
    assert capsys.readouterr().out == shipped_configs()["tiny"].read_text()
    assert main(["pretrain", "configs", "tiny", "-o", "mine.yaml"]) == 0
    assert Path("mine.yaml").read_text() == shipped_configs()["tiny"].read_text()
    assert main(["pretrain", "configs", "tiny", "-o", "mine.yaml"]) == 2


@pytest.mark.parametrize("name", ["tiny", "tiny.yaml", "configs/pretrain/tiny.yaml"])
def test_a_shipped_configuration_is_found_by_its_name(name, tmp_path):
    assert find_config(name) == shipped_configs()["tiny"]
    assert with_config_paths(["fit", "--config", name]) == [
        "fit",
        "--config",
        str(find_config(name)),
    ]
    assert with_config_paths([f"-c={name}"]) == [f"-c={find_config(name)}"]
    Path("tiny.yaml").write_text("seed_everything: 1\n")
    assert find_config("tiny.yaml") == Path("tiny.yaml")
    with pytest.raises(ConfigError, match="unknown configuration"):
        find_config("elsewhere/tiny.yaml")


@pytest.mark.parametrize("name", sorted(shipped_configs()))
def test_a_shipped_configuration_is_valid_and_can_be_built(name, capsys):
    if name == "mini":
        pytest.importorskip("sclong_data", reason="it is for a corpus")
    path = shipped_configs()[name]
    assert len(description(path)) > 20
    assert yaml.safe_load(path.read_text())["model"]["network"]["preset"] in PRESETS
    words = ["--dry-run", "--model.network.genes=27874"]
    assert main(["pretrain", "fit", f"--config={name}", *words]) == 0
    assert "parameters" in capsys.readouterr().out


def test_the_dry_run_of_the_papers_run(capsys):
    assert main(["pretrain", "fit", "--config=1b-12x8a100", "--dry-run"]) == 0
    shown = table(capsys)
    for figure in ("1,006,086,461", "96 (12 nodes x 8 devices)", "19,200 cells", "bf16-mixed"):
        assert figure in shown
    assert not list(Path().iterdir())


def test_a_dry_run_counts_the_cells_that_are_there(cells, capsys):
    assert fit(cells, "--dry-run", "--data.batch_size=3", "--trainer.devices=2") == 0
    shown = table(capsys)
    assert "40, of which 12 in the large encoder" in shown
    assert "9 of 57 cells" in shown
    assert main(["pretrain", "fit", "--config=tiny", "--dry-run"]) == 2
    assert "number of genes is unknown" in capsys.readouterr().err


def test_a_run_leaves_checkpoints_model_log_and_settings(cells, capsys):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        options = ["--checkpoints.every_n_steps=12", "--checkpoints.keep=1", "--data.batch_size=4"]
        assert fit(cells, *options) == 0
    assert not [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
    left = {str(path.relative_to("run")) for path in Path("run").rglob("*") if path.is_file()}
    assert left == {
        ".lock",
        "checkpoints/step=12.ckpt",
        "checkpoints/step=12.ckpt.json",
        "checkpoints/step=14.ckpt",
        "checkpoints/step=14.ckpt.json",
        "logs/version_0/config.yaml",
        "logs/version_0/metrics.csv",
        "model/README.md",
        "model/config.json",
        "model/model.safetensors",
        "model/vocabulary.tsv",
    }
    with Path("run/logs/version_0/metrics.csv").open() as handle:
        columns = set(next(csv.reader(handle)))
    assert {"train/loss", "val/loss", "val/r2", "val/r2_gene_and_cell"} <= columns
    assert any(column.endswith("samples_per_sec") for column in columns)
    assert not any("mfu" in column for column in columns)  # the peak of a CPU is not known
    said = capsys.readouterr().err
    assert "Tip" not in said
    assert "GPU available" not in said
    assert main(["pretrain", "fit", "--config=run/logs/version_0/config.yaml"]) == 0
    assert "is already finished" in capsys.readouterr().err
    words = ["--config=tiny", *NETWORK_OPTIONS, f"--data.path={cells}", "--trainer.accelerator=cpu"]
    words += ["--trainer.default_root_dir=run", "--trainer.enable_progress_bar=false"]
    assert main(["pretrain", "validate", *words]) == 0
    assert "val/loss" in capsys.readouterr().out


def test_the_path_that_a_shipped_configuration_names_is_said(tmp_path, capsys):
    write_cells(tmp_path / "cells.h5ad")  # of the folder that one happens to be in
    words = [word for word in words_of("", "--trainer.max_steps=1") if "data.path" not in word]
    assert main(words) == 0
    assert f"reading cells from {tmp_path / 'cells.h5ad'}" in capsys.readouterr().err


def test_values_refer_to_one_another(cells, capsys):
    path = Path("mine.yaml")
    path.write_text(
        "trainer: {max_epochs: 4, accelerator: cpu, default_root_dir: r}\n"
        "model: {network: {preset: tiny, genes: 800}, schedule: {first_cycle: "
        "'${trainer.max_epochs}', warmup: 1}}\n"
    )
    assert main(["pretrain", "fit", f"--config={path}", "--print_config"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["model"]["schedule"]["first_cycle"] == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--modle=3"], "--modle"),
        (["--model.network.colour=red"], "colour"),
        (["--model.network.preset=huge"], "preset"),
        (["--model.network.high_genes=99"], "high_genes (99) must not exceed genes (40)"),
        (["--model.network.genes=41"], "vocabulary has 40 genes"),
        (["--model.graph=absent.npz"], "absent.npz does not exist"),
        (["--model.schedule.warmup=9999"], "schedule.warmup"),
        (["--data.batch_size=0"], "data.batch_size"),
        (["--data.batch_size=99"], "do not fill one batch"),
        (["--data.path=absent.h5ad"], "absent.h5ad does not exist"),
        (["--data.path=null"], "data.path is missing"),
        (["--trainer.precision=16-mixed"], "use bf16-mixed"),
        (["--trainer.precision=64-true"], "32-true or bf16-mixed"),
        (["--trainer.max_epochs=x"], "max_epochs"),
        (["--ckpt_path=absent.ckpt"], "absent.ckpt does not exist"),
        (["--checkpoints.keep=0"], "checkpoints.keep"),
        (["--plan.utilisation=2", "--dry-run"], "plan.utilisation"),
        (["--config=absent"], "unknown configuration 'absent'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(cells, capsys, options, message):
    assert fit(cells, *options) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ")
    assert message in last


def test_other_commands_are_refused(capsys):
    assert main(["pretrain", "frobnicate"]) == 2
    assert main(["pretrain", "configs", "absent"]) == 2
    assert main(["pretrain", "configs", "--absent"]) == 2
    assert all(line.startswith("error: ") for line in capsys.readouterr().err.splitlines())
    assert command.command.add_arguments(argparse.ArgumentParser()) is None


@pytest.mark.parametrize(
    ("package", "logger"),
    [
        ("tensorboard", "TensorBoardLogger"),
        ("wandb", "WandbLogger"),
    ],
)
def test_other_loggers_are_an_option(cells, package, logger):
    pytest.importorskip(package)
    options = [f"--trainer.logger={logger}", "--trainer.logger.save_dir=elsewhere"]
    if package == "wandb":
        options.append("--trainer.logger.offline=true")
    assert fit(cells, *options, "--trainer.limit_train_batches=2") == 0
    assert list(Path("elsewhere").rglob("*"))


def test_loggers_hear_of_checkpoints_from_lightnings_own_callback_alone(cells, monkeypatch, capsys):
    """What ``log_model`` of the WandbLogger rests on."""
    heard = []
    monkeypatch.setattr(
        CSVLogger, "after_save_checkpoint", lambda self, saved: heard.append(saved.best_model_path)
    )
    often = ["--trainer.limit_train_batches=4", "--checkpoints.every_n_steps=2"]
    assert fit(cells, *often) == 0
    assert Path("run/checkpoints/step=4.ckpt").exists()
    assert heard == []
    own = {"dirpath": "own/checkpoints", "every_n_train_steps": 2, "save_top_k": -1}
    callbacks = [{"class_path": "ModelCheckpoint", "init_args": own}]
    often += [f"--trainer.callbacks={json.dumps(callbacks)}", "--trainer.default_root_dir=own"]
    assert fit(cells, *often, "--checkpoints.keep=-1") == 0
    assert [Path(path).name for path in heard] == ["epoch=0-step=2.ckpt", "epoch=0-step=4.ckpt"]
    assert fit(cells, *often, "--checkpoints.keep=-1", "--trainer.max_epochs=2") == 0
    assert "going on from own/checkpoints/" in capsys.readouterr().err
    assert len(heard) == 4


def test_keys_of_the_environment_are_written_nowhere(cells):
    """Neither into logs, settings, checkpoints and models nor onto the terminal."""
    pytest.importorskip("wandb")
    keys = {"WANDB_API_KEY": "5ec2e7" * 6 + "0000", "HF_TOKEN": "hf_s3cr3tofsomebody"}
    options = ["--trainer.logger=WandbLogger", "--trainer.logger.save_dir=elsewhere"]
    options += ["--trainer.logger.offline=true", "--trainer.limit_train_batches=2"]
    # Without the service of wandb that another test in this process may have started.
    outside = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
    done = subprocess.run(
        [sys.executable, "-m", "sclong_core", *words_of(cells, *options)],
        capture_output=True,
        check=False,
        env={**outside, **keys},
    )
    assert done.returncode == 0, done.stderr
    written = [path for path in Path.cwd().rglob("*") if path.is_file()]
    assert {"config.yaml", "model.safetensors"} <= {path.name for path in written}
    assert any(path.suffix == ".wandb" for path in written)
    for key in map(str.encode, keys.values()):
        assert key not in done.stdout + done.stderr
        assert not [path for path in written if key in path.read_bytes()]


def test_logging_is_left_as_it_was(cells):
    logger = logging.getLogger("sclong")
    before = logger.level, list(logger.handlers)
    fit(cells, "--data.path=absent.h5ad")
    assert (logger.level, logger.handlers) == before
