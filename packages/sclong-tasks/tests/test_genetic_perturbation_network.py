"""GEARS's network: losses by hand, graphs and pairs, sharing that changes nothing, learning."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from sclong_core.errors import ConfigError, InputError
from sclong_core.graph import GeneGraph
from sclong_core.model import ScLong
from sclong_core.testing import make_tiny_model
from sclong_core.vocabulary import GeneVocabulary
from sclong_tasks.batches import batches_of
from sclong_tasks.data_files import prepare_data
from sclong_tasks.genetic_perturbation import graphs, task
from sclong_tasks.genetic_perturbation.config import GeneticPerturbationSettings
from sclong_tasks.genetic_perturbation.example import (
    ExampleSizes,
    write_annotations_example,
    write_counts_example,
    write_gears_example,
)
from sclong_tasks.genetic_perturbation.models import network
from sclong_tasks.genetic_perturbation.module import (
    ConditionError,
    LearntGenes,
    NetworkShape,
    Norm,
    Optimisation,
    PerturbationModule,
    RepresentedGenes,
    autofocus,
    direction,
    gears_loss,
    mean_over_conditions,
)
from sclong_tasks.genetic_perturbation.pairs import CellPairs
from sclong_tasks.genetic_perturbation.published import published_numbers
from sclong_tasks.predict import PredictRequest, predict
from sclong_tasks.registry import get_model
from sclong_tasks.run import RunRequest, run_task
from sclong_tasks.settings import resolve
from sclong_tasks.task import RunContext

SIZES = ExampleSizes(modules=3, genes_per_module=6, perturbed_per_module=4, cells=10)
TRAINING = {"epochs": 2, "batch_size": 64, "learning_rate": 5e-3, "patience": 0}
SMALL = {
    "shape": {"hidden": 16},
    "training": TRAINING,
    "draws": 4,
    "optimisation": {"decay": 1.0},
}
SETTINGS = GeneticPerturbationSettings(bootstrap=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("network")
    write_gears_example(root / "source", SIZES)
    write_annotations_example(root / "source", SIZES)
    prepare_data(task, root / "data", str(root / "source"))
    return root / "data"


@pytest.fixture(scope="module")
def data(folder):
    return task.load(folder, SETTINGS)


@pytest.fixture(scope="module")
def split(data):
    return task.split(data, scenario="simulation", seed=0, settings=SETTINGS)


def context(tmp_path, seed=0, **changes):
    return RunContext(seed, "honest", tmp_path, device="cpu", **changes)


def made(name, **changes):
    kind = get_model(task, name)
    return kind(resolve(kind.Options, "honest", {**SMALL, **changes}, "model"))


def fitted(name, data, split, where, **changes):
    model = made(name, **changes)
    model.fit(data.hide(split.test), split, where)
    return model


def edges_to_themselves(genes):
    every = np.arange(genes)
    return GeneGraph(genes, np.stack([every, every]), np.ones(genes, np.float32))


def tiny_module(vectors, genes=6, nodes=8, hidden=5, **changes):
    torch.default_generator.manual_seed(3)
    return PerturbationModule(
        vectors(genes, hidden), genes, edges_to_themselves(nodes), hidden, Optimisation(**changes)
    )


def learnt(genes, hidden):
    return LearntGenes(edges_to_themselves(genes), hidden)


def represented(genes, hidden):
    values = np.random.default_rng(0).normal(size=(4, genes, 3)).astype(np.float32)
    return RepresentedGenes(values, hidden, np.array([2, 3, 7, 9]))


def batch_of(targets, control, genes=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        "x": torch.rand(len(targets), genes, generator=generator),
        "y": torch.rand(len(targets), genes, generator=generator),
        "control": torch.tensor(control),
        "targets": torch.tensor(targets),
        "condition": torch.unique(torch.tensor(targets), dim=0, return_inverse=True)[1],
    }


TARGETS = [[0, -1], [0, 7], [-1, -1], [0, -1], [5, 1], [-1, -1], [0, -1]]
CONTROL = [2, 3, 7, 9, 2, 3, 9]


def test_losses_by_hand():
    true = torch.tensor([[1.0, 2.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 3.0]])
    predicted = torch.tensor([[2.0, 2.0, 5.0], [1.0, 3.0, 1.0], [0.0, 0.0, 1.0]])
    kept = torch.tensor([[1, 1, 0], [1, 1, 1], [1, 1, 1]], dtype=torch.bool)
    control = torch.tensor([1.5, 1.5, 1.5])
    focus = autofocus(predicted, true, kept)
    assert focus.tolist() == pytest.approx([1 / 2, 16 / 3, 16 / 3])
    wrong = direction(predicted, true, control, kept)
    assert wrong.tolist() == pytest.approx([4 / 2, 4 / 3, 4 / 3])
    condition = torch.tensor([4, 9, 9])
    assert mean_over_conditions(focus, condition).item() == pytest.approx((1 / 2 + 16 / 3) / 2)
    both = gears_loss(predicted, true, condition, kept, control)
    expected = (0.5 + 0.1 * 2 + 16 / 3 + 0.1 * 4 / 3) / 2
    assert both.item() == pytest.approx(expected)


def test_direction_has_no_gradient_and_gene_sets_bound_it():
    generator = torch.Generator().manual_seed(0)
    true, predicted = (torch.rand(4, 3, generator=generator) for _ in range(2))
    predicted.requires_grad_()
    kept = torch.tensor([True, True, False]).expand(4, 3)
    condition, control = torch.tensor([0, 0, 1, 1]), torch.full((3,), 0.5)
    gradients = []
    for weight in (0.0, 0.1, 100.0):
        loss = gears_loss(predicted, true, condition, kept, control, weight=weight)
        gradients.append(torch.autograd.grad(loss, predicted)[0])
    assert torch.equal(gradients[0], gradients[1])
    assert torch.equal(gradients[0], gradients[2])
    expected = 4 * (predicted - true) ** 3 * kept / 2 / 2 / 2
    torch.testing.assert_close(gradients[0], expected)
    none = torch.zeros(4, 3, dtype=torch.bool)
    assert gears_loss(predicted, true, condition, none, control).item() == 0


def test_coexpression_is_that_of_numpy():
    cells = np.random.default_rng(0).poisson(2.0, (60, 9)).astype(float)
    cells[:, 1] = cells[:, 0] + cells[:, 1] / 5
    cells[:, 2] = 5 - cells[:, 0]
    cells[:, 8] = 1.0
    found = graphs.coexpression_graph(sparse.csr_matrix(cells), 3, 0.4)
    expected = np.abs(np.corrcoef(cells[:, :8].T))
    source, target = found.edge_index
    assert {(0, 1), (1, 0), (0, 2), (2, 0)} <= set(zip(source, target, strict=True))
    assert 8 not in source
    between = source != target
    assert found.edge_weight == pytest.approx(expected[source, target])
    assert (found.edge_weight[between] > 0.4).all()
    assert np.bincount(target[between]).max() <= 3


def test_terms_are_read_for_the_names_of_the_data(data, tmp_path, caplog):
    assert len(data.terms) == len(data.genes)
    graph = graphs.annotation_graph(data.terms, data.genes, 20, 0.1)
    source, target = graph.edge_index
    module = np.array([int(gene[1]) for gene in data.genes])
    assert (module[source] == module[target]).all()
    assert not graphs.without_neighbours(graph).any()
    (tmp_path / "terms.csv").write_text(
        "ensembl_gene_id,symbol,go_id\nENSG1,A,GO:1\nENSG2,B,GO:1\nENSG3,C,GO:2\n"
    )
    assert graphs.read_terms(tmp_path / "terms.csv", {"A", "ENSG2"}) == {
        "A": {"GO:1"}, "ENSG2": {"GO:1"},
    }  # fmt: skip
    caplog.clear()
    graph = graphs.annotation_graph({}, data.genes, 20, 0.1)
    assert "there are no annotations" in caplog.text
    assert graphs.without_neighbours(graph).all()


@pytest.mark.parametrize("fixed", [True, False])
def test_cells_are_paired_with_control_cells_and_control_cells_with_themselves(data, fixed):
    rows = np.array([3, 1])
    targets = np.array([[4, -1], [2, 5]])
    controls = np.array([0, 5, 9])
    pairs = CellPairs(data, rows, targets, controls, seed=0, fixed=fixed)
    count = int(np.isin(data.row, rows).sum())
    assert len(pairs) == count + 3
    every, again = (pairs.__getitems__(list(range(len(pairs)))) for _ in range(2))
    assert torch.equal(every["control"], again["control"]) == fixed
    assert set(every["control"].tolist()) <= {0, 5, 9}
    np.testing.assert_array_equal(every["x"], data.control[every["control"].numpy()].toarray())
    assert torch.equal(every["y"][count:], every["x"][count:])
    assert every["condition"][count:].tolist() == [2, 2, 2]
    assert every["targets"][count:].tolist() == [[-1, -1]] * 3
    here = every["condition"] == 0
    mean = every["y"][here].double().numpy().mean(0)
    assert mean == pytest.approx(data.means[3], rel=1e-4)
    assert every["targets"][here].tolist() == [[4, -1]] * int(here.sum())
    assert {name: one.tolist() for name, one in pairs[0].items() if name != "control"}


def test_a_row_that_counts_several_times_is_as_good_as_several_rows():
    x = torch.randn(5, 7, 4, generator=torch.Generator().manual_seed(0))
    cells = torch.tensor([1, 3, 2, 5, 1])
    every = torch.arange(5).repeat_interleave(cells)
    one, other = Norm(4), Norm(4)
    torch.testing.assert_close(one(x, cells)[every], other(x[every]))
    torch.testing.assert_close(one.running_var, other.running_var)
    torch.testing.assert_close(one.running_mean, other.running_mean)


@pytest.mark.parametrize("vectors", [learnt, represented])
def test_sharing_in_a_batch_changes_neither_outputs_nor_gradients(vectors):
    batch = batch_of(TARGETS, CONTROL)
    found = []
    for shared in (True, False):
        module = tiny_module(vectors)
        module.learn_from(np.ones((8, 6), dtype=bool), np.zeros(6))
        if shared:
            change = module(batch)
        else:
            # A copy of everything for each cell, as GEARS has it.
            genes = module.genes(batch["control"]).expand(len(TARGETS), -1, -1)
            flag = torch.zeros(len(TARGETS), 6, 1)
            for cell, targets in enumerate(TARGETS):
                for gene in targets:
                    if 0 <= gene < 6:
                        flag[cell, gene] = 1
            combined = genes + module.perturbations(batch["targets"], None)[:, None]
            combined = combined + module.flag(flag)
            for norm in module.combine:
                combined = torch.relu(norm(combined))
            change = module.decoder(combined, None)
        change.square().sum().backward()
        gradient = module.decoder.shared.linear[0].weight.grad
        found.append((change, gradient, module.combine[0].running_var))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_a_prediction_does_not_depend_on_its_batch_and_controls_are_unperturbed():
    for vectors in (learnt, represented):
        module = tiny_module(vectors).eval()
        batch = batch_of(TARGETS, CONTROL)
        with torch.inference_mode():
            together = module(batch)
            alone = torch.cat(
                [module(batch_of([t], [c])) for t, c in zip(TARGETS, CONTROL, strict=True)]
            )
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
        effect = module.perturbations(batch["targets"], None)
        assert effect[[2, 5]].abs().max() == 0
        assert effect[0].abs().max() > 0


@pytest.mark.parametrize("vectors", [learnt, represented])
def test_the_network_overfits_one_batch(vectors):
    module = tiny_module(vectors, hidden=16)
    batch = batch_of(TARGETS[:5], CONTROL[:5])
    batch["y"][3] = batch["y"][0] - batch["x"][0] + batch["x"][3]
    module.learn_from(np.ones((5, 6), dtype=bool), np.full(6, 0.5))
    optimizer = torch.optim.Adam(module.parameters(), 2e-2)
    first = None
    for _ in range(120):
        optimizer.zero_grad()
        error = ((batch["x"] + module(batch) - batch["y"]) ** 2).mean()
        error.backward()
        optimizer.step()
        first = error.item() if first is None else first
    assert error.item() < 0.1 * first


def test_the_error_to_select_by_is_that_of_condition_means():
    generator = np.random.default_rng(0)
    truth = generator.normal(size=(2, 5))
    genes = np.array([[0, 3], [4, 1]])
    change = generator.normal(size=(6, 5)).astype(np.float32)
    condition = np.array([0, 1, 1, 0, 0, 1])
    metric = ConditionError(truth, genes)
    for here in (slice(0, 2), slice(2, 6)):
        metric.update(torch.from_numpy(change[here]), torch.from_numpy(condition[here]))
    expected = np.mean(
        [((change[condition == c].mean(0) - truth[c])[genes[c]] ** 2).mean() for c in range(2)]
    )
    assert metric.compute().item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["gears", "random_sclong", "expression"])
def test_a_model_repeats_is_saved_and_never_sees_test_conditions(name, data, split, tmp_path):
    where = context(tmp_path)
    model = fitted(name, data, split, where)
    found = model.predict(data.hide(np.arange(len(data.table))), split.test)
    (tmp_path / "model").mkdir()
    model.save(tmp_path / "model")
    again = type(model).load(tmp_path / "model", where).predict(data, split.test)
    np.testing.assert_allclose(again, found, atol=1e-5)
    changed = data.hide(split.test)
    changed.means[split.test] = 99.0
    other = made(name)
    other.fit(changed, split, where)
    assert other.predict(changed, split.test).equals(found)
    facts = json.loads(json.dumps(model.describe()))
    assert facts["genes_without_neighbours"] == 0
    different = fitted(name, data, split, context(tmp_path, seed=1))
    assert not np.allclose(different.predict(data, split.test), found)


def test_planted_modules_are_found_by_the_network(data, split, tmp_path):
    """Through annotations, what a gene does that was never perturbed is known from its module."""
    training = {**TRAINING, "epochs": 30, "patience": 10}
    rows = np.array([row for row in split.test if len(data.targets[row]) == 1])

    def error(name, **changes):
        model = (
            made(name, **changes)
            if changes
            else get_model(task, name)(get_model(task, name).Options())
        )
        model.fit(data.hide(split.test), split, context(tmp_path))
        found = model.predict(data.hide(np.arange(len(data.table))), rows).to_numpy()
        return float(np.mean((found - data.means[rows]) ** 2))

    mean, control = error("perturbed_mean"), error("no_change")
    assert error("gears", training=training) < 0.7 * min(mean, control)


@pytest.mark.parametrize(
    "name",
    [
        "sclong", "gene2vec", "graph", "sclong_no_low_expression", "sclong_random_low_expression",
        "sclong_no_graph", "sclong_random_graph", "sclong_no_gene_vectors",
        "sclong_single_encoder",
    ],
)  # fmt: skip
def test_variants_run_on_a_checkpoint_and_stay_finite(name, data, split, tmp_path):
    config = replace(make_tiny_model(genes=len(data.genes)).config, graph="edges")
    graph = graphs.annotation_graph(data.terms, data.genes, 20, 0.1)
    ScLong(config, GeneVocabulary.from_ids(data.genes), graph).save_pretrained(tmp_path / "model")
    where = context(tmp_path, checkpoint=tmp_path / "model", cache=tmp_path / "cache")
    found = fitted(name, data, split, where, training={**TRAINING, "epochs": 1}, controls=12)
    predicted = found.predict(data, split.test[:2])
    assert np.isfinite(predicted.to_numpy()).all()
    assert ("checkpoint_digest" in found.describe()) == name.startswith("sclong")


def test_new_perturbations_are_predicted_and_those_without_a_vector_are_named(folder, tmp_path):
    request = RunRequest(
        "genetic_perturbation", "gears", 0, folder, tmp_path / "runs", device="cpu",
        changes={"task": {"bootstrap": 0}, "model": SMALL},
    )  # fmt: skip
    run = run_task(request).folder
    assert (run / "figures" / "training.svg").is_file()
    (tmp_path / "new.csv").write_text("perturbation\nM0G5\nM1G5+M2G5\n")
    inputs = {"perturbations": tmp_path / "new.csv"}
    ask = PredictRequest("genetic_perturbation", run, inputs, folder, device="cpu")
    table = predict(ask)
    assert list(table["perturbation"]) == ["M0G5", "M1G5+M2G5"]
    assert {f"predicted_M{m}G{g}" for m in range(3) for g in range(6)} <= set(table.columns)
    (tmp_path / "new.csv").write_text("perturbation\nM0G5\nNEW+M0G1\n")
    with pytest.raises(InputError, match=r"1 genes are neither measured nor perturbed.*NEW"):
        predict(ask)


def test_genes_that_are_not_measured_have_vectors_if_they_were_perturbed(tmp_path):
    source = write_counts_example(tmp_path / "source")
    prepare_data(task, tmp_path / "data", str(source))
    data = task.load(tmp_path / "data", SETTINGS)
    split = task.split(data, scenario="simulation", seed=0, settings=SETTINGS)
    hidden = data.genes[0]
    table = data.table.replace({f"{hidden}+ctrl": "GONE+ctrl", hidden: "GONE"})
    data = replace(data, table=table)
    model = fitted("gears", data, split, context(tmp_path), training={**TRAINING, "epochs": 1})
    assert model.others == ("GONE",)
    row = np.flatnonzero(table["perturbation"] == "GONE")
    assert np.isfinite(model.predict(data, row).to_numpy()).all()
    model.genes = (*data.genes[1:], "other")
    with pytest.raises(InputError, match="other genes"):
        model.predict(data, row)


def test_protocols_are_those_of_the_original_and_our_own():
    published, honest = (
        resolve(get_model(task, name).Options, protocol, {}, "model")
        for name, protocol in (("gears", "published"), ("gears", "honest"))
    )
    assert (published.training.epochs, published.training.batch_size) == (20, 32)
    assert (published.optimisation.decay, published.optimisation.clip) == (0.5, 1.0)
    assert published.optimisation.weight_decay == 5e-4
    assert published.fixed_pairs
    assert published.shape == NetworkShape()
    assert not honest.fixed_pairs
    head = resolve(get_model(task, "sclong").Options, "published", {}, "model")
    assert head.training.batch_size * head.training.accumulate == 512
    assert (head.shape.hidden, head.training.epochs, head.controls) == (1024, 16, 0)
    assert get_model(task, "gears_wide").Options.for_protocol("honest").shape.hidden == 1024
    assert head.training.monitor == published.training.monitor == "validation_mse_de"
    for name in task.models:
        for protocol in ("honest", "published"):
            get_model(task, name)(resolve(get_model(task, name).Options, protocol, {}, "model"))


def test_gradients_are_clipped_by_value_and_the_rate_is_multiplied(data, split, tmp_path):
    model = fitted("gears", data, split, context(tmp_path), optimisation={"decay": 0.5})
    rates = model.module.configure_optimizers()["lr_scheduler"]
    assert rates.gamma == 0.5
    seen = []
    module = model.module
    module.clip_gradients = lambda *words: seen.append(words[1:])
    module.configure_gradient_clipping(None)
    assert seen == [(1.0, "value")]


def test_published_numbers_name_strata():
    numbers = published_numbers()
    assert {one.stratum for one in numbers} == {"seen 0/1", "seen 0/2", "seen 1/2", "seen 2/2"}
    keys = [(one.model, one.metric, one.stratum) for one in numbers]
    assert len(set(keys)) == len(keys)
    found = {key: one.value for key, one in zip(keys, numbers, strict=True)}
    assert found["sclong", "pearson_delta_de_non_dropout", "seen 0/1"] == 0.625
    assert found["gears", "mse_de_non_dropout", "seen 1/2"] == 0.2211
    assert pd.Series([one.scenario for one in numbers]).eq("simulation").all()


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("gears", {"shape": {"hidden": 0}}),
        ("gears", {"shape": {"coexpression": 1.0}}),
        ("gears", {"optimisation": {"decay": 0.0}}),
        ("gears", {"optimisation": {"exponent": 0.5}}),
        ("gears", {"draws": 0}),
        ("sclong", {"encoder": {"tuning": "full"}}),
        ("sclong", {"controls": -1}),
    ],
)
def test_settings_of_networks_that_make_no_sense_are_refused(name, changes):
    with pytest.raises(ConfigError):
        resolve(get_model(task, name).Options, "honest", changes, "model")


def test_loaders_give_all_cells_once(data, split):
    targets = np.zeros((len(split.train), 2), dtype=np.int64)
    pairs = CellPairs(data, split.train, targets, np.arange(6), seed=0, fixed=False)
    seen = sum(len(batch["condition"]) for batch in batches_of(pairs, 32, shuffle_seed=0))
    assert seen == len(pairs)
    assert network.Gears is not network.WideGears
