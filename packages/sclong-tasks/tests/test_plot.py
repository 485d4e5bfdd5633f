import sys

import anndata
import numpy as np
import pandas as pd
import pytest

from sclong_core.errors import ConfigError, InputError
from sclong_tasks import plot
from sclong_tasks.in_silico import RECORD

plt = pytest.importorskip("matplotlib.pyplot")
sc = pytest.importorskip("scanpy")


@pytest.fixture(autouse=True)
def no_window():
    plt.switch_backend("agg")
    yield
    plt.close("all")


@pytest.fixture
def cells():
    obs = pd.DataFrame(
        {
            "type": ["B", "B", "B", "T", "T", ""],
            "sclong_label": ["B", "B", "unknown", "T", "B", "B"],
            "sclong_label_set": ["B", "B; T", "T", "T", "B; T", "B"],
        },
        index=[f"cell{n}" for n in range(6)],
    )
    adata = anndata.AnnData(np.zeros((6, 2), dtype=np.float32), obs=obs)
    rows = [
        ("CD79A", "delete", "B", "type=T", 0.3, 0.25, 0.35, 0.1),
        ("LYZ", "delete", "B", "type=T", -0.4, -0.5, -0.3, 0.0),
        ("GNLY", "delete", "B", "type=T", 0.1, 0.05, 0.15, 0.0),
    ]
    names = ["gene", "change", "group", "towards", *_names("approach")]
    table = pd.DataFrame(rows, columns=names)
    table[_names("moved")] = table[_names("approach")].abs()
    adata.uns[RECORD] = {"table": table}
    return adata


def _names(value):
    return [value, f"{value}_low", f"{value}_high", f"{value}_null"]


DRAWN = {
    "confusion": lambda cells, **place: plot.confusion(cells, "type", **place),
    "coverage": lambda cells, **place: plot.coverage(cells, "type", **place),
    "perturbation": plot.perturbation,
    "attention": lambda cells, **place: plot.attention(np.eye(2), ["A", "B"], **place),
}
each = pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)


@each
def test_return_fig_returns_a_figure_and_shows_nothing(draw, cells, monkeypatch):
    monkeypatch.setattr(plt, "show", lambda: pytest.fail("shown"))
    assert draw(cells, return_fig=True).axes


@each
def test_a_new_figure_is_shown_once_unless_show_is_false(draw, cells, monkeypatch):
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(1))
    assert draw(cells) is None
    assert draw(cells, show=False).has_data()
    assert shown == [1]


@each
def test_scanpy_settles_whether_figures_are_shown(draw, cells, monkeypatch):
    monkeypatch.setattr(plt, "show", lambda: pytest.fail("shown"))
    before = sc.settings.autoshow
    sc.settings.autoshow = False
    try:
        assert draw(cells).has_data()
    finally:
        sc.settings.autoshow = before


@each
def test_a_figure_that_is_given_is_drawn_into_and_not_shown(draw, cells, monkeypatch):
    monkeypatch.setattr(plt, "show", lambda: pytest.fail("shown"))
    figure, (left, right) = plt.subplots(1, 2)
    assert draw(cells, ax=right) is right
    assert right.has_data()
    assert not left.has_data()
    assert draw(cells, ax=right, return_fig=True) is figure
    assert plt.get_fignums() == [figure.number]


@each
def test_a_missing_package_is_named_with_what_installs_it(draw, cells, monkeypatch):
    monkeypatch.setitem(sys.modules, "scanpy", None)
    with pytest.raises(ConfigError, match=r"pip install 'sclong-core\[scanpy\]'"):
        draw(cells)


def ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def test_confusion_draws_shares_of_true_labels(cells):
    ax = plot.confusion(cells, "type", show=False)
    assert ticks(ax.yaxis) == ["B (3)", "T (2)"]
    assert ticks(ax.xaxis) == ["B", "T", "unknown"]
    np.testing.assert_allclose(ax.images[0].get_array(), [[2 / 3, 0, 1 / 3], [0.5, 0.5, 0]])
    assert [text.get_text() for text in ax.texts] == ["0.67", "0.33", "0.50", "0.50"]


def test_coverage_draws_how_often_sets_hold_the_true_label(cells):
    ax = plot.coverage(cells, "type", stated=0.9, show=False)
    assert ticks(ax.yaxis) == ["B (3)", "T (2)", "all cells (5)"]
    points, line = ax.lines
    np.testing.assert_allclose(points.get_xdata(), [2 / 3, 1, 4 / 5])
    assert line.get_xdata() == [0.9, 0.9]
    intervals = np.array(ax.collections[0].get_segments())[:, :, 0]
    assert (intervals[:, 0] < points.get_xdata()).all()
    assert (intervals >= 0).all()
    assert intervals[1, 1] == pytest.approx(1)
    assert intervals[1, 0] == pytest.approx(2 / (2 + 1.96**2))


def test_perturbation_draws_the_largest_in_order_with_intervals(cells):
    ax = plot.perturbation(cells, top=2, show=False)
    assert ticks(ax.yaxis) == ["CD79A", "LYZ"]
    _, null, points = ax.lines
    assert list(points.get_xdata()) == [0.3, -0.4]
    assert list(null.get_xdata()) == [0.1, 0.0]
    intervals = np.array(ax.collections[0].get_segments())[:, :, 0]
    np.testing.assert_allclose(intervals, [[0.25, 0.35], [-0.5, -0.3]])
    assert "type=T" in ax.get_xlabel()


def test_perturbation_names_what_differs_between_rows(cells):
    table = cells.uns[RECORD]["table"]
    table.loc[1, "change"] = "overexpress"
    table.loc[2, "towards"] = "type=NK"
    ax = plot.perturbation(cells, show=False)
    assert ticks(ax.yaxis)[0] == "CD79A, delete, type=T"
    moved = plot.perturbation(cells, "moved", show=False)
    assert ticks(moved.yaxis) == ["LYZ, overexpress", "CD79A, delete", "GNLY, delete"]
    assert moved.get_xlabel() == "cosine distance moved"


def test_attention_draws_the_mean_over_cells():
    weights = np.array([[[0.0, 0.2], [0.4, 0.6]], [[0.2, 0.2], [0.4, 0.0]]])
    ax = plot.attention(weights, ["CD3E", "LYZ"], show=False)
    np.testing.assert_allclose(ax.images[0].get_array(), [[0.1, 0.2], [0.4, 0.3]])
    assert ticks(ax.xaxis) == ticks(ax.yaxis) == ["CD3E", "LYZ"]


@pytest.mark.parametrize("shape", [(2,), (2, 3), (3, 3), (1, 1, 2, 2)])
def test_attention_refuses_names_that_do_not_fit(shape):
    with pytest.raises(InputError, match="do not fit 2 names"):
        plot.attention(np.zeros(shape), ["A", "B"])


def test_a_missing_column_or_record_is_named(cells):
    with pytest.raises(InputError, match=r"no column kind in obs.*truth="):
        plot.confusion(cells, "kind")
    with pytest.raises(InputError, match=r"no column found in obs.*predicted="):
        plot.confusion(cells, "type", "found")
    with pytest.raises(InputError, match="no cell has a label"):
        plot.coverage(cells[cells.obs["type"] == ""].copy(), "type")
    del cells.uns[RECORD]
    with pytest.raises(InputError, match=r"call sclong_tasks\.in_silico\.perturb first"):
        plot.perturbation(cells)


def test_impossible_settings_are_refused(cells):
    with pytest.raises(ConfigError, match="approach or moved, not 'euclid'"):
        plot.perturbation(cells, "euclid")
    with pytest.raises(ConfigError, match="top must be positive"):
        plot.perturbation(cells, top=0)
    cells.uns[RECORD]["table"]["approach"] = np.nan
    with pytest.raises(InputError, match="value='moved'"):
        plot.perturbation(cells)
