"""Mouse cells, embedded by their one-to-one human orthologs."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sclong_core import InputError, ScLong
from sclong_core.cli.main import main
from sclong_core.expression.orthologs import mouse_orthologs

TABLE = mouse_orthologs()
PAIRS = sorted(TABLE.by_id.items())
SYMBOL_OF = {human: symbol for symbol, human in TABLE.by_symbol.items()}


@pytest.fixture(scope="module")
def model():
    return ScLong.from_pretrained()


@pytest.fixture(scope="module")
def known(model):
    """Pairs whose human gene the model knows."""
    return [pair for pair in PAIRS if pair[1] in set(model.vocabulary.ids)][:600]


def cells_named(names, *, seed=0, cells=6):
    counts = np.random.default_rng(seed).poisson(1.5, (cells, len(names))).astype(np.float32)
    adata = ad.AnnData(counts)
    adata.var_names = list(names)
    adata.obs_names = [f"cell{number}" for number in range(cells)]
    return adata


def test_the_table_pairs_each_gene_once():
    assert len(TABLE.by_id) == len(set(TABLE.by_id.values())) == 17_122
    assert TABLE.human("ENSMUSG00000026395") == "ENSG00000081237"  # Ptprc
    assert TABLE.human("ENSMUSG00000026395.17") == "ENSG00000081237"
    assert TABLE.human("Ptprc") == "ENSG00000081237"
    assert TABLE.human("PTPRC") == ""  # the human symbol is not a mouse gene


@given(order=st.permutations(range(40)), version=st.booleans())
@settings(max_examples=10, deadline=None)
def test_mouse_cells_embed_as_human_cells_with_the_orthologs(model, known, order, version):
    chosen = [known[15 * place] for place in order]
    mouse = cells_named([f"{gene}.2" if version else gene for gene, _ in chosen])
    human = cells_named([gene for _, gene in chosen])
    np.testing.assert_array_equal(model.embed(mouse, organism="mouse"), model.embed(human))


@pytest.mark.parametrize("place", ["var_names", "gene_symbols"])
def test_symbols_are_found_in_any_column(model, known, place):
    pairs = [pair for pair in known if pair[1] in SYMBOL_OF]
    mouse = cells_named([SYMBOL_OF[human] for _, human in pairs])
    if place == "gene_symbols":
        mouse.var[place] = list(mouse.var_names)
        mouse.var_names = [f"gene_{number}" for number in range(mouse.n_vars)]
    human = cells_named([gene for _, gene in pairs])
    np.testing.assert_array_equal(model.embed(mouse, organism="mouse"), model.embed(human))


def test_genes_without_an_ortholog_are_left_out_and_said(model, known, caplog):
    names = [gene for gene, _ in known]
    more = [f"ENSMUSG0000099{number:04d}" for number in range(30)] + ["Gm42418", "H2-K1"]
    mouse = cells_named([*names, *more])
    with caplog.at_level("INFO", "sclong"):
        found = model.embed(mouse, organism="mouse")
    assert f"600 of {len(names) + 32} mouse genes" in caplog.text
    assert "% of all counts are on genes of the model" in caplog.text
    assert "Gm42418 (mouse)" not in model.vocabulary.symbols
    assert np.isfinite(found).all()


def test_mouse_cells_are_refused_with_the_way_to_take_them(model, known):
    with pytest.raises(InputError, match="--organism mouse"):
        model.embed(cells_named([gene for gene, _ in known]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("human genes", "not mouse data, as --organism mouse says"),
        ("human symbols", "are mouse genes with one human ortholog"),
        ("half human", "not mouse data"),
        ("noted human", "organism in obs is 'Homo sapiens'"),
    ],
)
def test_cells_that_are_not_mouse_are_refused(model, known, change, words):
    names = [gene for gene, _ in known]
    if change == "human genes":
        names = [human for _, human in known]
    elif change == "human symbols":
        ids = dict(zip(model.vocabulary.ids, model.vocabulary.symbols, strict=True))
        names = [ids[human] or human[4:] for _, human in known]
    elif change == "half human":
        names = [*names[:300], *(human for _, human in known[300:])]
    cells = cells_named(names)
    if change == "noted human":
        cells.obs["organism"] = pd.Categorical(["Homo sapiens"] * cells.n_obs)
    with pytest.raises(InputError, match=words):
        model.embed(cells, organism="mouse")


def test_the_command_embeds_mouse_files_and_records_it(known, tmp_path, capsys):
    path = tmp_path / "mouse.h5ad"
    cells_named([gene for gene, _ in known]).write_h5ad(path)
    out = tmp_path / "out.h5ad"
    assert main(["embed", str(path), "-o", str(out)]) == 2
    assert "--organism mouse" in capsys.readouterr().err
    assert main(["embed", str(path), "-o", str(out), "--organism", "mouse"]) == 0
    record = ad.read_h5ad(out).uns["sclong"]["X_sclong"]
    assert record["cells"]["organism"] == "mouse"
    assert record["cells"]["orthologs"] == TABLE.digest
    assert main(["embed", str(path), "-o", str(out), "--organism", "mouse", "--resume"]) == 0
