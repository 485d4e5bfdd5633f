"""scFoundation: equal to its authors' code for cells, bulk and genes, and what it refuses."""

import gzip
import hashlib

import anndata
import numpy as np
import pandas as pd
import pytest
import torch

from sclong_core.errors import CheckpointError, ConfigError, InputError
from sclong_core.expression.rows import canonical
from sclong_tasks.encoders.published_model import collate
from sclong_tasks.encoders.registry import get_encoder
from sclong_tasks.encoders.scfoundation import _PUBLISHED_GENES, _PUBLISHED_ORDER
from tests.support.places import shared_folder
from tests.support.published import (
    GENES,
    batch,
    fixture,
    furthest,
    messages,
    tiny_cells,
    tiny_folder,
)

NAME = "scfoundation"


@pytest.mark.real_data
def test_the_network_is_that_of_the_authors():
    case = fixture(NAME)
    model = get_encoder(NAME, case.folder).model
    begin = "cell_all_F_t4__"
    ids, lengths = case.tensor(f"{begin}positions"), case.tensor(f"{begin}length")
    real = torch.arange(ids.shape[1])[None] < lengths[:, None]
    genes = torch.where(ids < model.genes, ids, -1)
    given = batch(ids, real, genes, case.tensor(f"{begin}values"))
    with torch.inference_mode():
        states = model.states(given)
        assert furthest(model.embed(given)[real], case.tensor(f"{begin}encoder_input")[real]) < 1e-5
        assert furthest(states[real], case.tensor(f"{begin}encoder_output")[real]) < 1e-5
        assert furthest(model.pool(states, given), case.expected["cell_all_F_t4"]) < 1e-5


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("output", "options"),
    [
        ("cell_all_F_t4", {}),
        ("cell_all_F_f1", {"depth": "f1"}),
        ("cell_all_F_a1", {"depth": "a1"}),
        ("cell_max_F_t4", {"pool": "max"}),
        ("cell_all_F_a1_rde", {"depth": "a1", "version": "rde"}),
    ],
)
def test_from_the_file_of_cells_to_vectors(output, options):
    case = fixture(NAME)
    found = get_encoder(NAME, case.folder, **options).embed(case.folder / "input.h5ad")
    assert furthest(found, case.expected[output]) < 1e-5


@pytest.mark.real_data
def test_logged_values_and_bulk_are_those_of_the_authors():
    case = fixture(NAME)
    counts = case.expected["count_matrix_in_model_order"]
    names = pd.DataFrame(index=case.expected["genes_in_model_order"].tolist())
    logged = np.log1p(counts / counts.sum(1, keepdims=True) * 1e4).astype(np.float32)
    logged = anndata.AnnData(logged, var=names)
    for output, options in (
        ("cell_all_T_t4", {"normalised": True}),
        ("bulk_all_T", {"normalised": True, "input": "bulk"}),
    ):
        encoder = get_encoder(NAME, case.folder, **options)
        assert furthest(encoder.embed(logged, normalisation="raw"), case.expected[output]) < 1e-5
    with_total = np.concatenate([np.asarray(logged.X), counts.sum(1, keepdims=True)], axis=1)
    var = pd.DataFrame(index=[*names.index, "total"])
    given = anndata.AnnData(with_total.astype(np.float32), var=var)
    for cells in (given, given[:, ::-1].copy()):
        encoder = get_encoder(NAME, case.folder, normalised=True, total="total", depth="f1")
        found = encoder.embed(cells, normalisation="raw")
        assert furthest(found, case.expected["cell_all_A_f1"]) < 1e-5
    median = float(np.median(counts.sum(1)))
    bulk = get_encoder(NAME, case.folder, input="bulk", target_sum=median)
    assert furthest(bulk.embed(case.cells), case.expected["bulk_all_F"]) < 1e-5


@pytest.mark.real_data
def test_genes_are_those_of_the_authors():
    case = fixture(NAME)
    for output, options in (
        ("gene_F_t4", {}),
        ("gene_batch_F_t4_first4", {"stabiliser": "batch"}),
    ):
        encoder = get_encoder(NAME, case.folder, version="gene", **options)
        tokens = encoder.tokens(
            canonical(case.cells.X), encoder.arrange(case.cells.var), list(case.cells.obs_names)
        )
        with torch.inference_mode():
            found = encoder.model.decode(collate(tokens[:4], encoder.model, torch.device("cpu")))
        assert furthest(found, case.expected[output]) < 1e-5


def test_representations_of_genes_come_from_the_weights_for_genes(tmp_path):
    folder = tiny_folder(NAME, tmp_path)
    cells = tiny_cells()
    found, names = get_encoder(NAME, folder).gene_representations(cells)
    expected, again = get_encoder(NAME, folder, version="gene").gene_representations(cells)
    assert names == again
    assert np.array_equal(found, expected)
    alone = get_encoder(NAME, folder, batch_size=1).gene_representations(cells)[0]
    assert furthest(alone, found) < 1e-5
    shared = get_encoder(NAME, folder, stabiliser="batch").gene_representations(cells)[0]
    assert furthest(shared, found) > 1e-5


def test_columns_of_one_symbol_are_added_and_the_order_of_genes_does_not_count(tmp_path):
    encoder = get_encoder(NAME, tiny_folder(NAME, tmp_path))
    cells = tiny_cells()
    expected = encoder.embed(cells)
    order = np.random.default_rng(1).permutation(cells.n_vars)
    assert furthest(encoder.embed(cells[:, order]), expected) < 1e-6
    half = cells.copy()
    half.X = np.floor(np.asarray(cells.X) / 2)
    rest = cells.copy()
    rest.X = np.asarray(cells.X) - np.asarray(half.X)
    rest.var_names = [f"{name}-2" for name in rest.var_names]
    both = anndata.concat([half, rest], axis=1, merge="same")
    assert furthest(encoder.embed(both), expected) < 1e-6


def test_a_cell_of_one_count_has_a_vector(tmp_path):
    cells = tiny_cells(3)
    cells.X[1] = 0
    cells.X[1, list(cells.var["symbol"]).index("GENE3")] = 1
    found = get_encoder(NAME, tiny_folder(NAME, tmp_path)).embed(cells)
    assert np.isfinite(found).all()


def test_the_licence_of_the_weights_is_told(tmp_path, caplog):
    get_encoder(NAME, tiny_folder(NAME, tmp_path))
    assert "non-commercial research only" in messages(caplog)


def test_a_list_of_genes_of_another_model_is_refused(tmp_path):
    folder = tiny_folder(NAME, tmp_path)
    path = next(folder.glob("*.tsv"))
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:-1]))
    with pytest.raises(CheckpointError, match=r"39 genes, and models\.ckpt takes 40"):
        get_encoder(NAME, folder)
    path.write_text("\n".join([*lines[:-1], lines[1]]))
    with pytest.raises(CheckpointError, match="numbered from 0 on, each once"):
        get_encoder(NAME, folder)
    path.write_text("a\tb\n")
    with pytest.raises(CheckpointError, match="must be a table with the columns gene_name"):
        get_encoder(NAME, folder)


def test_checkpoints_of_another_kind_are_refused(tmp_path):
    folder = tiny_folder(NAME, tmp_path)
    content = torch.load(folder / "models.ckpt", weights_only=True)
    torch.save({"cell": content["cell"]}, folder / "models.ckpt")
    assert get_encoder(NAME, folder).width == 64
    with pytest.raises(CheckpointError, match="has no part 'rde'"):
        get_encoder(NAME, folder, version="rde")
    content["cell"]["config"]["model_config"]["mae_autobin"]["encoder"]["heads"] = 3
    torch.save(content, folder / "models.ckpt")
    with pytest.raises(CheckpointError, match="its settings do not fit its tensors"):
        get_encoder(NAME, folder)


def test_options_are_checked(tmp_path):
    folder = tiny_folder(NAME, tmp_path)
    for options, message in (
        ({"version": "xe"}, "version must be one of ce, rde, gene"),
        ({"depth": "4"}, "depth must be t, f or a and a number"),
        ({"target_sum": 0}, "target_sum must be positive"),
        ({"total": "n"}, "total=n goes with normalised=true and input=cell"),
        ({"normalised": "perhaps"}, "normalised must be true or false"),
    ):
        with pytest.raises(ConfigError, match=message):
            get_encoder(NAME, folder, **options)


def test_totals_of_cells_stand_in_a_column_of_their_own(tmp_path):
    folder = tiny_folder(NAME, tmp_path)
    cells = tiny_cells(4)
    counts = np.asarray(cells.X)
    known = cells.var["symbol"].isin(GENES.values()).to_numpy()
    totals = counts[:, known].sum(1, keepdims=True)
    logged = np.log1p(counts / totals * 1e4)
    logged[:, ~known] = 0
    var = pd.DataFrame(index=[*cells.var["symbol"], "n_counts"])
    given = anndata.AnnData(np.concatenate([logged, totals], 1).astype(np.float32), var=var)
    options = {"normalised": True, "total": "n_counts"}
    found = get_encoder(NAME, folder, **options).embed(given, normalisation="raw")
    assert furthest(found, get_encoder(NAME, folder).embed(cells)) < 1e-4
    with pytest.raises(InputError, match="total=depth: 0 columns of the data have this name"):
        get_encoder(NAME, folder, normalised=True, total="depth").embed(given, normalisation="raw")
    given.X[2, -1] = 0
    with pytest.raises(InputError, match="total=n_counts: a cell has no total count there"):
        get_encoder(NAME, folder, **options).embed(given, normalisation="raw")


def test_the_genes_of_the_published_list_in_another_order_are_refused(tmp_path, monkeypatch):
    folder = tiny_folder(NAME, tmp_path)
    path = next(folder.glob("*.tsv"))
    genes = [line.split("\t")[0] for line in path.read_text().splitlines()[1:]]
    module = "sclong_tasks.encoders.scfoundation."
    for name, order in (("_PUBLISHED_ORDER", genes), ("_PUBLISHED_GENES", sorted(genes))):
        digest = hashlib.sha256("\n".join(order).encode()).hexdigest()
        monkeypatch.setattr(module + name, digest)
    get_encoder(NAME, folder)
    lines = [f"{gene}\t{number}" for number, gene in enumerate([*genes[1:], genes[0]])]
    path.write_text("\n".join(["gene_name\tindex", *lines]))
    with pytest.raises(CheckpointError, match="the published list in another order"):
        get_encoder(NAME, folder)


@pytest.mark.real_data
def test_the_published_list_is_the_one_whose_order_is_known():
    folder = shared_folder("data/genes")
    if folder is None:
        pytest.skip("no folder shared/data/genes beside the checkout")
    with gzip.open(folder / "scfoundation_gene_index_19264.tsv.gz", "rt") as lines:
        rows = [line.rstrip("\n").split("\t") for line in lines][1:]
    names = [name for name, _ in sorted(rows, key=lambda row: int(row[1]))]
    assert hashlib.sha256("\n".join(names).encode()).hexdigest() == _PUBLISHED_ORDER
    assert hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest() == _PUBLISHED_GENES
