"""Bad folders and cells, on the command line: each is one line that names what to do."""

import json
import re
import shutil

import anndata
import numpy as np
import pandas as pd
import pytest
import torch

from sclong_core.cli.main import main
from sclong_core.errors import ConfigError
from sclong_core.pickles import read_pickled_dictionary
from sclong_tasks.encoders.offered import provider
from sclong_tasks.encoders.registry import PUBLISHED, get_encoder, model_class
from sclong_tasks.encoders.tiny import write_pickle, write_tiny
from tests.support.published import GENES, furthest, messages, tiny_cells, tiny_folder

NAMES = tuple(PUBLISHED)


@pytest.fixture(autouse=True)
def _installed(monkeypatch):
    """As with this package installed, whatever the environment was installed from."""
    monkeypatch.setattr("sclong_core.embedding.offered.providers", lambda: [provider])


@pytest.fixture
def refused(tmp_path, capsys):
    """The one line with which ``sclong embed`` refuses cells or a folder."""

    def embed(name, folder, cells):
        cells.write_h5ad(tmp_path / "cells.h5ad")
        words = ("embed", tmp_path / "cells.h5ad", "--encoder", name, "--checkpoint", folder)
        out = tmp_path / "out.h5ad"
        assert main([str(word) for word in (*words, "-o", out)]) == 2
        assert not out.exists()
        told = capsys.readouterr().err
        lines = told.strip().splitlines()
        # Before it, at most what was found in the file.
        assert lines[-1].startswith("error: "), told
        assert "error" not in "".join(lines[:-1]), told
        assert len(lines) <= 4, told
        return lines[-1]

    return embed


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_of_another_model_or_of_none(name, tmp_path, refused):
    other = NAMES[NAMES.index(name) - 1]
    line = refused(name, tiny_folder(other, tmp_path), tiny_cells())
    assert f"they are of {model_class(other).card.title}" in line
    (tmp_path / "empty").mkdir()
    assert "does not hold the files of" in refused(name, tmp_path / "empty", tiny_cells())
    assert "is not a folder" in refused(name, tmp_path / "nowhere", tiny_cells())
    line = refused(name, "somebody/model", tiny_cells())
    assert "nothing is downloaded: give the folder" in line


@pytest.mark.parametrize("name", NAMES)
def test_names_of_the_other_kind(name, tmp_path, refused):
    """Symbols where ids are needed, and ids where symbols are."""
    cells = tiny_cells()
    folder = tiny_folder(name, tmp_path)
    if name == "geneformer":  # whose dictionary of other ids may hold symbols; without them
        mapping = folder / "ensembl_mapping_dict.pkl"
        write_pickle(mapping, {gene: gene for gene in GENES})
        cells.var_names = list(cells.var["symbol"])
        wanted = "it takes genes by Ensembl id, and the data has "
    else:
        wanted = f"it takes genes by {model_class(name).card.genes_by}, and the data has ENS"
        if name == "genecompass":  # which takes both
            cells.var_names = [f"ENSDARG{number:011d}" for number in range(cells.n_vars)]
    del cells.var["symbol"]
    line = refused(name, folder, cells)
    assert "knows none of the genes" in line
    assert wanted in line
    assert "--gene-column" in line


@pytest.mark.parametrize("name", NAMES)
def test_cells_that_express_nothing_or_nothing_known(name, tmp_path, refused):
    folder, cells = tiny_folder(name, tmp_path), tiny_cells(20)
    counts = np.asarray(cells.X).copy()
    known = cells.var["symbol"].isin(GENES.values()).to_numpy()
    nothing = cells.copy()
    nothing.X = np.zeros_like(counts)
    assert "no counts in 20 of its cells" in refused(name, folder, nothing)
    one = cells.copy()
    one.X[3] = 0
    line = refused(name, folder, one)
    assert "no counts in 1 of its cells" in line
    assert "'cell 3'" in line
    foreign = cells.copy()
    foreign.X[3, known], foreign.X[3, ~known] = 0, 7
    line = refused(name, folder, foreign)
    assert "1 of 20 cells express no gene that" in line
    assert "'cell 3'" in line


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(0, 42), (9, 0), (0, 0)])
def test_no_cells_or_no_genes(name, shape, tmp_path, refused):
    cells = tiny_cells()[: shape[0], : shape[1]].copy()
    line = refused(name, tiny_folder(name, tmp_path), cells)
    assert re.search("holds 0 (cells|genes): there is nothing to embed", line)


@pytest.mark.parametrize("name", NAMES)
def test_genes_that_occur_twice_have_a_rule(name, tmp_path):
    """Two columns of one gene are tokens of their own where the authors' are, else added."""
    encoder = get_encoder(name, tiny_folder(name, tmp_path))
    cells = tiny_cells()
    column = list(cells.var["symbol"]).index("GENE3")
    again = cells[:, [column]].copy()
    again.var_names = [f"{name}.1" for name in again.var_names]  # a version of the same id
    twice = anndata.concat([cells, again], axis=1, merge="same")
    found = encoder.embed(twice)
    assert np.isfinite(found).all()
    added = cells.copy()
    added.X[:, column] *= 2
    same = furthest(found, encoder.embed(added)) < 1e-5
    assert same == (name == "scfoundation")


@pytest.mark.parametrize("name", NAMES)
def test_more_genes_than_the_model_takes_are_told(name, tmp_path, caplog):
    cells = tiny_cells()
    cells.X = np.asarray(cells.X) + 1  # all 40 of them, and 32 tokens fit
    encoder = get_encoder(name, tiny_folder(name, tmp_path))
    caplog.set_level("INFO")
    found = encoder.embed(cells)
    assert np.isfinite(found).all()
    assert ("cells express more genes than fit" in messages(caplog)) == (
        name not in ("uce", "scfoundation")  # one draws genes, and the other takes all
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_dictionary_of_another_version(name, tmp_path, refused):
    """The genes of a model that knows some less, beside the weights of this one."""
    folder = tiny_folder(name, tmp_path)
    fewer = dict(list(GENES.items())[:-5])
    write_tiny(name, tmp_path / "other", fewer)
    patterns = ("vocab.json", "*dict*", "*token*.p*", "*.tsv") if name != "uce" else ()
    for pattern in patterns:
        for path in (tmp_path / "other").rglob(pattern):
            inside = path.relative_to(tmp_path / "other")
            if path.is_file() and inside.suffix not in (".torch", ".bin"):
                shutil.copy(path, folder / inside)
    for old in folder.glob("*gene_index.40.tsv"):
        old.unlink()
    if name == "uce":  # whose rows have no names: proteins of other rows
        symbols = list(dict(reversed(GENES.items())).values())
        write_proteins(folder, symbols[:35])
    line = refused(name, folder, tiny_cells())
    assert re.search("belong|different models|same version|another order", line)


def write_proteins(folder, symbols):
    path = next((folder / "protein_embeddings").iterdir())
    proteins = torch.load(path, weights_only=True)
    torch.save({symbol: proteins[symbol] for symbol in symbols}, path)


@pytest.mark.parametrize("name", ["geneformer", "genecompass", "uce"])
def test_a_permuted_dictionary(name, tmp_path, refused):
    """What the files beside it betray."""
    folder = tiny_folder(name, tmp_path)
    if name == "uce":
        write_proteins(folder, list(GENES.values())[::-1])
    else:
        path = next(folder.rglob("*token*.p*k*l*"))
        words = read_pickled_dictionary(path)
        turned = {word: (number + 1) % len(words) for word, number in words.items()}
        write_pickle(path, turned)
    line = refused(name, folder, tiny_cells())
    assert "belong" in line


def test_homologous_genes_of_the_weights_tell_a_permuted_dictionary(tmp_path, refused):
    human, mouse = list(GENES)[:20], [f"ENSMUSG{number:011d}" for number in range(20)]
    names = {gene: f"S{number}" for number, gene in enumerate([*human, *mouse])}
    write_tiny("genecompass", tmp_path / "g", names)
    path = tmp_path / "g" / "pytorch_model.bin"
    state = torch.load(path, weights_only=True)
    state["bert.embeddings.homologous_index"][2:22] = torch.arange(22, 42)
    torch.save(state, path)
    cells = tiny_cells()
    cells.var = pd.DataFrame(index=[*human, *list(cells.var_names)[20:]])
    get_encoder("genecompass", tmp_path / "g").embed(cells)
    tokens = tmp_path / "g" / "prior_knowledge" / "h&m_token1000W.pickle"
    words = ["<pad>", "<mask>", *human[:5], *mouse[:15], *human[5:], *mouse[15:]]
    write_pickle(tokens, {word: number for number, word in enumerate(words)})
    line = refused("genecompass", tmp_path / "g", cells)
    assert "are homologous genes of human and mouse" in line


def test_another_pad_token_of_the_settings_is_taken(tmp_path):
    folder = tiny_folder("scgpt", tmp_path)
    before = get_encoder("scgpt", folder).embed(tiny_cells())
    vocabulary = json.loads((folder / "vocab.json").read_text())
    vocabulary["[PAD]"] = vocabulary.pop("<pad>")
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    settings = json.loads((folder / "args.json").read_text())
    (folder / "args.json").write_text(json.dumps({**settings, "pad_token": "[PAD]"}))
    encoder = get_encoder("scgpt", folder)
    assert np.array_equal(encoder.embed(tiny_cells()), before)
    assert (encoder.model.token_of(["[PAD]", "<cls>"]) == -1).all()


@pytest.mark.parametrize(
    ("name", "file", "prefix"),
    [
        ("scgpt", "best_model.pt", "transformer_encoder.layers."),
        ("uce", "*layer*.torch", "transformer_encoder.layers."),
        ("scfoundation", "models.ckpt", "encoder.transformer_encoder."),
    ],
)
def test_the_last_layer_is_missing(name, file, prefix, tmp_path, refused):
    """Sizes come from the tensors, so that what is cut off must be found by the settings."""
    folder = tiny_folder(name, tmp_path)
    names = [path for path in folder.rglob("*") if path.match(file) and "tokens" not in path.name]
    (weights,) = names or [
        path for path in folder.glob("*.torch") if path.name != "all_tokens.torch"
    ]
    content = torch.load(weights, weights_only=True)

    def cut(state):
        found = [re.search(re.escape(prefix) + r"(\d+)\.", tensor) for tensor in state]
        last = max(int(match[1]) for match in found if match)
        return {n: t for n, t in state.items() if f"{prefix}{last}." not in n}

    if name == "scfoundation":
        content = {
            part: {**of, "state_dict": cut(of["state_dict"])} for part, of in content.items()
        }
    else:
        content = cut(content)
    torch.save(content, weights)
    line = refused(name, folder, tiny_cells())
    assert "layers" in line
    assert "missing" in line


@pytest.mark.parametrize("name", NAMES)
def test_files_of_two_folders_are_never_put_together(name, tmp_path, refused):
    model = tiny_folder(name, tmp_path / "several")
    cells = tiny_cells()
    alone = get_encoder(name, model).embed(cells)
    found = get_encoder(name, tmp_path / "several").embed(cells)
    np.testing.assert_array_equal(found, alone)
    shutil.copytree(model, model.with_name("another"))
    line = refused(name, tmp_path / "several", cells)
    assert "holds several models" in line
    assert "another" in line


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("scgpt", {"seed": -1}, "seed must be"),
        ("scgpt", {"draws": "cell", "seed": 10**14}, "seed must be"),
        ("scgpt", {"max_length": 10**20}, "max_length must be"),
        ("uce", {"draws": "cell", "seed": -1}, "seed must be"),
        ("uce", {"species": "*"}, "species must be"),
        ("uce", {"species": "../human"}, "species must be"),
        ("geneformer", {"max_length": 1}, "no place for a gene"),
        ("geneformer", {"max_length": 2}, "no place for a gene"),
        ("scfoundation", {"target_sum": float("inf")}, "target_sum must be"),
    ],
)
def test_options_that_leave_nothing_to_compute(name, options, words, tmp_path):
    with pytest.raises(ConfigError, match=words):
        get_encoder(name, tiny_folder(name, tmp_path), **options)


def test_values_as_they_stand_are_asked_for(tmp_path, capsys):
    folder = tiny_folder("scfoundation", tmp_path)
    tiny_cells().write_h5ad(tmp_path / "cells.h5ad")
    words = ["embed", f"{tmp_path}/cells.h5ad", "--encoder", "scfoundation", "--checkpoint"]
    words += [str(folder), "--encoder-option", "normalised=true", "-o", f"{tmp_path}/out.h5ad"]
    assert main(words) == 2
    assert "--normalisation raw" in capsys.readouterr().err
    assert not (tmp_path / "out.h5ad").exists()
