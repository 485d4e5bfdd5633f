import pytest

from sclong_core.cli.main import main
from tests.support.datasets import made_up_vocabulary, write_datasets


@pytest.fixture
def asked(tmp_path):
    write_datasets(tmp_path).write(tmp_path / "manifest.tsv")
    made_up_vocabulary().write(tmp_path / "vocabulary.tsv")
    (tmp_path / "rules.yaml").write_text("min_genes_per_dataset: 20\nmin_genes_per_cell: 10\n")
    return [
        "data", "harmonise", f"{tmp_path}/manifest.tsv", "-o", f"{tmp_path}/corpus",
        "--vocabulary", f"{tmp_path}/vocabulary.tsv", "--rules", f"{tmp_path}/rules.yaml",
    ]  # fmt: skip


def test_the_command_says_what_became_of_each_data_set(asked, tmp_path, capsys):
    assert main(asked) == 0
    printed = capsys.readouterr()
    assert "106 cells" in printed.out
    assert "empty cell 2" in printed.out
    assert "c: 40 cells; 50 of 60 genes" in printed.err
    assert (tmp_path / "corpus" / "report.tsv").is_file()
    assert main(asked) == 0
    assert "nothing was written" in capsys.readouterr().err


def test_the_status_is_0_if_rules_leave_data_sets_out(asked, capsys):
    assert main(asked[:-2]) == 0
    printed = capsys.readouterr()
    assert "data set of few genes 120" in " ".join(printed.out.split())
    assert "fewer than 1,000" in printed.err


def test_the_status_is_1_if_a_data_set_cannot_be_read(asked, tmp_path, capsys):
    (tmp_path / "b.h5ad").write_text("no")
    assert main(asked) == 1
    printed = capsys.readouterr()
    assert "error: b cannot be used" in printed.err
    assert "76 cells" in printed.out


def test_the_status_is_2_if_the_input_is_wrong(asked, capsys):
    assert main([*asked, "--cluster", "cloud"]) == 2
    assert main([*asked, "--gene-table", "nowhere.tsv"]) == 2
    assert main([*asked[:2], "nowhere.tsv", *asked[3:]]) == 2
    errors = capsys.readouterr().err
    assert "Traceback" not in errors


def test_a_data_set_that_keeps_no_cell_says_so(asked, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)  # a line of the table is not folded
    (tmp_path / "rules.yaml").write_text("min_genes_per_dataset: 20\nmin_genes_per_cell: 50\n")
    assert main(asked) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "no cell is left" in line]
    report = (tmp_path / "corpus" / "report.tsv").read_text()
    assert len(lines) == report.count("no cell is left") > 0
