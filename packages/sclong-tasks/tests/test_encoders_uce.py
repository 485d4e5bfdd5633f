"""UCE: equal to its authors' code, drawn genes, padding, and what it refuses."""

import json

import numpy as np
import pytest
import torch

from sclong_core.errors import CheckpointError, ConfigError
from sclong_core.expression.rows import canonical
from sclong_tasks.encoders.registry import get_encoder
from sclong_tasks.encoders.uce import draw_genes
from tests.support.published import batch, fixture, furthest, tiny_cells, tiny_folder

NAME = "uce"


def tokens_of(encoder, cells):
    return encoder.tokens(
        canonical(cells.X), encoder.arrange(cells.var), [str(name) for name in cells.obs_names]
    )


def same_tokens(found, tokens, mask):
    return all(
        np.array_equal(cell.ids, row[real.astype(bool)])
        for cell, row, real in zip(found, tokens, mask, strict=True)
    )


@pytest.mark.real_data
@pytest.mark.parametrize("kind", ["seeded", "det"])
def test_the_network_is_that_of_the_authors(kind):
    """With the bias that its padding gets in a batch."""
    case = fixture(NAME)
    model = get_encoder(NAME, case.folder, padding="original").model
    lengths, parts = case.expected[f"{kind}_batch_len"], case.expected[f"{kind}_batch"]
    for number in np.unique(parts):
        rows = parts == number
        width = int(lengths[rows][0])
        real = case.tensor(f"{kind}_mask")[rows, :width].bool()
        given = batch(case.tensor(f"{kind}_tokens")[rows, :width], real)
        with torch.inference_mode():
            states = model.states(given)
            cells = model.pool(states, given)
        assert furthest(cells, case.expected[f"{kind}_cell_embedding"][rows]) < 1e-5
        assert furthest(states, case.expected[f"{kind}_gene_output"][rows, :width]) < 2e-5


@pytest.mark.real_data
def test_from_the_file_of_cells_to_vectors():
    case = fixture(NAME)
    encoder = get_encoder(NAME, case.folder)
    arrangement = encoder.arrange(case.cells.var)
    assert np.array_equal(arrangement.tokens, case.expected["det_gene_token_index"])
    found = tokens_of(encoder, case.cells)
    assert same_tokens(found, case.expected["det_tokens"], case.expected["det_mask"])
    path = case.folder / "input.h5ad"
    assert furthest(encoder.embed(path), case.expected["det_single_cell_embedding"]) < 1e-5
    size = int((case.expected["det_batch"] == 0).sum())
    original = get_encoder(NAME, case.folder, padding="original", batch_size=size)
    assert furthest(original.embed(path), case.expected["det_cell_embedding"]) < 1e-5


@pytest.mark.real_data
def test_the_stream_of_the_original_draws_its_genes_and_chromosomes():
    case = fixture(NAME)
    settings = {"padding": "original", "draws": "stream", "batch_size": 5}
    seed = {"seed": json.loads((case.folder / "sizes.json").read_text())["numpy_seed"]}
    encoder = get_encoder(NAME, case.folder, **settings, **seed)
    found = tokens_of(encoder, case.cells)
    assert same_tokens(found, case.expected["seeded_tokens"], case.expected["seeded_mask"])
    # The authors' filter is the reader's own to make: genes in 10 cells, then cells of 25 genes.
    kept = case.cells[:, np.asarray((case.cells.X > 0).sum(0)).ravel() >= 10]
    kept = kept[np.asarray((kept.X > 0).sum(1)).ravel() >= 25].copy()
    assert list(kept.obs_names) == case.expected["filtered_cells"].tolist()
    encoder = get_encoder(NAME, case.folder, **settings, **seed)
    assert furthest(encoder.embed(kept), case.expected["filtered_cell_embedding"]) < 1e-5


def test_genes_are_drawn_at_even_steps_of_their_weights():
    counts = np.array([1.0, 3.0, 7.0])  # log2 of one more: 1, 2, 3
    drawn = draw_genes(counts, 12, None)
    assert np.bincount(drawn).tolist() == [2, 4, 6]
    generator = np.random.default_rng(0)
    shares = np.bincount(draw_genes(counts, 60_000, generator)) / 60_000
    assert np.allclose(shares, [1 / 6, 2 / 6, 3 / 6], atol=0.01)


def test_sentences_go_chromosome_by_chromosome(tmp_path):
    encoder = get_encoder(NAME, tiny_folder(NAME, tmp_path), sample_size=10)
    proteins = encoder.model.proteins
    cell = tokens_of(encoder, tiny_cells(1))[0]
    assert cell.ids[0] == 3
    closing = np.flatnonzero(cell.ids == 2)
    opening = np.flatnonzero(cell.ids >= proteins.chromosome_rows)
    assert len(closing) == len(opening) == len(np.unique(cell.ids[opening]))
    assert (np.diff(cell.ids[opening]) > 0).all()
    assert (cell.genes >= 0).sum() == 10
    place = {row: proteins.places[name] for name, row in proteins.rows.items()}
    for begin, end in zip(opening, closing, strict=True):
        code = cell.ids[begin] - proteins.chromosome_rows
        inside = [place[token] for token in cell.ids[begin + 1 : end].tolist()]
        assert inside == sorted(inside)
        assert {chromosome for chromosome, _ in inside} == {code}


def test_drawn_genes_depend_on_the_cell_alone(tmp_path):
    folder = tiny_folder(NAME, tmp_path)
    cells = tiny_cells(12)
    found = get_encoder(NAME, folder, draws="cell").embed(cells)
    order = np.random.default_rng(1).permutation(cells.n_vars)
    again = get_encoder(NAME, folder, draws="cell").embed(cells[::-1, order])
    assert furthest(again[::-1], found) < 1e-5
    assert furthest(get_encoder(NAME, folder, draws="cell", seed=1).embed(cells), found) > 1e-3


def test_padding_as_in_the_original_lets_cells_depend_on_their_batch(tmp_path):
    folder = tiny_folder(NAME, tmp_path)
    cells = tiny_cells(12)
    cells.X[0, 1:] = 0  # a short one
    encoder = get_encoder(NAME, folder, padding="original")
    found = encoder.embed(cells)
    assert furthest(encoder.embed(cells[:1]), found[:1]) > 1e-4


def test_symbols_match_in_any_case(tmp_path):
    encoder = get_encoder(NAME, tiny_folder(NAME, tmp_path))
    cells = tiny_cells()
    expected = encoder.embed(cells)
    cells.var["symbol"] = cells.var["symbol"].str.lower()
    assert np.array_equal(encoder.embed(cells), expected)


def test_the_tokens_of_another_species_replace_those_of_the_weights(tmp_path):
    folder = tiny_folder(NAME, tmp_path)
    before = get_encoder(NAME, folder).embed(tiny_cells())
    state = torch.load(folder / "tiny_model.torch", weights_only=True)
    rows = state["pe_embedding.weight"]
    torch.save(torch.cat([rows, torch.ones(2, rows.shape[1])]), folder / "all_tokens.torch")
    assert np.array_equal(get_encoder(NAME, folder).embed(tiny_cells()), before)
    torch.save(torch.cat([rows + 1, rows[:2]]), folder / "all_tokens.torch")
    assert furthest(get_encoder(NAME, folder).embed(tiny_cells()), before) > 1e-3
    torch.save(rows[:-4].clone(), folder / "all_tokens.torch")
    with pytest.raises(CheckpointError, match="the last chromosome of human has row"):
        get_encoder(NAME, folder)


def test_files_that_do_not_belong_together_are_refused(tmp_path):
    folder = tiny_folder(NAME, tmp_path)
    with pytest.raises(CheckpointError, match="protein embeddings of mouse"):
        get_encoder(NAME, folder, species="mouse")
    table = (folder / "species_chrom.csv").read_text().splitlines()
    (folder / "species_chrom.csv").write_text("\n".join(table[:-1]))
    with pytest.raises(
        CheckpointError, match="1 genes with a protein have no row in species_chrom"
    ):
        get_encoder(NAME, folder).embed(tiny_cells())
    (folder / "species_chrom.csv").write_text("\n".join([*table, table[-1]]))
    with pytest.raises(CheckpointError, match="several rows for 1 genes"):
        get_encoder(NAME, folder).embed(tiny_cells())
    (folder / "species_chrom.csv").write_text("a,b\n1,2\n")
    with pytest.raises(CheckpointError, match="must be a table with the columns gene_symbol"):
        get_encoder(NAME, folder)
    (folder / "other.torch").write_bytes(b"")
    with pytest.raises(CheckpointError, match="must hold one file of weights"):
        get_encoder(NAME, folder)


def test_options_are_checked(tmp_path):
    folder = tiny_folder(NAME, tmp_path)
    with pytest.raises(ConfigError, match="padding must be one of none, original"):
        get_encoder(NAME, folder, padding="some")
    with pytest.raises(ConfigError, match="sample_size must not be negative"):
        get_encoder(NAME, folder, sample_size=-1)
