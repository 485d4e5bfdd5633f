"""DeepSEM's network beside what its authors compute, in double precision with a dense inverse."""

import math

import numpy as np
import pytest
import torch

from sclong_core.errors import ConfigError, InputError
from sclong_tasks.batches import row_batches
from sclong_tasks.grn.config import NetworkOptions
from sclong_tasks.grn.module import DeepSemModule, GrnLayer
from sclong_tasks.task import RunContext
from sclong_tasks.training import TrainingOptions, fit_module, seeded

GENES, CELLS = 12, 10


def made(regulators=GENES, **options):
    generator = np.random.default_rng(0)
    start = generator.normal(0, 0.05, (regulators, GENES)).astype(np.float32)
    places = torch.arange(0, 2 * regulators, 2) if regulators < GENES else torch.arange(GENES)
    with seeded(0):
        return DeepSemModule(
            GrnLayer(torch.from_numpy(start), places),
            NetworkOptions(hidden=16, **options),
            1e-3,
        )


def cells(seed=0):
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(CELLS, GENES)).astype(np.float32)
    mask = (generator.random((CELLS, GENES)) > 0.2).astype(np.float32)
    return {
        "values": torch.from_numpy(values),
        "mask": torch.from_numpy(mask),
        "cell": torch.arange(CELLS),
    }


def transposed_network(layer):
    """``A'`` of all genes, from the rows of regulators."""
    full = torch.zeros(GENES, GENES, dtype=layer.weight.dtype)
    return full.index_copy(0, layer.regulators, layer.weight)


def dense_loss(module, batch, noise):
    """The published loss with an inverse; the constant of the one category is left out."""
    a = transposed_network(module.layer)
    both = torch.eye(GENES, dtype=a.dtype) - a
    x = torch.stack([batch["values"], torch.ones_like(batch["values"])], -1)
    out = module.encoder(x)
    mean, variance = out[..., 0] @ both, (out[..., 1] @ both).exp()
    z = mean + noise * (variance + 1e-10).sqrt()
    decoded = module.decoder((z @ torch.linalg.inv(both)).unsqueeze(-1)).squeeze(-1)
    one = torch.ones(1, 1, dtype=a.dtype)
    prior, spread = module.prior_mean(one) @ both, (module.prior_variance(one) @ both).exp()

    def log_normal(centre, width):
        wide = width + 1e-8
        parts = math.log(2 * math.pi) + wide.log() + (z - centre) ** 2 / wide
        return -0.5 * parts.mean(-1)

    error = (((batch["values"] - decoded) ** 2) * batch["mask"]).sum() / batch["mask"].sum()
    divergence = (log_normal(mean, variance) - log_normal(prior, spread)).mean()
    return error + 0.01 * divergence + 0.1 * module.layer.weight.abs().mean()


@pytest.mark.parametrize("regulators", [GENES, 5])
@pytest.mark.parametrize("block", [0, 30])
@pytest.mark.parametrize("on_network", [False, True])
def test_loss_and_gradients_are_those_of_a_dense_inverse(regulators, block, on_network):
    module, batch = made(regulators, block=block).double(), cells()
    batch = {name: one.double() if one.is_floating_point() else one for name, one in batch.items()}
    module.take_turn(on_network=on_network)
    with seeded(3):
        loss = module.loss(batch)
    with seeded(3):
        noise = torch.randn(CELLS, GENES, dtype=torch.float64)
    loss.backward()
    ours = {n: p.grad.clone() for n, p in module.named_parameters() if p.grad is not None}
    module.zero_grad()
    expected = dense_loss(module, batch, noise)
    expected.backward()
    theirs = {n: p.grad.clone() for n, p in module.named_parameters() if p.grad is not None}
    assert loss.item() == pytest.approx(expected.item(), rel=1e-10)
    assert ours.keys() == theirs.keys()
    assert ("layer.weight" in ours) == on_network
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, theirs[name])


@pytest.mark.parametrize("regulators", [GENES, 5])
def test_the_layer_is_a_true_inverse_in_both_forms(regulators):
    layer, z = made(regulators).layer, cells()["values"]
    inverse = np.linalg.inv(np.eye(GENES) - transposed_network(layer).detach().double().numpy())
    with torch.no_grad():
        np.testing.assert_allclose(layer.divide(z).numpy(), z.double().numpy() @ inverse, atol=1e-5)
        np.testing.assert_allclose(layer.multiply(layer.divide(z)).numpy(), z.numpy(), atol=1e-5)
        free = layer.divide(z)
        layer.hold()
        torch.testing.assert_close(layer.divide(z), free)


def test_what_a_gene_does_to_itself_stays_zero(tmp_path):
    module = made(5)
    own = torch.arange(5), module.layer.regulators
    assert not module.layer.weight[own].any()
    fit(module, tmp_path, epochs=6)
    assert not module.layer.weight[own].any()


def test_the_released_inverse_is_another_one():
    start = torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, (4, 4)).astype(np.float32))
    z = torch.eye(4)
    layer = GrnLayer(start, torch.arange(4), cholesky=True)
    lower = torch.tril(torch.eye(4) - layer.weight.detach())
    with torch.no_grad():
        torch.testing.assert_close(layer.divide(z), torch.linalg.inv(lower @ lower.T))
        assert not torch.allclose(layer.divide(z), GrnLayer(start, torch.arange(4)).divide(z))


def test_a_singular_network_is_refused_and_named():
    rows = torch.full((4, 4), 1 / 3)
    with pytest.raises(InputError, match=r"singular.*row_sum"):
        GrnLayer(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.arange(2)).divide(torch.ones(1, 2))
    assert torch.isfinite(GrnLayer(0.9 * rows, torch.arange(4)).divide(torch.ones(1, 4))).all()


def fit(module, tmp_path, epochs, seed=0):
    options = TrainingOptions(epochs=epochs, batch_size=4, learning_rate=1e-3, patience=0)
    batches = row_batches(cells(), 4, shuffle_seed=seed)
    place = RunContext(seed, "honest", tmp_path, device="cpu")
    return fit_module(module, batches, None, options, place)


def test_turns_train_one_part_at_a_time_and_repeat_with_the_seed(tmp_path):
    module = made()
    before = module.layer.weight.detach().clone()
    others = module.encoder[0].weight.detach().clone()
    fit(module, tmp_path, epochs=1)
    torch.testing.assert_close(module.layer.weight.detach(), before)
    assert not torch.allclose(module.encoder[0].weight, others)
    found = []
    for seed in (1, 1, 2):
        module = made()
        fit(module, tmp_path, epochs=3, seed=seed)
        found.append(module.layer.weight.detach())
    assert not torch.allclose(found[0], before)
    torch.testing.assert_close(found[0], found[1])
    assert not torch.allclose(found[0], found[2])


def test_it_overfits_one_batch():
    module, batch = made(alpha=0.0, beta=0.0), cells()
    optimizers = module.configure_optimizers()
    for group in optimizers[1].param_groups:
        group["lr"] = 1e-2
    with seeded(0):
        first = module.loss(batch).item()
        for step in range(400):
            on_network = step % 3 == 2
            module.take_turn(on_network=on_network)
            loss = module.loss(batch)
            optimizers[on_network].zero_grad()
            loss.backward()
            optimizers[on_network].step()
        assert np.mean([module.loss(batch).item() for _ in range(5)]) < first / 3


def test_wrong_settings_of_the_network_are_refused():
    with pytest.raises(ConfigError, match=r"network\.hidden"):
        NetworkOptions(hidden=0)
