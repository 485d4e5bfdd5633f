"""Names that mean something elsewhere do nothing in what any command prints or writes."""

import argparse
import csv
import dataclasses
import json
import unicodedata
from html.parser import HTMLParser
from pathlib import Path

import anndata
import pandas as pd
import pytest

from sclong_bench.cli.report import FORMATS
from sclong_core.cli.group import CommandGroup
from sclong_core.cli.main import _entry_points, _load, main
from sclong_core.errors import InputError
from sclong_core.escaping import for_spreadsheet
from sclong_core.model import ScLong
from sclong_core.testing import make_counts_anndata, make_tiny_model, synthetic_gene_ids
from sclong_core.vocabulary import GeneVocabulary
from sclong_data.dataset_manifest import DatasetEntry, Manifest
from tests.support.datasets import made_up_vocabulary, write_datasets
from tests.support.names import HOSTILE_NAMES

GIVEN = [name for name in HOSTILE_NAMES if "\0" not in name]
"""Names that a shell can give to a command."""
IN_A_FOLDER = [name for name in GIVEN if "/" not in name]
FORMULAS = tuple("=+-@")
UNSEEN = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}


def leaves(command, words):
    """Every command that has no subcommands, and its parser."""
    if isinstance(command, CommandGroup):
        from importlib import import_module  # noqa: PLC0415

        for name, module in command.members.items():
            yield from leaves(import_module(module).command, [*words, name])
        return
    parser = argparse.ArgumentParser(prog=" ".join(words))
    command.add_arguments(parser)
    yield words, parser


COMMANDS = {
    " ".join(words): parser
    for name, entry in _entry_points().items()
    for words, parser in leaves(_load(entry), [name])
}
PRETRAIN = ["pretrain", "pretrain fit", "pretrain validate", "pretrain configs"]


def refuse_live_text(text):
    """A terminal shows this as it stands: nothing in it is a command or unseen."""
    live = {c for c in text if unicodedata.category(c) in UNSEEN and c != "\n"}
    assert not live, (live, text[:300])


class Elements(HTMLParser):
    """Elements that could run something."""

    def __init__(self):
        super().__init__()
        self.live, self._within = [], False

    def handle_starttag(self, tag, attrs):
        self._within = tag == "script"
        for name, value in attrs:
            if name.startswith("on") or "javascript:" in (value or "").lower():
                self.live.append((tag, name, value))

    def handle_data(self, data):
        if self._within and "alert(1)" in data and "<script>alert(1)" not in data:
            self.live.append(("script", data))

    def handle_endtag(self, tag):
        self._within = False


def inert_table(path):
    separator = "\t" if path.suffix == ".tsv" else ","
    text = path.read_text("utf-8")
    refuse_live_text(text.replace("\t", " "))
    for row in csv.reader(text.splitlines(), delimiter=separator):
        live = [
            cell for cell in row if cell.strip()[:1] in FORMULAS and for_spreadsheet(cell) != cell
        ]
        assert not live


def inert_page(path):
    text = path.read_text("utf-8")
    refuse_live_text(text.replace("\t", " "))
    page = Elements()
    page.feed(text)
    assert not page.live


def inert_latex(path):
    text = path.read_text("utf-8")
    refuse_live_text(text)
    for row in text.splitlines():
        assert row.startswith("%") or "\\input{" not in row
        assert not row.startswith("[")


def inert_markdown(path):
    text = path.read_text("utf-8")
    refuse_live_text(text)
    for mark in ("<script", "<svg", "![e](", "](f)"):
        assert text.count(mark) == text.count(f"\\{mark}"), mark


def inert_json(path):
    content = path.read_text("utf-8")
    json.loads(content)
    refuse_live_text(content)


INERT = {
    ".csv": inert_table, ".tsv": inert_table, ".html": inert_page, ".svg": inert_page,
    ".tex": inert_latex, ".md": inert_markdown, ".json": inert_json,
}  # fmt: skip


def look_at(folder, *needed):
    """Judge every file under a folder whose format is known; those needed must be there."""
    found = [
        path
        for path in sorted(Path(folder).rglob("*"))
        if path.suffix in INERT and path.is_file() and not path.name.endswith(".cells.tsv")
    ]  # names of the cells of a .npy are data, which csv.reader gives back as they were
    for path in found:
        INERT[path.suffix](path)
    assert set(needed) <= {path.suffix for path in found}


@pytest.fixture
def said(capsys):
    """What was said since, of which nothing is live."""

    def said():
        printed = capsys.readouterr()
        refuse_live_text(printed.out)
        refuse_live_text(printed.err)
        return printed

    return said


@pytest.mark.parametrize("command", [*COMMANDS, *PRETRAIN])
def test_every_command_refuses_a_hostile_option_in_safe_words(command, said):
    for name in GIVEN:
        option = f"--{name.strip() or name}"
        try:
            status = main([*command.split(), option, name])
        except SystemExit as stopped:
            status = stopped.code
        assert status in (1, 2), (command, name)
        assert said().err


def filled(parser, name):
    """The arguments that a command needs, each with the same name."""
    words = []
    for action in parser._actions:
        if not action.option_strings and action.nargs not in ("?", "*"):
            words.append(action.choices[0] if isinstance(action.choices, list) else name)
        elif action.required and action.option_strings:
            words += [action.option_strings[-1], name]
    return words


FETCH = {"data graph build", "data vocabulary build"}
"""They would ask the network first."""
NEEDY = [command for command, parser in COMMANDS.items() if filled(parser, "x")]
SOME = (IN_A_FOLDER[0], IN_A_FOLDER[3], IN_A_FOLDER[4], IN_A_FOLDER[-2])


@pytest.mark.parametrize("command", [command for command in NEEDY if command not in FETCH])
def test_every_command_that_reads_names_what_it_cannot_read(command, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in SOME[:1] if command == "bench judge" else SOME:
        words = filled(COMMANDS[command], name)
        try:
            status = main([*command.split(), *words])
        except SystemExit as stopped:
            status = stopped.code
        assert status in (0, 1, 2), (command, name)
        said()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A small model whose symbols are hostile, as a vocabulary of anyone may have them."""
    folder = tmp_path_factory.mktemp("model") / "model"
    model = make_tiny_model(genes=60)
    symbols = [name for name in HOSTILE_NAMES if name.isprintable()]
    symbols += [""] * (len(model.vocabulary) - len(symbols))
    named = GeneVocabulary(model.vocabulary.ids, tuple(symbols))
    ScLong(model.config, named).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """Cells of which all names are hostile, but for those of the genes that the model knows."""
    names = [name for name in IN_A_FOLDER if name.isprintable() or "\udce9" not in name]
    adata = make_counts_anndata(40, 60 + len(names))
    adata.var_names = [*synthetic_gene_ids(60), *names]
    adata.obs_names = [f"{names[n % len(names)]}{n}" for n in range(40)]
    for place, name in enumerate(names):
        values = [names[(n + place) % len(names)] for n in range(40)]
        adata.obs[name] = pd.Categorical(values)
        adata.layers[name] = adata.X.copy()
    path = tmp_path_factory.mktemp("cells") / f"{IN_A_FOLDER[0]}.h5ad"
    adata.write_h5ad(path)
    return path


def test_info_of_cells_and_of_a_model(cells, checkpoint, said):
    assert main(["info", str(cells)]) == 0
    assert main(["info", str(checkpoint)]) == 0
    assert main(["info", str(checkpoint), str(cells)]) in (0, 1, 2)
    assert said().out


@pytest.mark.parametrize("ending", [".h5ad", ".zarr", ".npy", ".parquet"])
def test_embeddings(cells, checkpoint, said, tmp_path, ending):
    output = tmp_path / f"{IN_A_FOLDER[4]}{ending}"
    words = ["embed", str(cells), "-o", str(output), "--checkpoint", str(checkpoint)]
    status = main([*words, "--duplicates", "sum", "--device", "cpu"])
    assert status == 0, said().err
    said()
    assert output.exists()
    look_at(tmp_path)


WITHOUT_NULS = [name for name in GIVEN if "\udce9" not in name]


def accepted(title):
    """Whether a manifest may hold a title: it is refused if it would be live."""
    try:
        DatasetEntry("a", location="a.h5ad", title=title, tissue=title)
    except InputError:
        return False
    return True


def test_corpora_their_tables_and_their_page(said, tmp_path):
    folder = tmp_path / "sets"
    folder.mkdir()
    manifest = write_datasets(folder)
    titles = [name for name in HOSTILE_NAMES if accepted(name)]
    titled = [
        dataclasses.replace(entry, title=title, tissue=title)
        for entry, title in zip(manifest.entries, titles, strict=False)
    ]
    Manifest(tuple(titled), folder).write(folder / "manifest.tsv")
    for number, path in enumerate(sorted(folder.glob("*.h5ad"))):
        adata = anndata.read_h5ad(path)
        names = WITHOUT_NULS[number * 4 : number * 4 + 4]
        adata.obs["tissue"] = pd.Categorical([names[n % 4] for n in range(adata.n_obs)])
        adata.obs["donor_id"] = pd.Categorical([names[-n % 4] for n in range(adata.n_obs)])
        adata.obs["cell_type"] = pd.Categorical([names[(n + 1) % 4] for n in range(adata.n_obs)])
        adata.write_h5ad(path)
    made_up_vocabulary().write(tmp_path / "vocabulary.tsv")
    rules = tmp_path / "rules.yaml"
    rules.write_text("min_genes_per_dataset: 20\nmin_genes_per_cell: 10\n")
    asked = ["data", "harmonise", str(folder / "manifest.tsv"), "-o", str(tmp_path / "corpus")]
    asked += ["--vocabulary", str(tmp_path / "vocabulary.tsv"), "--rules", str(rules)]
    assert main(asked) == 0
    assert main(["data", "stats", str(tmp_path / "corpus"), "-o", str(tmp_path / "s.html")]) == 0
    assert main(["data", "check", str(tmp_path / "corpus")]) == 0
    said()
    look_at(tmp_path, ".tsv", ".json", ".html")


def test_a_list_of_a_folder_of_hostile_files(said, tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    for name in IN_A_FOLDER:
        (folder / f"{name}.h5ad").write_bytes(b"")
    output = tmp_path / "listed.tsv"
    assert main(["data", "list", str(folder), "-o", str(output)]) in (0, 1, 2)
    said()
    look_at(tmp_path)


def tidy():
    rows = [
        (task, f"{name}m", f"{name}{kind}", seed, 0.5 + seed / 10 + place / 7)
        for task, name in (("t", "metric"), (HOSTILE_NAMES[11], HOSTILE_NAMES[12]))
        for place, kind in enumerate(HOSTILE_NAMES)
        for seed in range(3)
    ]
    return pd.DataFrame(rows, columns=["task", "metric", "model", "seed", "value"])


@pytest.fixture
def results(tmp_path):
    path = tmp_path / "results.parquet"
    table = tidy()
    for column in ("task", "metric", "model"):
        table[column] = table[column].str.encode("utf-8", "replace").str.decode("utf-8")
    table.to_parquet(path)
    return path


def test_reports_in_every_format(results, said, tmp_path):
    words = ["--format", *FORMATS]
    status = main(["bench", "report", str(results), "-o", str(tmp_path / "r.html"), *words])
    assert status == 0, said().err
    said()
    look_at(tmp_path, ".html", ".csv", ".md", ".tex", ".svg")


@pytest.mark.parametrize("ending", ["csv", "json"])
def test_comparisons(results, said, tmp_path, ending):
    table = pd.read_parquet(results)
    table["value"] *= -1
    other = tmp_path / "other.parquet"
    table.to_parquet(other)
    words = ["bench", "compare", str(results), str(other), "--all"]
    assert main([*words, "-o", str(tmp_path / f"moved.{ending}")]) == 0
    assert said().out
    look_at(tmp_path, f".{ending}")


@pytest.fixture
def runs(tmp_path):
    """Finished runs as ``sclong task run`` leaves them, of models with hostile names."""
    for place, name in enumerate(SOME + HOSTILE_NAMES[5:14:3]):
        for seed in range(2):
            run = tmp_path / "runs" / "drug_response" / f"model{place}-{seed}"
            run.mkdir(parents=True)
            texts = {"model": f"{name}{place}", "variant": name, "stratum": name, "unit": name}
            row = {
                "task": "drug_response", "protocol": "honest", "scenario": "random",
                "metric": "pearson", "value": 0.5 + place / 50 + seed / 9, "low": 0.4, "high": 0.7,
                "higher_is_better": True, "seed": seed, "n": 200, "split_digest": f"{seed:064x}",
                "data_digest": "d" * 64, "config_digest": "c" * 64, "checkpoint_digest": "",
                "code_version": "0.1.0", "packages": name, "wall_seconds": 1.5,
                "peak_memory_bytes": 2**30, "date": "2026-01-01T00:00:00+00:00", "reason": "",
            }  # fmt: skip
            content = {"format": "sclong task metrics 1", "rows": [row | texts], "facts": {}}
            (run / "metrics.json").write_text(json.dumps(content))
    return tmp_path / "runs"


def test_tables_and_figures_of_runs(runs, said, tmp_path):
    output = tmp_path / "written"
    output.mkdir()
    for words in (
        ["task", "results", str(runs)],
        ["task", "results", str(runs), "--csv", f"{output}/r.csv", "--figures", f"{output}/bars"],
        ["task", "results", str(runs), "--markdown", f"{output}/r.md"],
        ["task", "figures", str(runs), "-o", f"{output}/figures", "--map", "none"],
    ):
        status = main(words)
        printed = said()
        assert status == 0, printed.err
    look_at(output, ".md", ".svg", ".csv")
