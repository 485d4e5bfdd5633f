import pytest
import torch

from benchmarks import response, tasks


def test_both_ways_compute_the_same():
    problem = response.Problem(130)
    found = [
        [loss.item() for loss in losses()]
        for _, losses in (way(problem) for way in response.WAYS.values())
    ]
    assert len(found[0]) == 3
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def test_padding_is_an_identity_beside_the_normalised_adjacency():
    _, adjacency, atoms = response.padded(response.made_up_drugs(3))
    count = int(atoms[1].sum())
    torch.testing.assert_close(adjacency[1, count:, count:], torch.eye(response.SLOTS - count))
    torch.testing.assert_close(adjacency, adjacency.transpose(1, 2))


def test_the_report_of_all_tasks_has_a_line_for_each_way(tmp_path):
    tasks.main(["--tasks", "response", "--rows", "64", "--turns", "1", "--output", str(tmp_path)])
    text = (tmp_path / "tasks.md").read_text()
    assert all(f"| {way} |" in text for way in response.WAYS)
    assert (tmp_path / "response.json").is_file()
