"""Files of published models that were cut, sorted, converted or put together: refused by name."""

import json
import shutil

import anndata
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sclong_core.cli.main import main
from sclong_core.errors import CheckpointError, ConfigError
from sclong_core.pickles import read_pickled_dictionary
from sclong_tasks.data_files import prepare_data
from sclong_tasks.drug_response import example as response
from sclong_tasks.encoders.offered import provider
from sclong_tasks.encoders.registry import PUBLISHED, get_encoder, recognise
from sclong_tasks.encoders.tiny import write_pickle
from sclong_tasks.registry import get_task
from tests.support.published import GENES, messages, tiny_cells, tiny_folder

NAMES = tuple(PUBLISHED)


@pytest.fixture(autouse=True)
def _installed(monkeypatch):
    """As with this package installed, whatever the environment was installed from."""
    monkeypatch.setattr("sclong_core.embedding.offered.providers", lambda: [provider])


def changed(path, change):
    """Save tensors again after a change."""
    content = torch.load(path, weights_only=True)
    torch.save(change(content) or content, path)


def weights_of(folder, name):
    """The file of weights of a tiny model."""
    files = {"scgpt": "best_model.pt", "uce": "tiny_model.torch", "scfoundation": "models.ckpt"}
    return folder / files.get(name, "pytorch_model.bin")


@pytest.fixture
def two_species(tmp_path):
    """UCE whose files know a second species, whose chromosomes come before those of the human."""
    folder = tiny_folder("uce", tmp_path)
    write_pickle(folder / "species_offsets.pkl", {"frog": 4, "human": 4})
    table = folder / "species_chrom.csv"
    header, *rows = table.read_text().splitlines()
    frog = [f"{symbol},{number % 3},5,frog" for number, symbol in enumerate(GENES.values())]
    table.write_text("\n".join([header, *rows, *frog]) + "\n")
    sizes = json.loads((folder / "sizes.json").read_text())
    (folder / "sizes.json").write_text(json.dumps({**sizes, "n_token_rows": 44}))

    def more_rows(state):
        rows = state["pe_embedding.weight"]
        state["pe_embedding.weight"] = torch.cat([rows, rows[:3] + 1])

    changed(folder / "tiny_model.torch", more_rows)
    return folder


def test_chromosomes_are_counted_over_all_species(two_species, tmp_path):
    """Cut to one species, every chromosome would have the number of another."""
    cells = tiny_cells()
    assert get_encoder("uce", two_species).embed(cells).shape == (9, 16)
    table = two_species / "species_chrom.csv"
    lines = table.read_text().splitlines()
    kept = [line for line in lines if not line.endswith("frog")]
    table.write_text("\n".join(kept) + "\n")
    with pytest.raises(CheckpointError, match=r"species_chrom\.csv has no gene of frog"):
        get_encoder("uce", two_species)


@pytest.mark.parametrize("ending", ["GENE39,1,", "GENE39,1,5", "GENE39,1,5,", "GENE39,1,5,fr"])
def test_a_table_that_ends_within_a_row(ending, two_species):
    table = two_species / "species_chrom.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines[:-1], ending]))
    with pytest.raises(CheckpointError, match=f"line {len(lines)} is not complete"):
        get_encoder("uce", two_species)


@pytest.mark.parametrize("one", [0, 1, 17, 37])
def test_two_proteins_that_changed_places(one, tmp_path):
    """Each row is compared, not some."""
    folder = tiny_folder("uce", tmp_path)
    path = next((folder / "protein_embeddings").iterdir())

    def exchange(proteins):
        names = list(proteins)
        names[one], names[one + 2] = names[one + 2], names[one]
        return {name: proteins[name] for name in names}

    changed(path, exchange)
    with pytest.raises(CheckpointError, match="in another order"):
        get_encoder("uce", folder)


def test_proteins_of_another_version_are_told(tmp_path, caplog):
    folder = tiny_folder("uce", tmp_path)
    path = next((folder / "protein_embeddings").iterdir())
    changed(path, lambda proteins: {**proteins, "GENE5": proteins["GENE5"] + 1})
    get_encoder("uce", folder)
    assert "1 of the 40 proteins in" in messages(caplog)
    assert "the first is GENE5" in messages(caplog)
    changed(path, lambda proteins: {name: one[:-1] for name, one in proteins.items()})
    with pytest.raises(CheckpointError, match=r"has the shape \(11,\), and tokens have 12 numbers"):
        get_encoder("uce", folder)


def test_a_table_without_some_of_the_published_chromosomes_is_told(tmp_path, caplog, monkeypatch):
    """Of the published sizes there is no file, but the number of chromosomes is known."""
    folder = tiny_folder("uce", tmp_path)
    (folder / "sizes.json").unlink()
    uce = "sclong_tasks.encoders.uce"
    for name, value in {"_HEADS": 2, "_LAYERS": (2,), "CHROMOSOMES": 3, "SAMPLE": 24}.items():
        monkeypatch.setattr(f"{uce}.{name}", value)
    monkeypatch.setattr("sclong_tasks.encoders.uce_genes.CHROMOSOMES", 3)
    get_encoder("uce", folder)
    assert "chromosomes of all species" not in messages(caplog)
    table = folder / "species_chrom.csv"
    table.write_text(table.read_text().replace(",3,", ",2,"))
    get_encoder("uce", folder)
    assert "species_chrom.csv has 2 chromosomes of all species" in messages(caplog)


def test_more_drawn_genes_than_fit(tmp_path, caplog):
    folder = tiny_folder("uce", tmp_path)  # 64 tokens, genes on 3 chromosomes
    get_encoder("uce", folder, sample_size=57)
    with pytest.raises(ConfigError, match="sample_size=58: at most 57 genes fit into 64 tokens"):
        get_encoder("uce", folder, sample_size=58)
    settings = json.loads((folder / "sizes.json").read_text())
    (folder / "sizes.json").write_text(json.dumps({**settings, "sample_size": 60}))
    caplog.set_level("INFO")
    get_encoder("uce", folder).embed(tiny_cells())
    assert "UCE: 9 cells express more genes than fit into its 64 tokens: up to" in messages(caplog)


@pytest.mark.parametrize(
    ("name", "file", "copy", "words"),
    [
        ("uce", "protein_embeddings/Homo*ESM2.pt", "Homo_sapiens.ESM1b.pt", "protein embeddings"),
        ("scfoundation", "*gene_index.40.tsv", "gene_index.41.tsv", "lists of genes"),
        ("scgpt", "best_model.pt", "model2.pt", "weights"),
        ("geneformer", "gene_median_dictionary.pkl", "gene_median_dictionary_gc30M.pkl", "medians"),
        ("geneformer", "ensembl_mapping_dict.pkl", "ensembl_mapping_dict_gc95M.pkl", "other ids"),
    ],
)
def test_two_files_that_could_be_meant(name, file, copy, words, tmp_path):
    folder = tiny_folder(name, tmp_path)
    path = next(folder.glob(file))
    shutil.copy(path, path.with_name(copy))
    if name == "scgpt":  # the one of its own name would be taken
        path.rename(path.with_name("model1.pt"))
    with pytest.raises(CheckpointError, match=f"has several (dictionaries of )?{words}"):
        get_encoder(name, folder)


def test_a_second_dictionary_of_genecompass(tmp_path):
    """Its authors publish one for their preprocessing and one for the network: they must agree."""
    folder = tiny_folder("genecompass", tmp_path)
    place = folder / "prior_knowledge"
    before = get_encoder("genecompass", folder)
    tokens = read_pickled_dictionary(place / "h&m_token1000W.pickle")
    write_pickle(place / "human_mouse_tokens.pickle", tokens)
    assert get_encoder("genecompass", folder).digest == before.digest
    genes = list(tokens)
    genes[2], genes[3] = genes[3], genes[2]
    other = {name: number for number, name in enumerate(genes)}
    write_pickle(place / "human_mouse_tokens.pickle", other)
    with pytest.raises(CheckpointError, match="give other numbers to genes"):
        get_encoder("genecompass", folder)


def test_a_second_table_of_medians_of_genecompass(tmp_path):
    folder = tiny_folder("genecompass", tmp_path)
    path = folder / "prior_knowledge" / "human_gene_median_after_filter.pickle"
    medians = read_pickled_dictionary(path)
    second = path.with_name("mouse_gene_median_after_filter.pickle")
    write_pickle(second, {"ENSMUSG00000000001": 2.0})
    get_encoder("genecompass", folder)
    write_pickle(second, {name: one + 1 for name, one in medians.items()})
    with pytest.raises(CheckpointError, match="give other medians to 40 genes"):
        get_encoder("genecompass", folder)


def part_of(content, name):
    """The tensors in a file of weights that are read."""
    return content["cell"]["state_dict"] if name == "scfoundation" else content


def as_bin(folder):
    """The weights of Geneformer as its first version has them."""
    from safetensors.torch import load_file  # noqa: PLC0415

    path = folder / "model.safetensors"
    if path.exists():
        torch.save(load_file(path), folder / "pytorch_model.bin")
        path.unlink()


@pytest.mark.parametrize("name", NAMES)
def test_weights_of_whole_numbers(name, tmp_path):
    folder = tiny_folder(name, tmp_path)
    as_bin(folder)
    first = {}

    def rounded(content):
        state = part_of(content, name)
        first["name"] = next(one for one in state if one.endswith("norm1.weight") or "Norm" in one)
        state[first["name"]] = (state[first["name"]] * 10).to(torch.int8)

    changed(weights_of(folder, name), rounded)
    with pytest.raises(CheckpointError, match="holds int8 values, where the model has floating"):
        get_encoder(name, folder)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_other_precision_are_read(name, dtype, tmp_path):
    folder = tiny_folder(name, tmp_path)
    as_bin(folder)

    def converted(content):
        state = part_of(content, name)
        for one, tensor in state.items():
            if tensor.is_floating_point() and "pe_embedding" not in one:
                state[one] = tensor.to(dtype)

    expected = get_encoder(name, folder).embed(tiny_cells())
    changed(weights_of(folder, name), converted)
    found = get_encoder(name, folder).embed(tiny_cells())
    assert found.dtype == np.float32
    similar = [np.corrcoef(*pair)[0, 1] for pair in zip(found, expected, strict=True)]
    assert min(similar) > 0.99


@pytest.mark.parametrize("name", NAMES)
def test_weights_saved_from_a_data_parallel_wrapper(name, tmp_path):
    folder = tiny_folder(name, tmp_path)
    as_bin(folder)
    expected = get_encoder(name, folder).embed(tiny_cells())

    def wrapped(content):
        if name == "scfoundation":
            return {
                key: {
                    **part,
                    "state_dict": {f"module.{n}": t for n, t in part["state_dict"].items()},
                }
                for key, part in content.items()
            }
        return {f"module.{one}": tensor for one, tensor in content.items()}

    changed(weights_of(folder, name), wrapped)
    assert np.array_equal(get_encoder(name, folder).embed(tiny_cells()), expected)


@pytest.mark.parametrize("name", ["geneformer", "genecompass"])
def test_weights_in_several_files(name, tmp_path):
    folder = tiny_folder(name, tmp_path)
    stem = "model.safetensors" if name == "geneformer" else "pytorch_model.bin"
    (folder / stem).unlink()
    (folder / f"{stem}.index.json").write_text('{"weight_map": {}}')
    save_file({"x": torch.zeros(1)}, folder / "model-00001-of-00002.safetensors")
    with pytest.raises(CheckpointError, match="split into several files"):
        get_encoder(name, folder)


@pytest.mark.parametrize(
    ("part", "setting", "value"),
    [("encoder", "heads", 4), ("encoder", "hidden_dim", 32), ("decoder", "heads", 3)],
)
def test_heads_of_scfoundation_that_do_not_fit_its_weights(part, setting, value, tmp_path):
    folder = tiny_folder("scfoundation", tmp_path)

    def other(content):
        settings = content["cell"]["config"]["model_config"]["mae_autobin"]
        settings["encoder"]["dim_head"] = 8
        settings[part][setting] = value

    changed(folder / "models.ckpt", other)
    with pytest.raises(CheckpointError, match=r"dim_head|hidden_dim|to_q"):
        get_encoder("scfoundation", folder)


def test_sizes_of_uce_that_do_not_fit_its_weights(tmp_path):
    folder = tiny_folder("uce", tmp_path)
    settings = json.loads((folder / "sizes.json").read_text())
    (folder / "sizes.json").write_text(json.dumps({**settings, "d_hid": 25}))
    with pytest.raises(CheckpointError, match="d_hid is 25, and the model beside it has 24"):
        get_encoder("uce", folder)


def refusal(capsys, *words):
    """The one line with which a command refuses."""
    assert main([str(word) for word in words]) == 2
    error = capsys.readouterr().err.strip()
    assert error.count("\n") == 0
    return error


@pytest.mark.parametrize("name", NAMES)
def test_an_option_that_is_given_twice(name, tmp_path, capsys):
    tiny_cells().write_h5ad(tmp_path / "cells.h5ad")
    words = ["embed", tmp_path / "cells.h5ad", "--encoder", name, "--checkpoint", tmp_path]
    words += ["--encoder-option", "seed=1", "--encoder-option", "seed=2", "-o", tmp_path / "o.h5ad"]
    assert "--encoder-option seed is given twice" in refusal(capsys, *words)


@pytest.mark.parametrize("name", NAMES)
def test_a_published_folder_without_the_flag(name, tmp_path, capsys):
    folder = tiny_folder(name, tmp_path)
    tiny_cells().write_h5ad(tmp_path / "cells.h5ad")
    words = ["embed", tmp_path / "cells.h5ad", "-o", tmp_path / "o.h5ad", "--checkpoint"]
    for place in (folder, tmp_path):  # and the folder above it
        error = refusal(capsys, *words, place)
        assert f"holds the files of {name}, not an scLong checkpoint: add --encoder {name}" in error
    assert not (tmp_path / "o.h5ad").exists()
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "config.json is missing" in refusal(capsys, *words, empty)


def test_a_published_folder_as_the_checkpoint_of_other_commands(tmp_path, capsys):
    folder = tiny_folder("uce", tmp_path)
    tiny_cells().write_h5ad(tmp_path / "cells.h5ad")
    error = refusal(capsys, "info", tmp_path / "cells.h5ad", "--checkpoint", folder)
    assert "holds the files of uce, not an scLong checkpoint" in error
    response.write_example(tmp_path / "source", lines=14, genes=8)
    prepare_data(get_task("drug_response"), tmp_path / "data", str(tmp_path / "source"))
    words = ["task", "run", "drug_response", "--model", "sclong", "--data", tmp_path / "data"]
    words += ["--output", tmp_path / "runs", "--checkpoint", folder]
    assert main([str(word) for word in words]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "holds the files of uce, not an scLong checkpoint" in error
    assert f"--model uce with --set model.encoder.path={folder}" in error


def test_a_folder_above_several_models(tmp_path, capsys):
    for name in ("scgpt", "uce", "genecompass"):
        tiny_folder(name, tmp_path / "above")
        error = "" if name == "scgpt" else refusal(capsys, "info", tmp_path / "above")
        assert recognise(tmp_path / "above" / name) == name
    assert "holds several models (scGPT in scgpt, UCE in uce, GeneCompass in genecompass)" in error
    assert "give the folder of one" in error
    get_encoder("uce", tmp_path / "above")  # whose name tells which
    shutil.rmtree(tmp_path / "above" / "uce")
    shutil.rmtree(tmp_path / "above" / "genecompass")
    assert main(["info", str(tmp_path / "above")]) == 0
    assert "scGPT (--encoder scgpt)" in capsys.readouterr().out
    shutil.copytree(tmp_path / "above" / "scgpt", tmp_path / "above" / "again")
    assert "several models of scGPT (again, scgpt)" in refusal(capsys, "info", tmp_path / "above")


FACTS = {
    "scgpt": ("32 at most", "none stated for the weights"),
    "geneformer": ("32 at most", "Apache-2.0"),
    "uce": ("64 at most", "none stated for the weights"),
    "scfoundation": ("all it expresses", "non-commercial"),
    "genecompass": ("32 at most", "no licence is stated"),
}


@pytest.mark.parametrize("name", NAMES)
def test_info_shows_the_sizes_of_a_published_model(name, tmp_path, capsys):
    assert main(["info", str(tiny_folder(name, tmp_path))]) == 0
    shown = capsys.readouterr().out
    tokens, licence = FACTS[name]
    for fact in ("2, of width 16 with 2 heads", "40", "parameters", tokens, licence):
        assert fact in shown, fact


@pytest.mark.parametrize("name", NAMES)
def test_cells_of_one_gene_or_one_cell(name, tmp_path):
    """Alone or among others a cell has one vector; a file of a single gene has some too."""
    encoder = get_encoder(name, tiny_folder(name, tmp_path))
    cells = tiny_cells()
    cells.X[4, np.asarray(cells.X[4]).argsort()[:-1]] = 0
    found = encoder.embed(cells)
    assert np.abs(encoder.embed(cells[4:5].copy()) - found[4]).max() < 1e-5
    gene = list(cells.var["symbol"]).index("GENE7")
    single = anndata.AnnData(np.full((2, 1), 3.0, np.float32), var=cells.var.iloc[[gene]])
    assert np.isfinite(encoder.embed(single)).all()
