"""Real cells: what files in the wild hold is recognised for what it is."""

import warnings

import numpy as np
import pytest

from sclong_core.config import InputConfig
from sclong_core.errors import InputError
from sclong_core.expression import open_cells, prepare_cells, recognise, source_from_anndata
from sclong_core.expression.rows import canonical
from sclong_core.vocabulary import GeneVocabulary
from tests.support.places import shared_folder

pytestmark = pytest.mark.real_data
COUNTS = [
    "batch_integration/sc_mixology_celllines.h5ad",
    "cellxgene/example_invalid_CL.h5ad",
    "pbmc/kang_pbmc_ctrl_stim.h5ad",
    "pbmc/pbmc68k_reduced.h5ad",
    "pbmc/pbmc_5k_protein_v3.h5ad",
    "pbmc/pbmc_10k_protein_v3.h5ad",
]
SOME_MOUSE = "cellxgene/example_invalid_CL.h5ad"
LOGGED = ["cellxgene/scimilarity_test.h5ad", "pbmc/symphony_pbmcs_small.h5ad"]


def real(name):
    folder = shared_folder("data")
    if folder is None or not (folder / name).is_file():
        pytest.skip(f"{name} is not among the shared files beside this checkout")
    return folder / name


def sample(name):
    with open_cells(real(name)) as source:
        return canonical(source.read_rows(0, min(300, source.n_cells)))


def prepared(path, **options):
    """Cells over a vocabulary of their own genes."""
    with open_cells(path) as source:
        names = source.var.index.astype(str).unique()
    return prepare_cells(path, GeneVocabulary.from_ids(names), InputConfig(), **options)


@pytest.mark.parametrize("name", COUNTS)
def test_real_counts_are_raw(name):
    with prepared(real(name), allow_other_species=name == SOME_MOUSE) as cells:
        assert cells.survey.normalisation == "raw"
        sums = np.expm1(cells.block(0, 20).astype(np.float64)).sum(axis=1)
    np.testing.assert_allclose(sums, 1e4, rtol=1e-4)


def test_two_cells_of_the_mouse_are_found_by_their_annotation():
    with pytest.raises(InputError, match="'NCBITaxon:10090' for 2 of 320 cells"):
        prepared(real(SOME_MOUSE))


@pytest.mark.parametrize("name", LOGGED)
def test_real_log1p_values_are_recognised(name):
    with prepared(real(name)) as cells:
        assert cells.survey.normalisation == "log1p"


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("target", [1e4, 1e6])
@pytest.mark.parametrize("decimals", [None, 3])
def test_log1p_of_real_counts_is_recognised_rounded_or_not(name, target, decimals):
    counts = sample(name)
    counts = counts[np.diff(counts.indptr) > 0]
    totals = np.repeat(counts.sum(axis=1), np.diff(counts.indptr))
    counts.data = np.log1p(counts.data / totals * target).astype(np.float32)
    if decimals is not None:
        counts.data = np.round(counts.data, decimals)
    assert recognise(counts).normalisation == "log1p"


def test_counts_of_a_layer_give_the_same_as_their_log1p():
    path = real("cellxgene/scimilarity_test.h5ad")
    with open_cells(path, matrix="counts") as counts, open_cells(path) as logged:
        assert recognise(counts.read_rows(0, 100)).normalisation == "raw"
        one, two = (canonical(source.read_rows(0, 100)) for source in (counts, logged))
    np.testing.assert_array_equal(one.indices, two.indices)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cellxgene/example_valid.h5ad", "fractions in cell 'X': 'raw' of the same file"),
        ("chemical_perturbation/cmapR_ds.h5ad", "negative values"),
        ("chemical_perturbation/prnet_demo.h5ad", "neither counts nor log1p"),
    ],
)
def test_real_values_of_other_kinds_are_refused(name, message):
    with pytest.raises(InputError, match=message):
        prepared(real(name))


@pytest.fixture
def reduced():
    scanpy = pytest.importorskip("scanpy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return scanpy.datasets.pbmc68k_reduced()


def test_log1p_values_that_were_rounded_to_3_decimals_are_recognised(reduced):
    source = source_from_anndata(reduced, matrix="raw")
    assert not source.logged
    assert recognise(source.read_rows(0, source.n_cells)).normalisation == "log1p"
    for cell in range(0, 700, 70):
        assert recognise(source.read_rows(cell, cell + 5)).normalisation == "log1p"


def test_scaled_values_are_refused_and_the_log1p_values_beside_them_proposed(reduced):
    vocabulary = GeneVocabulary.from_ids(reduced.var_names)
    with pytest.raises(InputError, match="'raw' of the same file holds log1p values"):
        prepare_cells(reduced, vocabulary, InputConfig())
