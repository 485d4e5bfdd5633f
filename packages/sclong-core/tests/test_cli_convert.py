import subprocess
import sys

import pytest

from sclong_core.cli.convert import command
from sclong_core.cli.main import main
from sclong_core.files import sha256_file
from sclong_core.manifest import read_checkpoint_info
from sclong_core.testing import SYNTHETIC_GENES
from tests.support.release import write_synthetic_release


@pytest.fixture
def words(tmp_path) -> list[str]:
    files = write_synthetic_release(tmp_path)
    options = {
        "--weights": files["weights"],
        "--hyper-params": files["hyper_params"],
        "--genes": files["genes"],
        "--gene2vec": files["gene2vec"],
        "--output": tmp_path / "model",
    }
    return ["convert", *(str(word) for option in options.items() for word in option)]


def test_converts_and_says_what_it_made(words, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(words) == 0
    info = read_checkpoint_info(tmp_path / "model")
    shown = capsys.readouterr().out
    assert info.digest in shown
    # Two ids of the fixture are those of TSPAN6 and TNMD in the table of the package.
    assert f"{SYNTHETIC_GENES} (2 with a symbol)" in shown
    assert "float32" in shown
    assert "calls_since_last_redraw" in shown
    for name, record in info.files.items():
        assert name in shown
        assert record.sha256 in shown
    assert sha256_file(tmp_path / "checkpoint.pth") in shown


def test_passes_its_options_on(words, tmp_path, capsys):
    table = tmp_path / "symbols.tsv"
    table.write_text("ENSG00000000001\tTP53\n")
    assert main([*words, "--symbols", str(table), "--dtype", "bfloat16"]) == 0
    shown = capsys.readouterr().out
    assert "(3 with a symbol)" in shown
    assert "bfloat16" in shown


def test_an_existing_folder_is_kept_without_overwrite(words, capsys):
    assert main(words) == 0
    assert main(words) == 2
    assert "already exists" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0


def test_a_refused_file_is_one_line_and_status_2(words, tmp_path, capsys):
    (tmp_path / "hyper_params.pkl").write_bytes(b"\x80\x04cposix\nsystem\n.")
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "posix.system" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "model").exists()


def test_a_forgotten_file_is_asked_for(capsys):
    assert main(["convert", "--weights", "checkpoint.pth"]) == 2
    assert "--hyper-params" in capsys.readouterr().err


def test_the_command_is_light_to_import():
    check = (
        "import sys, sclong_core.cli.convert; "
        "print([name for name in ('torch', 'numpy', 'rich', 'safetensors') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
    assert command.help
