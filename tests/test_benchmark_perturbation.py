"""The benchmark of genetic perturbation: both ways compute the same, and its report can be made."""

import torch

from benchmarks import perturbation, tasks, turns


def losses(way, problem):
    module, found = way(problem)
    optimizer = torch.optim.Adam(module.parameters(), 1e-3)
    values = []
    for loss in found():
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    return values


def test_a_graph_a_cell_and_shared_ones_lose_the_same(monkeypatch):
    monkeypatch.setattr(perturbation, "HIDDEN", 8)
    # Cells enough that conditions occur twice in a batch.
    monkeypatch.setattr(perturbation, "CONDITIONS", 9)
    one, other = (
        losses(way, perturbation.Problem(80, genes=30))
        for way in (perturbation.graph_a_cell, perturbation.shared)
    )
    assert len(one) == 3
    for a, b in zip(one, other, strict=True):
        assert abs(a - b) < 1e-3 * abs(a)


def test_co_expression_reaches_all_cells(monkeypatch):
    monkeypatch.setattr(perturbation, "HIDDEN", 8)
    with_edges = perturbation.Problem(32, genes=30, edges=True)
    assert with_edges.coexpression.edge_weight.size == 30 * (1 + perturbation.NEIGHBOURS)
    assert losses(perturbation.shared, with_edges)


def test_the_report_names_each_way(monkeypatch):
    measured = [
        {
            "way": way,
            "rows": 160,
            "seconds": 10.0 / place,
            "seconds_to_prepare": 0.1,
            "bytes_before": 0,
            "bytes_peak": 10**9,
            "last_loss": 0.5,
        }
        for place, way in enumerate(perturbation.WAYS, 1)
    ]
    monkeypatch.setattr(perturbation, "heading", lambda *_: ["# title"])
    results = {"measurements": measured, "turns": 1, "largest_difference_of_losses": 1e-5}
    text = "\n".join(perturbation.lines(results))
    assert "| sclong-tasks | 5.00 | 0.4 | 2.0 | 1000 |" in text
    assert tasks.PARTS["perturbation"] is perturbation
    assert turns.TURNS
