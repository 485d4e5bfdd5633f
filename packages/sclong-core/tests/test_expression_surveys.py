"""The pass over all cells that validates everything before any is embedded."""

import anndata
import numpy as np
import pytest

from sclong_core.config import InputConfig
from sclong_core.errors import InputError
from sclong_core.expression import source_from_anndata, survey
from sclong_core.testing import make_counts_anndata, synthetic_gene_ids
from sclong_core.vocabulary import GeneVocabulary

CELLS, GENES = 30, 40
PLAIN = InputConfig()
VOCABULARY = GeneVocabulary.from_ids(synthetic_gene_ids(GENES))


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Several blocks, so that what is found late or split over blocks is tested."""
    monkeypatch.setattr("sclong_core.expression.surveys.cells_at_once", lambda genes: 7)


@pytest.fixture
def adata():
    return make_counts_anndata(CELLS, GENES)


def logged(adata, target=1e4):
    counts = adata.X.toarray().astype(np.float64)
    result = adata.copy()
    result.X = np.log1p(counts / counts.sum(axis=1, keepdims=True) * target).astype(np.float32)
    return result


def found(adata, config=PLAIN, vocabulary=VOCABULARY, matrix=None, **options):
    return survey(source_from_anndata(adata, matrix=matrix), vocabulary, config, **options)


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def test_raw_counts_are_described(adata):
    result = found(
        adata[:, :30], vocabulary=GeneVocabulary.from_ids([*synthetic_gene_ids(20), "x"])
    )
    share = adata.X[:, :20].sum() / adata.X[:, :30].sum()
    assert (result.cells, result.genes, result.matched, result.unknown) == (CELLS, 30, 20, 10)
    assert result.normalisation == "raw"
    assert result.share_of_counts_matched == pytest.approx(share)
    assert result.target_sum is None
    assert result.matrix == "X"


def test_log1p_values_are_described(adata):
    result = found(logged(adata))
    assert result.normalisation == "log1p"
    assert result.target_sum == pytest.approx(1e4, rel=1e-4)
    assert result.share_of_counts_matched == 1


def test_the_share_of_counts_of_logged_values_is_that_of_what_was_logged(adata):
    counts = adata.X.toarray()
    shares = (counts / counts.sum(axis=1, keepdims=True))[:, :20].sum(axis=1)
    half = GeneVocabulary.from_ids(synthetic_gene_ids(20))
    result = found(logged(adata), vocabulary=half)
    assert result.share_of_counts_matched == pytest.approx(shares.mean(), rel=1e-4)


def test_cells_brought_to_the_maximum_are_counted(adata):
    config = InputConfig(maximum=7.0)
    highest = logged(adata).X.max(axis=1)
    for cells in (adata, logged(adata)):
        result = found(cells, config)
        assert result.rescaled_cells == (highest < 7).sum() > 0
        assert result.clipped_cells == (highest > 7).sum() > 0


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, "X holds NaN in cell 'cell29', gene 'ENSG00000000003'"),
        (np.inf, "X holds an infinite value in cell 'cell29'"),
        (-1, "X holds negative values .first -1 in cell 'cell29'"),
        (0.5, "whole numbers in 29 cells .* but fractions in cell 'cell29'"),
    ],
)
def test_a_bad_value_in_the_last_cell_is_found(adata, value, message):
    counts = adata.X.toarray()
    counts[-1, 2] = value
    adata.X = counts
    with pytest.raises(InputError, match=message):
        found(adata)


def test_empty_cells_are_counted_over_the_whole_file(adata):
    counts = adata.X.toarray()
    counts[[3, 20, 29]] = 0
    adata.X = counts
    with pytest.raises(InputError, match=r"in 3 of its cells \(the first is 'cell3'\)"):
        found(adata)


def test_raw_and_logged_cells_together_are_refused(adata):
    mixed = logged(adata)
    mixed.X[20:] = adata.X[20:].toarray()
    with pytest.raises(
        InputError, match=r"in 10 cells \(the first is 'cell20'\) with log1p values"
    ):
        found(mixed)


def test_scaled_values_are_refused_and_the_counts_of_the_same_file_proposed(adata):
    scaled = logged(adata)
    scaled.raw = logged(adata)
    scaled.X = (scaled.X - scaled.X.mean(0)) / (scaled.X.std(0) + 1)
    with pytest.raises(InputError, match=r"negative .*'raw' of the same file holds log1p values"):
        found(scaled)
    scaled.layers["counts"] = adata.X
    with pytest.raises(
        InputError, match="'counts' of the same file holds raw counts: pass matrix="
    ):
        found(scaled)


WIDE = np.random.default_rng(0).poisson(
    np.random.default_rng(1).gamma(0.4, size=300) * 3 + 0.05, size=(60, 300)
) + np.eye(60, 300)
WIDE_LOGS = np.log1p(WIDE / WIDE.sum(1, keepdims=True) * 1e4)
_EXPECTED = WIDE.sum(1, keepdims=True) * WIDE.sum(0) / WIDE.sum()
OTHERS = {
    "Pearson residuals do": (WIDE - _EXPECTED) / np.sqrt(_EXPECTED + _EXPECTED**2 / 100),
    "scaled and centred gene by gene do": (WIDE_LOGS - WIDE_LOGS.mean(0)) / WIDE_LOGS.std(0),
    "as in TF-IDF or": WIDE / WIDE.sum(1, keepdims=True) * np.log(60 / (WIDE > 0).sum(0) + 1),
    "scaling without centring": WIDE_LOGS / WIDE_LOGS.std(0),
    "rounded logarithms": np.rint(WIDE_LOGS),
}


@pytest.mark.parametrize("place", ["raw", "layers"])
@pytest.mark.parametrize("logged", [False, True])
@pytest.mark.parametrize("said", OTHERS)
def test_what_is_refused_is_named_and_so_is_what_can_be_used(said, logged, place):
    held = anndata.AnnData((WIDE_LOGS if logged else WIDE).astype(np.float32))
    held.var_names = synthetic_gene_ids(300)
    cells = held.copy()
    cells.X = OTHERS[said].astype(np.float32)
    if place == "raw":
        cells.raw = held
        name = "raw"
    else:
        cells.layers["before"] = held.X
        name = "before"
    kind = "log1p values" if logged else "raw counts"
    vocabulary = GeneVocabulary.from_ids(synthetic_gene_ids(300))
    with pytest.raises(InputError, match=rf"{said}.*'{name}' of the same file holds {kind}: pass"):
        found(cells, vocabulary=vocabulary)


def test_unknown_values_are_refused_with_how_to_force_them(adata):
    adata.X = np.random.default_rng(0).gamma(2, size=adata.shape)
    with pytest.raises(
        InputError, match=r'give raw counts .* force it with normalisation="raw" or "log1p"'
    ):
        found(adata)


@pytest.mark.parametrize("forced", ["raw", "log1p"])
def test_unknown_values_can_be_forced_and_are_warned_of(adata, forced, caplog):
    adata.X = np.random.default_rng(0).gamma(2, size=adata.shape)
    result = found(adata, normalisation=forced)
    assert (result.normalisation, result.forced) == (forced, True)
    assert any(
        f"treated as {forced}, as requested by normalisation" in line for line in warnings(caplog)
    )


def test_negative_values_cannot_be_forced(adata):
    adata.X = adata.X.toarray() - 0.5
    with pytest.raises(InputError, match="negative"):
        found(adata, normalisation="log1p")


def test_hopeless_values_are_refused_without_reading_everything(adata, monkeypatch):
    monkeypatch.setattr("sclong_core.expression.recognition._HOPELESS_CELLS", 10)
    adata.X = np.random.default_rng(0).gamma(2, size=adata.shape)
    done = []
    with pytest.raises(InputError, match="neither counts nor log1p"):
        found(adata, progress=lambda cells, _: done.append(cells))
    assert done == [7, 14]


def test_progress_is_told(adata):
    done = []
    found(adata, progress=lambda cells, total: done.append((cells, total)))
    assert done == [(7, 30), (14, 30), (21, 30), (28, 30), (30, 30)]


def test_repeated_genes_are_summed_where_that_is_asked_for(adata):
    adata.var_names = [*synthetic_gene_ids(GENES)[:-1], "ENSG00000000001.5"]
    with pytest.raises(InputError, match=r"1 of the model.s genes occur more than once"):
        found(adata)
    assert found(adata, duplicates="sum").matched == GENES - 1
    with pytest.raises(InputError, match=r"1 of the model.s genes occur more than once"):
        found(logged(adata))
    assert found(logged(adata), duplicates="sum").normalisation == "log1p"


def test_cells_without_a_matched_count_are_warned_of(adata, caplog):
    counts = adata.X.toarray()
    counts[4, :20] = 0
    counts[4, 20] = 3
    adata.X = counts
    result = found(adata, vocabulary=GeneVocabulary.from_ids(synthetic_gene_ids(20)))
    assert result.unmatched_cells >= 1
    assert any("have no counts on genes of the model" in line for line in warnings(caplog))


def test_few_matched_counts_are_warned_of(adata, caplog):
    found(adata, vocabulary=GeneVocabulary.from_ids(synthetic_gene_ids(10)))
    assert any(
        "of the counts are on genes that the model does not know" in line
        for line in warnings(caplog)
    )


@pytest.mark.parametrize(("target", "warned"), [(1e4, False), (1e6, True), (1e3, True)])
def test_another_target_sum_than_the_models_is_warned_of(adata, target, warned, caplog):
    found(logged(adata, target))
    assert any("before log1p" in line for line in warnings(caplog)) is warned


def test_a_small_part_of_the_genes_is_warned_of_for_counts(adata, caplog):
    found(adata[:, :9].copy()[np.asarray(adata[:, :9].X.sum(axis=1)).ravel() > 0])
    assert any("counts on the 9 genes of the data" in line for line in warnings(caplog))


def test_each_step_is_announced_in_one_line(adata, caplog):
    caplog.set_level("INFO", "sclong")
    found(adata, InputConfig(maximum=10.0))
    lines = [record.getMessage() for record in caplog.records]
    assert all("\n" not in line for line in lines)
    text = "\n".join(lines)
    for part in (
        "found by id in var_names",
        "taken as raw",
        "scaled up to a maximum of 10",
        "10000 per cell",
    ):
        assert part in text
    assert not warnings(caplog)


def test_the_noted_logarithm_is_not_believed_for_corrected_counts_without_a_common_sum(adata):
    corrected = anndata.AnnData(np.random.default_rng(0).gamma(2, size=(CELLS, GENES)))
    corrected.var_names = adata.var_names
    corrected.uns["log1p"] = {"base": None}
    with pytest.raises(InputError, match=r"although uns.*neither counts nor log1p"):
        found(corrected)
    assert found(corrected, normalisation="log1p").normalisation == "log1p"
    corrected.X = np.log1p(corrected.X / corrected.X.sum(1, keepdims=True) * 1e4)
    assert found(corrected).normalisation == "log1p"
