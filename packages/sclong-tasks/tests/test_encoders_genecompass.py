"""GeneCompass: equal to its authors' code for both species, padding, and what it refuses."""

import numpy as np
import pytest
import torch

from sclong_core.errors import CheckpointError
from sclong_core.expression.rows import canonical
from sclong_tasks.encoders.registry import get_encoder
from sclong_tasks.encoders.tiny import write_pickle
from tests.support.published import (
    GENES,
    batch,
    fixture,
    furthest,
    messages,
    tiny_cells,
    tiny_folder,
)

NAME = "genecompass"


def given(case, kind, *, masked, rows=slice(None)):
    ids, lengths = case.tensor(f"{kind}_input_ids")[rows], case.tensor(f"{kind}_length")[rows]
    real = torch.arange(ids.shape[1])[None] < lengths[:, None].long()
    real = real if masked else torch.ones_like(real)
    return batch(ids, real, values=case.tensor(f"{kind}_values")[rows])


@pytest.mark.real_data
@pytest.mark.parametrize("species", ["human", "mouse"])
@pytest.mark.parametrize(("kind", "masked"), [("det", True), ("det", False), ("original", False)])
def test_the_network_is_that_of_the_authors(species, kind, masked):
    case = fixture(NAME)
    model = get_encoder(NAME, case.folder, species=species).model
    tokens = given(case, kind, masked=masked)
    with torch.inference_mode():
        states = model.states(tokens)
    begin = f"{kind}_{species}_{'masked' if masked else 'nomask'}"
    assert furthest(states[:, 0], case.expected[f"{begin}_cls"]) < 5e-6
    if f"{begin}_last_hidden_state" in case.expected:
        real = torch.cat([torch.ones(len(states), 1).bool(), tokens.real], 1)
        hidden = case.tensor(f"{begin}_last_hidden_state")
        assert furthest(states[real], hidden[real]) < 5e-6


@pytest.mark.real_data
@pytest.mark.parametrize(("species", "alpha"), [("human", 1.0), ("mouse", 1.0), ("human", 0.5)])
def test_the_embedding_block_is_that_of_the_authors(species, alpha):
    case = fixture(NAME)
    model = get_encoder(NAME, case.folder, species=species).model
    with torch.inference_mode():
        found = model.embed(given(case, "det", masked=False, rows=slice(3)), alpha=alpha)
    name = f"stage_embeddings_{species}" + (f"_alpha{alpha}" if alpha != 1 else "")
    assert furthest(found, case.expected[name]) < 5e-6


@pytest.mark.real_data
@pytest.mark.parametrize("species", ["human", "mouse"])
def test_from_the_file_of_cells_to_vectors(species):
    case = fixture(NAME)
    path = case.folder / "input.h5ad"
    encoder = get_encoder(NAME, case.folder, species=species)
    tokens = encoder.tokens(
        canonical(case.cells.X), encoder.arrange(case.cells.var), list(case.cells.obs_names)
    )
    assert [len(cell.ids) for cell in tokens] == case.expected["det_length"].tolist()
    for cell, ids, values in zip(
        tokens, case.expected["det_input_ids"], case.expected["det_values"], strict=True
    ):
        assert np.array_equal(cell.ids, ids[: len(cell.ids)])
        assert furthest(cell.values, values[: len(cell.ids)]) < 1e-6
    for output, options in (
        ("masked_cls", {}),
        ("masked_gene_mean", {"pool": "mean"}),
        ("nomask_cls", {"padding": "original"}),
    ):
        found = get_encoder(NAME, case.folder, species=species, **options).embed(path)
        assert furthest(found, case.expected[f"det_{species}_{output}"]) < 5e-6


def test_ids_and_symbols_give_the_same(tmp_path):
    encoder = get_encoder(NAME, tiny_folder(NAME, tmp_path))
    cells = tiny_cells()
    by_symbol = cells.copy()
    by_symbol.var_names = list(cells.var["symbol"])
    by_id = cells.copy()
    by_id.var_names = [f"{name}.3" for name in cells.var_names]
    del by_symbol.var["symbol"], by_id.var["symbol"]
    assert np.array_equal(encoder.embed(by_symbol), encoder.embed(by_id))


def test_padding_as_in_the_original_takes_part(tmp_path):
    folder = tiny_folder(NAME, tmp_path)
    cells = tiny_cells()
    found = get_encoder(NAME, folder).embed(cells)
    padded = get_encoder(NAME, folder, padding="original")
    assert furthest(padded.embed(cells), found) > 1e-4
    assert furthest(padded.embed(cells[:1]), padded.embed(cells)[:1]) < 1e-5


def test_species_differ(tmp_path):
    folder = tiny_folder(NAME, tmp_path)
    human = get_encoder(NAME, folder).embed(tiny_cells())
    assert furthest(get_encoder(NAME, folder, species="mouse").embed(tiny_cells()), human) > 1e-3


def test_that_no_licence_is_stated_is_told(tmp_path, caplog):
    get_encoder(NAME, tiny_folder(NAME, tmp_path))
    assert "no licence is stated" in messages(caplog)


def test_dictionaries_that_do_not_belong_to_the_weights_are_refused(tmp_path):
    folder = tiny_folder(NAME, tmp_path)
    prior = folder / "prior_knowledge"
    write_pickle(prior / "human_gene_median_after_filter.pickle", {"ENSG00000000001": -1.0})
    with pytest.raises(CheckpointError, match=r"the median of ENSG00000000001 is -1\.0"):
        get_encoder(NAME, folder)
    words = ["<pad>", "<mask>", *list(GENES)[:20]]
    write_pickle(
        prior / "h&m_token1000W.pickle", {name: number for number, name in enumerate(words)}
    )
    with pytest.raises(
        CheckpointError, match="22 tokens, and the weights beside it vectors for 42"
    ):
        get_encoder(NAME, folder)
    (prior / "h&m_token1000W.pickle").unlink()
    with pytest.raises(CheckpointError, match=r"it has no h&m_token1000W\.pickle"):
        get_encoder(NAME, folder)


def test_priors_are_switched_by_the_settings(tmp_path):
    import json  # noqa: PLC0415  # only here

    folder = tiny_folder(NAME, tmp_path)
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**settings, "use_peca_grn": False}))
    with pytest.raises(CheckpointError, match=r"cat_fc\.weight has the shape \(16, 81\), not"):
        get_encoder(NAME, folder)
