import lightning
import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from sclong_core.errors import ConfigError
from sclong_tasks.task import RunContext
from sclong_tasks.training import TrainingOptions, evaluate_in_batches, fit_module, parameters


class Line(lightning.LightningModule):
    def __init__(self, rate=0.1):
        super().__init__()
        self.layer = nn.Sequential(nn.Dropout(0.1), nn.Linear(3, 1))
        self.rate = rate

    def step(self, batch):
        return nn.functional.mse_loss(self.layer(batch[0])[:, 0], batch[1])

    def training_step(self, batch, _index):
        return self.step(batch)

    def validation_step(self, batch, _index):
        self.log("validation_loss", self.step(batch), batch_size=len(batch[0]))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), self.rate)


def batches(rows=64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, 3, generator=generator)
    data = TensorDataset(x, x @ torch.tensor([1.0, -2.0, 0.5]))
    return DataLoader(data, 16, shuffle=True, generator=generator)


def module():
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        return Line()


def context(folder, seed=0):
    folder.mkdir(exist_ok=True)
    return RunContext(seed=seed, protocol="honest", scratch=folder, device="cpu")


def test_training_repeats_with_its_seed_and_leaves_the_users_generator_alone(tmp_path):
    state = torch.random.get_rng_state()
    found = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        model = module()
        fit_module(
            model,
            batches(),
            batches(seed=9),
            TrainingOptions(epochs=3),
            context(tmp_path / name, seed),
        )
        found.append(model.layer[1].weight.detach().numpy().copy())
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])
    assert torch.equal(state, torch.random.get_rng_state())


def test_the_best_epochs_weights_are_kept(tmp_path):
    class Worse(Line):
        def on_train_epoch_start(self):
            if self.current_epoch >= 3:
                self.optimizers().param_groups[0]["lr"] = 3.0

    model = Worse()
    model.layer[0].p = 0.0
    fit = fit_module(
        model,
        batches(),
        batches(seed=9),
        TrainingOptions(epochs=20, patience=2),
        context(tmp_path),
    )
    assert fit.best_epoch <= 3 < fit.epochs < 20
    losses = [model.eval().step(batch).item() for batch in batches(seed=9)]
    assert np.mean(losses) == pytest.approx(fit.best, rel=1e-4)


def test_without_validation_all_epochs_are_trained(tmp_path):
    fit = fit_module(module(), batches(), None, TrainingOptions(epochs=4), context(tmp_path))
    assert (fit.epochs, fit.best_epoch) == (4, 4)
    assert fit.describe()["best_monitor"] is None


def test_gradients_of_several_batches_make_one_step(tmp_path):
    found = []
    for size, accumulate in ((32, 1), (16, 2)):
        model = module()
        data = DataLoader(batches().dataset, size)
        model.layer[0].p = 0.0
        options = TrainingOptions(epochs=2, accumulate=accumulate)
        fit_module(model, data, None, options, context(tmp_path / str(size)))
        found.append(model.layer[1].weight.detach())
    torch.testing.assert_close(*found)


def test_outputs_of_batches_are_put_end_to_end():
    loader = DataLoader(TensorDataset(torch.arange(10.0)), 4)
    found = evaluate_in_batches(lambda batch: batch[0] * 2, loader, torch.device("cpu"))
    assert torch.equal(found, torch.arange(10.0) * 2)


def test_frozen_weights_are_counted_apart():
    model = Line()
    model.layer[1].weight.requires_grad_(False)
    assert parameters(model) == {"parameters": 4, "trained_parameters": 1}


@pytest.mark.parametrize(
    "wrong",
    [{"mode": "best"}, {"epochs": 0}, {"learning_rate": 0.0}, {"patience": -1}, {"accumulate": 0}],
)
def test_impossible_options_are_refused(wrong):
    with pytest.raises(ConfigError):
        TrainingOptions(**wrong)


@pytest.mark.slow
@pytest.mark.parametrize("validation", [None, batches(seed=9)], ids=["all epochs", "best epoch"])
def test_two_processes_train_one_module_and_leave_it_here(tmp_path, validation):
    model = module()
    before = model.layer[1].weight.detach().clone()
    options = TrainingOptions(epochs=3, devices=2)
    fit = fit_module(model, batches(), validation, options, context(tmp_path))
    assert fit.epochs == 3
    assert not torch.equal(before, model.layer[1].weight)
    assert len(fit.history) == 3
