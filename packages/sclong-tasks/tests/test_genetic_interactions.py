"""Genetic interactions on made-up tables and screens: reading, models, commands, bad input."""

import gzip
import logging

import numpy as np
import pandas as pd
import pytest

from sclong_core.cli.main import main
from sclong_core.errors import ConfigError, InputError
from sclong_tasks.data_files import prepare_data
from sclong_tasks.genetic_interactions import data as files
from sclong_tasks.genetic_interactions import task
from sclong_tasks.genetic_interactions.config import FitSettings, InteractionSettings
from sclong_tasks.genetic_interactions.example import write_norman_example
from sclong_tasks.genetic_interactions.models import read_predictions
from sclong_tasks.genetic_interactions.profiles import measure_pair
from sclong_tasks.genetic_interactions.reading import (
    pair_name,
    read_classes,
    read_fitness,
    read_fits,
    read_pairs,
)
from sclong_tasks.genetic_perturbation.conditions import genes_of
from sclong_tasks.genetic_perturbation.example import ExampleSizes, write_gears_example
from sclong_tasks.registry import get_model
from sclong_tasks.run import fit_and_predict
from sclong_tasks.settings import resolve
from sclong_tasks.task import RunContext
from tests.support.places import shared_folder

SETTINGS = InteractionSettings(top=5, permutations=200, bootstrap=20)
QUICK = FitSettings(draws=50)


@pytest.fixture
def published(tmp_path):
    write_norman_example(tmp_path / "source")
    prepare_data(task, tmp_path / "data", str(tmp_path / "source"))
    return tmp_path / "data"


@pytest.fixture
def screen(tmp_path):
    sizes = ExampleSizes(modules=3, genes_per_module=5, perturbed_per_module=3, cells=6)
    write_gears_example(tmp_path / "source", sizes)
    prepare_data(task, tmp_path / "data", str(tmp_path / "source"))
    return tmp_path / "data"


def ran(name, data, tmp_path, *, changes=None, scenario="simulation", settings=SETTINGS, seed=0):
    kind = get_model(task, name)
    model = kind(resolve(kind.Options, "honest", changes or {}, "model"))
    split = task.split(data, scenario=scenario, seed=seed, settings=settings)
    context = RunContext(seed=seed, protocol="honest", scratch=tmp_path, device="cpu")
    found = fit_and_predict(task, model, data, split, context, settings)
    metrics = task.evaluate(data, found, split, settings)
    return model, found, {(one.name, one.stratum): one.value for one in metrics}


def test_planted_signal_is_found_by_what_knows_it(published, tmp_path):
    data = files.load(published, SETTINGS)
    assert (len(data.pairs), int((data.classes != "").sum())) == (120, 24)
    values = {
        name: ran(name, data, tmp_path)[2]
        for name in ("fitness_pair", "fitness_additive", "gene_effects", "random", "additive")
    }
    pearson = {name: found["pearson_magnitude", "all"] for name, found in values.items()}
    assert pearson["fitness_pair"] > 0.9
    assert max(pearson["random"], pearson["fitness_additive"]) < 0.4
    assert np.isnan(pearson["additive"])
    best, none = values["fitness_pair"], values["additive"]
    assert best["synergy_overlap", "all"] >= 4 > none["synergy_overlap", "all"]
    assert none["synergy_overlap", "all"] == none["overlap_by_chance", "all"]
    assert best["synergy_p", "all"] < 0.05 < none["synergy_p", "all"]
    assert best["class_auroc", "synergy"] > 0.9
    assert none["class_auroc", "synergy"] == 0.5


def test_split_holds_genes_out_as_genetic_perturbation_does(published):
    data = files.load(published, SETTINGS)
    for seed in range(3):
        split = task.split(data, scenario="simulation", seed=seed, settings=SETTINGS)
        seen = np.concatenate([split.train, split.validation])
        assert len(seen) + len(split.test) == len(data.pairs)
        trained = {gene for row in seen for gene in data.genes[row]}
        held = {gene for pair in data.genes for gene in pair} - trained
        assert len(held) == 4
        assert all(row in split.test for row, pair in enumerate(data.genes) if held & set(pair))
    every = task.split(data, scenario="all_pairs", seed=0, settings=SETTINGS)
    assert every.sizes() == {"train": 0, "validation": 0, "test": 120}


def test_runs_repeat_and_models_are_what_they_were_saved_as(published, tmp_path):
    data = files.load(published, SETTINGS)
    for name in ("random", "fitness_pair", "gene_effects", "no_change"):
        model, first, _ = ran(name, data, tmp_path)
        pd.testing.assert_frame_equal(first, ran(name, data, tmp_path)[1])
        (tmp_path / name).mkdir()
        model.save(tmp_path / name)
        context = RunContext(seed=0, protocol="honest", scratch=tmp_path)
        loaded = get_model(task, name).load(tmp_path / name, context)
        pd.testing.assert_frame_equal(first, loaded.predict(data, first.index.to_numpy()))
    assert not ran("random", data, tmp_path, seed=1)[1].equals(ran("random", data, tmp_path)[1])
    with pytest.raises(InputError, match="holds no model"):
        get_model(task, "random").load(tmp_path, context)


def test_hidden_pairs_show_nothing(screen):
    data = files.load(screen, InteractionSettings(fit=QUICK))
    hidden = data.hide(np.array([0, 2]))
    assert hidden.truth.isna().all(axis=1).tolist()[:3] == [True, False, True]
    assert np.isnan(hidden.profiles.effects[[0, 2]]).all()
    assert not np.isnan(hidden.profiles.effects[1]).any()
    assert hidden.digest != data.digest


def test_measures_of_a_screen_are_those_of_its_means(screen):
    settings = InteractionSettings(fit=FitSettings(method="least_squares", intercept=True))
    data = files.load(screen, settings)
    profiles, row = data.profiles, 0
    first, second = (profiles.singles[gene] for gene in data.genes[row])
    design = np.column_stack([first, second, np.ones_like(first)])
    expected = np.linalg.lstsq(design, profiles.effects[row], rcond=None)[0]
    assert data.truth["magnitude"][row] == pytest.approx(np.hypot(*expected[:2]))
    ranked = FitSettings(method="least_squares", intercept=True, genes="ranked", ranked=6)
    fewer = files.load(screen, InteractionSettings(fit=ranked))
    assert all(len(chosen) == 6 for chosen in fewer.profiles.chosen)
    assert fewer.digest != data.digest


def test_additive_expression_has_the_magnitude_of_a_sum(screen, tmp_path):
    settings = InteractionSettings(top=2, permutations=50, fit=FitSettings(method="least_squares"))
    data = files.load(screen, settings)
    _, found, values = ran("additive", data, tmp_path, scenario="all_pairs", settings=settings)
    np.testing.assert_allclose(found["magnitude"], np.sqrt(2))
    assert values["synergy_overlap", "all"] == pytest.approx(values["overlap_by_chance", "all"])


def predictions(data, path, *, singles=True, noise=0.0):
    """A table as runs leave it, of true expression with noise."""
    profiles = data.profiles
    effects = dict(zip(profiles.pairs, profiles.effects, strict=True))
    if singles:
        effects |= {f"{gene}+ctrl": effect for gene, effect in profiles.singles.items()}
    values = np.array(list(effects.values())) + profiles.control
    values = values + np.random.default_rng(0).normal(0, noise, values.shape)
    table = pd.DataFrame(values, columns=[f"predicted_{gene}" for gene in profiles.genes])
    table.insert(0, "perturbation", list(effects))
    table.to_parquet(path)
    return path


def test_predicted_expression_is_measured_as_the_true_one(screen, tmp_path):
    settings = InteractionSettings(top=3, permutations=50, fit=FitSettings(method="least_squares"))
    data = files.load(screen, settings)
    path = predictions(data, tmp_path / "run.parquet")
    here = {"settings": settings, "scenario": "all_pairs"}
    _, found, values = ran("predictions", data, tmp_path, changes={"paths": [str(path)]}, **here)
    np.testing.assert_allclose(found[data.truth.columns], data.truth, atol=1e-9)
    assert values["pearson_magnitude", "all"] == pytest.approx(1)
    noisy = predictions(data, tmp_path / "noisy.parquet", noise=0.3)
    worse = ran("predictions", data, tmp_path, changes={"paths": [str(noisy)]}, **here)[2]
    assert worse["pearson_magnitude", "all"] < 0.99
    pairs = predictions(data, tmp_path / "pairs.parquet", singles=False)
    with pytest.raises(InputError, match="9 perturbations were not predicted: M0G0"):
        ran("predictions", data, tmp_path, changes={"paths": [str(pairs)]}, **here)
    measured = {"paths": [str(pairs)], "singles": "measured"}
    found = ran("predictions", data, tmp_path, changes=measured, **here)[1]
    np.testing.assert_allclose(found["magnitude"], data.truth["magnitude"], atol=1e-9)


def test_pairs_that_were_predicted_are_kept_alone(screen, tmp_path, caplog):
    caplog.set_level(logging.INFO, "sclong")
    (tmp_path / "some.csv").write_text("perturbation\nM0G1+M0G0\nM0G0+ctrl\nM0G0+NEW\n")
    settings = InteractionSettings(only=str(tmp_path / "some.csv"), fit=QUICK)
    data = files.load(screen, settings)
    assert data.pairs == ("M0G0+M0G1",)
    assert data.profiles.pairs == data.pairs
    assert "1 pairs of" in caplog.text
    assert "have no measures: M0G0+NEW" in caplog.text


def test_runs_of_genetic_perturbation_go_in(tmp_path, capsys):
    sizes = ExampleSizes(modules=3, genes_per_module=5, perturbed_per_module=3, cells=6)
    write_gears_example(tmp_path / "source", sizes)
    where = ["--source", str(tmp_path / "source")]
    for name in ("genetic_perturbation", "genetic_interactions"):
        assert main(["task", "data", name, "--data", str(tmp_path / name), *where]) == 0
    first = ["task", "run", "genetic_perturbation", "--model", "additive"]
    first += ["--data", str(tmp_path / "genetic_perturbation"), "--output", str(tmp_path / "runs")]
    assert main([*first, "--seed", "1", "--set", "task.bootstrap=0"]) == 0
    table = next((tmp_path / "runs").rglob("predictions.parquet"))
    found = pd.read_parquet(table)["perturbation"].tolist()
    common = ["--data", str(tmp_path / "genetic_interactions"), "--seed", "1"]
    common += ["--output", str(tmp_path / "interactions"), "--set", "task.top=3"]
    common += ["--set", "task.fit.draws=50", "--set", "task.bootstrap=0"]
    common = ["task", "run", "genetic_interactions", *common, "--model"]
    assert main([*common, "random"]) == 0
    taken = ["--set", f"model.paths=[{table}]", "--set", "model.singles=measured"]
    assert main([*common, "predictions", *taken]) == 0
    done = next((tmp_path / "interactions").rglob("predictions-*/predictions.parquet"))
    assert set(pd.read_parquet(done)["perturbation"]) <= set(found)
    assert (done.parent / "figures" / "predicted.svg").is_file()
    (tmp_path / "new.csv").write_text("perturbation\nM2G0+M0G0\n")
    random = next((tmp_path / "interactions").rglob("random-*"))
    asked = ["task", "predict", "genetic_interactions", "--run", str(random)]
    asked += ["--data", str(tmp_path / "genetic_interactions")]
    asked += ["--input", f"pairs={tmp_path / 'new.csv'}", "--output", str(tmp_path / "p.csv")]
    assert main(asked) == 0
    assert pd.read_csv(tmp_path / "p.csv")["perturbation"].tolist() == ["M0G0+M2G0"]
    capsys.readouterr()


def test_pairs_have_one_name():
    assert pair_name("B+A") == "A+B"
    assert pair_name("TGFBR2_CBARP", "_") == "C19orf26+TGFBR2"
    for text in ("A", "A+A", "A+B+C", "A+ctrl", "+A"):
        with pytest.raises(InputError, match=r"not a pair|not a condition"):
            pair_name(text)


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        (files.FITS, "G0_G1", "G0", "line 2: 'G0' is not a pair"),
        (files.FITS, "G0_G2", "G1_G0", "1 pairs occur twice: G0\\+G1"),
        (files.FITS, "ts_coef_first", "other", "columns ts_coef_first"),
        (files.FITS, "G0_G1,", "G0_G1,x", "line 2, column coef_first: no number"),
        (files.CLASSES, "SUPPRESSOR", "SUPRESSOR", "line 2: 'SUPRESSOR' is not a class"),
        (files.FITNESS, "\nG0,", "\nG0,x", "line 2, column G0: no number"),
        (files.FITNESS, "\nG1,", "\nG0,", "same genes"),
        (files.FITNESS, "negative", "positive", "no line 'negative'"),
        (files.CONDITIONS, "ctrl 500", "ctrl", "not a condition and its cells"),
    ],
)
def test_damaged_files_are_refused_by_line(tmp_path, name, old, new, said):
    folder = write_norman_example(tmp_path / "source")
    text = (folder / name).read_text()
    count = -1 if old == "negative" else 1
    (folder / name).write_text(text.replace(old, new, count))
    with pytest.raises(InputError, match=said):
        prepare_data(task, tmp_path / "data", str(folder))


def test_conditions_that_are_no_text_are_refused(tmp_path):
    folder = write_norman_example(tmp_path / "source")
    (folder / files.CONDITIONS).write_bytes(b"ctrl 500;A+\xff 50")
    with pytest.raises(InputError, match="not UTF-8"):
        prepare_data(task, tmp_path / "data", str(folder))


def test_what_cannot_be_asked_is_refused(published, tmp_path):
    with pytest.raises(InputError, match="prepared without perturb_processed"):
        files.load(published, InteractionSettings(source="profiles"))
    data = files.load(published, SETTINGS)
    with pytest.raises(ConfigError, match=r"needs model\.paths"):
        ran("predictions", data, tmp_path)
    with pytest.raises(InputError, match="needs measured expression"):
        ran("predictions", data, tmp_path, changes={"paths": ["x.parquet"]})
    with pytest.raises(InputError, match="0 training pairs"):
        ran("gene_effects", data, tmp_path, scenario="all_pairs")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="need norman_regr_fits_final"):
        prepare_data(task, tmp_path / "none", str(tmp_path / "empty"))
    for wrong in ({"method": "median"}, {"genes": "listed"}, {"genes": "some"}, {"ranked": 1}):
        with pytest.raises(ConfigError):
            FitSettings(**wrong)
    for wrong in ({"source": "x"}, {"top": 0}, {"train_share": 1}, {"split_seed": -2}):
        with pytest.raises(ConfigError):
            InteractionSettings(**wrong)


def test_fitness_that_is_not_there_is_named(tmp_path):
    folder = write_norman_example(tmp_path / "source")
    fitness = pd.read_csv(folder / files.FITNESS, index_col=0)
    fitness.drop(index="G3", columns="G3").to_csv(folder / files.FITNESS)
    prepare_data(task, tmp_path / "data", str(folder))
    data = files.load(tmp_path / "data", SETTINGS)
    with pytest.raises(InputError, match="1 genes have no fitness: G3"):
        ran("fitness_additive", data, tmp_path)
    (folder / files.FITNESS).unlink()
    prepare_data(task, tmp_path / "less", str(folder))
    with pytest.raises(InputError, match="prepared without norman_processed_fitnesses"):
        ran("fitness_pair", files.load(tmp_path / "less", SETTINGS), tmp_path)


def test_listed_genes_and_predictions_must_fit_the_screen(screen, tmp_path):
    (tmp_path / "genes.txt").write_text("M0G0\nM0G1\nM1G0\nM1G4\nABSENT\n")
    listed = FitSettings(genes="listed", gene_list=str(tmp_path / "genes.txt"), draws=50)
    data = files.load(screen, InteractionSettings(fit=listed))
    assert {len(chosen) for chosen in data.profiles.chosen} == {4}
    (tmp_path / "genes.txt").write_text("ABSENT\n")
    with pytest.raises(InputError, match="lists 0 genes of the screen"):
        files.load(screen, InteractionSettings(fit=listed))
    table = pd.read_parquet(predictions(data, tmp_path / "t.parquet"))
    table.drop(columns="predicted_M0G0").to_parquet(tmp_path / "short.parquet")
    with pytest.raises(InputError, match="no predictions of 1 genes: M0G0"):
        read_predictions(tmp_path / "short.parquet", data.profiles.genes)
    table.loc[1, "predicted_M0G1"] = np.nan
    table.to_parquet(tmp_path / "nan.parquet")
    with pytest.raises(InputError, match="line 3, gene M0G1: no number"):
        read_predictions(tmp_path / "nan.parquet", data.profiles.genes)
    with pytest.raises(InputError, match="M9 alone is not known"):
        measure_pair(data.profiles.singles, data.profiles.control, "M0G0+M9", np.arange(3), QUICK)
    (tmp_path / "singles.csv").write_text("perturbation\nA+ctrl\n")
    with pytest.raises(InputError, match="names no pair"):
        read_pairs(tmp_path / "singles.csv", strict=False)
    with pytest.raises(InputError, match="line 2"):
        read_pairs(tmp_path / "singles.csv", strict=True)


@pytest.mark.real_data
def test_published_measures_of_norman(tmp_path):
    folder = shared_folder("data/perturbation")
    if folder is None:
        pytest.skip("the shared measures of Norman et al. are not here")
    fits = read_fits(folder / "norman_regr_fits_final.csv.gz")
    with gzip.open(folder / "norman_regr_fits_final.csv.gz", "rt") as file:
        raw = pd.read_csv(file)
    found = files.published_measures(fits, "theil_sen")[:, 0]
    np.testing.assert_allclose(found, raw["ts_norm2"])
    np.testing.assert_allclose(
        files.published_measures(fits, "least_squares")[:, 0], raw["coef_norm2"]
    )
    assert set(read_classes(folder / "norman_gi_classes.csv")) <= set(fits.index)
    fitness = read_fitness(folder / "norman_processed_fitnesses.csv.gz")
    pairs = [genes_of(name) for name in fits.index]
    np.testing.assert_allclose([fitness.loc[a, b] for a, b in pairs], raw["fitness"], atol=1e-12)
    prepare_data(task, tmp_path / "data", str(folder))
    settings = InteractionSettings.for_protocol("published")
    data = files.load(tmp_path / "data", settings)
    split = task.split(data, scenario="simulation", seed=4, settings=settings)
    assert len(split.test) == 77  # two of the 79 test pairs have no published measures
    held = {"CEBPB", "SET", "FOXL2", "EGR1"}
    seen = {gene for row in split.train for gene in data.genes[row]}
    assert not held & seen
