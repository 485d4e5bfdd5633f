import numpy as np
import pytest
import torch

from sclong_core.pretraining.metrics import (
    MaskedRegression,
    ValidationMetrics,
    baseline_predictions,
)


def made_up(cells=7, genes=30, seed=0):
    random = torch.Generator().manual_seed(seed)
    expression = torch.rand(cells, genes, generator=random) * 5
    expression[torch.rand(cells, genes, generator=random) < 0.3] = 0
    scored = (expression > 0) & (torch.rand(cells, genes, generator=random) < 0.3)
    prediction = expression + torch.randn(cells, genes, generator=random)
    return prediction, expression, scored


@pytest.mark.parametrize("sizes", [[7], [3, 4], [1, 1, 5]])
def test_figures_are_those_of_numpy_however_cells_are_batched(sizes):
    prediction, expression, scored = made_up()
    metric = MaskedRegression()
    split = (tensor.split(sizes) for tensor in (prediction, expression, scored))
    for part in zip(*split, strict=True):
        metric.update(*part)
    found = metric.compute()
    p, y = prediction[scored].double().numpy(), expression[scored].double().numpy()
    assert float(found.loss) == pytest.approx(np.mean((p - y) ** 2), rel=1e-12)
    assert float(found.r2) == pytest.approx(
        1 - ((p - y) ** 2).sum() / ((y - y.mean()) ** 2).sum(), rel=1e-9
    )
    assert float(found.pearson) == pytest.approx(np.corrcoef(p, y)[0, 1], rel=1e-9)


def test_positions_that_are_not_scored_do_not_matter():
    prediction, expression, scored = made_up()
    one, other = MaskedRegression(), MaskedRegression()
    one.update(prediction, expression, scored)
    other.update(prediction.masked_fill(~scored, torch.nan), expression, scored)
    assert one.compute() == other.compute()


def test_baselines_by_hand():
    expression = torch.tensor([[2.0, 4.0, 0.0, 6.0]])
    masked = torch.tensor([[False, False, False, True]])
    means = torch.tensor([1.0, 2.0, 3.0, 4.0])
    found = baseline_predictions(expression, masked, means)
    assert found.gene_mean.tolist() == [[1.0, 2.0, 3.0, 4.0]]
    assert found.cell_mean.tolist() == [[3.0] * 4]  # of 2 and 4
    assert found.gene_and_cell.tolist() == [[2.5, 3.5, 4.5, 5.5]]  # 3 - (1 + 2) / 2 above


def test_no_baseline_sees_a_hidden_value():
    _, expression, scored = made_up()
    changed = torch.where(scored, torch.tensor(77.0), expression)
    means = torch.arange(30.0)
    one, other = (baseline_predictions(x, scored, means) for x in (expression, changed))
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a, b)


def test_all_figures_come_from_the_same_positions_and_start_anew():
    prediction, expression, scored = made_up()
    batch = {"expression": expression, "masked": scored, "scored": scored}
    metrics = ValidationMetrics()
    metrics.update(prediction, batch, torch.ones(30))
    first = metrics.compute()
    assert set(first) == {
        "val/loss",
        "val/r2",
        "val/pearson",
        "val/r2_gene_mean",
        "val/r2_cell_mean",
        "val/r2_gene_and_cell",
    }
    metrics.update(prediction, batch, torch.ones(30))
    assert metrics.compute() == first
    metrics.update(prediction, batch, None)
    assert set(metrics.compute()) == {"val/loss", "val/r2", "val/pearson"}
