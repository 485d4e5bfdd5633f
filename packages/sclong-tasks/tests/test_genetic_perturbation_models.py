"""Simple models of mean expression: what they predict, and that they find what is planted."""

import numpy as np
import pytest

from sclong_core.errors import ConfigError, InputError
from sclong_tasks.genetic_perturbation.config import GeneticPerturbationSettings
from sclong_tasks.genetic_perturbation.data import load, prepare
from sclong_tasks.genetic_perturbation.example import write_gears_example
from sclong_tasks.genetic_perturbation.models.simple import (
    Additive,
    AdditiveOptions,
    Linear,
    LinearOptions,
    MatchingMean,
    NoChange,
    NoChangeOptions,
    PerturbedMean,
    TrainingMean,
    single_means,
)
from sclong_tasks.splits import make_split
from sclong_tasks.task import RunContext

MODELS = (NoChange, TrainingMean, PerturbedMean, MatchingMean, Additive, Linear)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    prepare(write_gears_example(folder / "source"), folder)
    settings = GeneticPerturbationSettings.for_protocol("published")
    return load(folder, settings)


@pytest.fixture
def context(tmp_path):
    return RunContext(seed=0, protocol="honest", scratch=tmp_path)


def rows(data, *conditions):
    names = list(data.table["condition"])
    return np.array([names.index(name) for name in conditions])


def split_without(data, *genes):
    test = np.array([row for row, found in enumerate(data.targets) if set(genes) & set(found)])
    rest = np.setdiff1d(np.arange(len(data.table)), test)
    parts = {"train": rest, "test": test}
    return make_split(parts, name="x", seed=0, unit="gene", may_be_empty="validation")


def fitted(kind, data, split, context, **options):
    model = kind(kind.Options(**options))
    model.fit(data.hide(split.test), split, context)
    return model


def error(found, data, chosen):
    return float(np.mean((found.to_numpy() - data.means[chosen]) ** 2))


def test_means_are_those_of_cells_and_of_conditions(data, context):
    split = split_without(data, "M0G0")
    one = split.test[:1]
    seen = np.isin(data.row, split.train)
    every = np.vstack([data.control.toarray(), data.cells[np.flatnonzero(seen)].toarray()])
    found = fitted(TrainingMean, data, split, context).predict(data, one)
    assert found.to_numpy()[0] == pytest.approx(every.mean(0), rel=1e-5)
    found = fitted(PerturbedMean, data, split, context).predict(data, one)
    assert found.to_numpy()[0] == pytest.approx(data.means[split.train].mean(0))


def test_cells_of_both_spellings_are_pooled(data):
    chosen = rows(data, "M0G0+ctrl", "ctrl+M0G0")
    genes, means = single_means(data, chosen)
    pooled = data.cells[np.flatnonzero(np.isin(data.row, chosen))].toarray().mean(0)
    assert genes == ["M0G0"]
    assert means[0] == pytest.approx(pooled, rel=1e-5)


def test_sums_and_means_of_single_genes(data, context):
    split = split_without(data, "M0G0")
    genes, means = single_means(data, split.train)
    row = rows(data, "M1G0+M1G1")
    one, other = means[genes.index("M1G0")], means[genes.index("M1G1")]
    found = fitted(Additive, data, split, context).predict(data, row)
    assert found.to_numpy()[0] == pytest.approx(one + other - data.control_mean)
    found = fitted(MatchingMean, data, split, context).predict(data, row)
    assert found.to_numpy()[0] == pytest.approx((one + other) / 2)


def test_what_stands_in_for_a_gene_never_perturbed(data, context):
    split = split_without(data, "M0G0")
    row = rows(data, "M0G0+ctrl")
    perturbed = data.means[split.train].mean(0)
    for way, expected in (
        ("mean", perturbed),
        ("zero", data.control_mean),
        ("linear", fitted(Linear, data, split, context).predict(data, row).to_numpy()[0]),
    ):
        found = fitted(Additive, data, split, context, unseen=way).predict(data, row)
        assert found.to_numpy()[0] == pytest.approx(expected)
    found = fitted(MatchingMean, data, split, context).predict(data, row)
    assert found.to_numpy()[0] == pytest.approx(perturbed)


def test_no_change_is_control_or_drawn_from_it_by_seed(data, context):
    split = split_without(data, "M0G0")
    whole = fitted(NoChange, data, split, context).predict(data, split.test)
    assert whole.to_numpy() == pytest.approx(np.tile(data.control_mean, (len(split.test), 1)))
    model = fitted(NoChange, data, split, context, control="drawn")
    drawn = model.predict(data, split.test)
    assert drawn.equals(model.predict(data, split.test))
    assert not np.allclose(drawn.to_numpy(), whole.to_numpy())
    assert np.abs(drawn.to_numpy().mean(0) - data.control_mean).max() < 0.5
    assert NoChangeOptions.for_protocol("published").control == "drawn"


def test_linear_is_the_ridge_regression_it_says_it_is(data, context):
    split = split_without(data, "M0G0")
    model = fitted(Linear, data, split, context, ridge=0.5, components=3)
    change = (data.means[split.train] - data.control_mean).T
    rest = change - change.mean(1, keepdims=True)
    genes = model.arrays["genes"]
    place = {gene: number for number, gene in enumerate(data.genes)}
    code = np.array(
        [sum(genes[place[gene]] for gene in data.targets[row]) for row in split.train]
    ).T
    inner = np.linalg.inv(genes.T @ genes + 0.5 * np.eye(3)) @ genes.T @ rest
    expected = inner @ code.T @ np.linalg.inv(code @ code.T + 0.5 * np.eye(3))
    assert model.arrays["map"] == pytest.approx(expected)
    assert genes.shape == (len(data.genes), 3)


def test_planted_modules_are_found(data, context):
    """A gene never perturbed raises its module, which linear knows and the mean does not."""
    split = split_without(data, "M0G0", "M2G1")
    singles = rows(data, "M0G0+ctrl", "M2G1+ctrl")
    errors = {
        kind: error(fitted(kind, data, split, context).predict(data, singles), data, singles)
        for kind in MODELS
    }
    assert errors[Linear] < 0.5 * min(errors[PerturbedMean], errors[NoChange])
    pairs = [name for name in data.table["condition"] if name[:3] == "M1G" and "+M3G" in name]
    chosen = rows(data, pairs[0])
    hidden = make_split(
        {"train": np.setdiff1d(np.arange(len(data.table)), chosen), "test": chosen},
        name="x", seed=0, unit="pair", may_be_empty="validation",
    )  # fmt: skip
    additive, mean = (
        error(fitted(kind, data, hidden, context).predict(data, chosen), data, chosen)
        for kind in (Additive, PerturbedMean)
    )
    assert additive < 0.75 * mean


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_is_saved_repeats_and_never_sees_test_conditions(kind, data, context, tmp_path):
    split = split_without(data, "M0G0")
    model = fitted(kind, data, split, context)
    found = model.predict(data.hide(np.arange(len(data.table))), split.test)
    model.save(tmp_path)
    assert kind.load(tmp_path, context).predict(data, split.test).equals(found)
    changed = data.hide(split.test)
    changed.means[split.test] = 99.0
    other = kind(kind.Options())
    other.fit(changed, split, context)
    assert other.predict(changed, split.test).equals(found)
    assert isinstance(model.describe(), dict)


def test_other_genes_are_refused(data, context):
    split = split_without(data, "M0G0")
    model = fitted(PerturbedMean, data, split, context)
    model.names["genes"] = ["other"]
    with pytest.raises(InputError, match="other genes"):
        model.predict(data, split.test)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (LinearOptions, {"components": 0}),
        (LinearOptions, {"ridge": -1}),
        (AdditiveOptions, {"unseen": "x"}),
        (NoChangeOptions, {"control": "some"}),
    ],
)
def test_settings_of_models_that_make_no_sense_are_refused(kind, options):
    with pytest.raises(ConfigError, match=r"model\."):
        kind(**options)
