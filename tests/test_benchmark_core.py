import json
from pathlib import Path

import pytest

from benchmarks.core import main
from benchmarks.data import EDGES_A_GENE, random_expression, random_graph, random_mask
from benchmarks.flops import forward_flops, peak_bfloat16
from benchmarks.machine import memory
from benchmarks.plan import plan
from benchmarks.report import write_report
from benchmarks.side_by_side import Measurement
from benchmarks.subject import Subject
from sclong_core.config import PRESETS, ScLongConfig

GIGABYTE = 10**9


def measured(candidate: str, precision: str, seconds: list[float]) -> dict:
    subject = Subject("forward", candidate, "tiny", precision)
    figures = {"peak": 3 * GIGABYTE, "resident": GIGABYTE, "anonymous": GIGABYTE, "file": 0}
    return Measurement(subject, 10, 2.0, 1.0, figures, seconds, figures).to_json()


@pytest.fixture
def results() -> dict:
    return {
        "date": "2026-01-01",
        "commit": None,
        "machine": {
            "cores": 2,
            "architecture": "x86_64",
            "instruction_set": "AVX512",
            "bfloat16_instructions": [],
            "memory_bytes": 8 * GIGABYTE,
            "accelerator": None,
            **dict.fromkeys(("torch", "performer-pytorch", "torch-geometric", "python"), "1.0"),
        },
        "load_at_start": 0.0,
        "measurements": [
            measured("reference", "float32", [8.0, 9.0, 100.0]),
            measured("ours", "float32", [3.0, 2.0, 3.0]),
            measured("ours", "bfloat16", [1.0]),
        ],
        "loading": [],
        "accelerator": [],
        "agreement": [],
        "left_out": ["forward 1b: needs about 14 GB, 8 GB were free"],
    }


def report(results: dict, folder: Path) -> str:
    write_report(results, folder)
    return (folder / "core.md").read_text(encoding="utf-8")


def test_the_report_gives_medians_and_ratios(results, tmp_path):
    rows = [line for line in report(results, tmp_path).splitlines() if "| ours |" in line]
    assert rows == [
        "| tiny | float32 | ours | 3 | 3 | 3.00 | 3.00 | 1.00 | 3.00 |",
        "| tiny | bfloat16 | ours | 1 | 1 | 9.00 |  | 1.00 | 3.00 |",
    ]


def test_the_report_keeps_every_figure_and_draws_them(results, tmp_path):
    report(results, tmp_path)
    assert json.loads((tmp_path / "core.json").read_text(encoding="utf-8")) == results
    assert "<svg" in (tmp_path / "core.svg").read_text(encoding="utf-8")


def test_the_report_says_what_was_left_out_and_whether_the_machine_was_busy(results, tmp_path):
    assert "- forward 1b: needs about 14 GB" in report(results, tmp_path)
    assert "say little" not in report(results, tmp_path)
    assert "say little" in report({**results, "load_at_start": 1.5}, tmp_path)


def test_the_report_gives_the_share_of_an_accelerators_peak(results, tmp_path):
    subject = Subject("training", "ours", "1b", "bfloat16", None, "cuda", cells=4)
    row = Measurement(subject, 10, 2.0, 1.0, {}, [0.2], {}, 40 * GIGABYTE).to_json()
    machine = {**results["machine"], "accelerator": "NVIDIA H100 80GB HBM3"}
    text = report({**results, "machine": machine, "accelerator": [row]}, tmp_path)
    rate = 3 * 4 * forward_flops(ScLongConfig()) / 0.2
    assert f"| {rate / 1e12:.0f} | {100 * rate / 989e12:.0f} % | 40.0 |" in text


def test_operations_of_the_papers_model():
    assert forward_flops(ScLongConfig()) == pytest.approx(8.1e12 + 0.75e12, rel=0.05)


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("a device that nobody knows", None),
    ],
)
def test_peak_of_a_device(name, peak):
    assert peak_bfloat16(name) == peak


@pytest.mark.parametrize("full", [False, True])
def test_every_size_is_planned_and_the_largest_never_trained(full):
    names = {comparison.name for comparison in plan(Path(), full=full, sizes=PRESETS)}
    assert {f"forward {size}" for size in PRESETS} <= names
    assert "training 1b" not in names
    assert ("training base" in names) == full


def test_the_short_run_is_planned_for_at_most_ten_minutes():
    assert sum(comparison.seconds for comparison in plan(Path(), full=False, sizes=PRESETS)) < 540


def test_what_is_made_up_looks_like_the_real_thing():
    graph = random_graph(500)
    assert graph.edge_weight.size == pytest.approx(EDGES_A_GENE * 500, rel=0.05)
    expression = random_expression(2, 5_000)
    assert (expression > 0).sum(dim=1).tolist() == [2_000, 2_000]
    assert expression.expm1().sum(dim=1).tolist() == pytest.approx([10_000, 10_000], rel=1e-4)
    assert (expression[random_mask(expression)] > 0).all()


def test_memory_of_this_process():
    figures = memory()
    assert figures["peak"] >= figures.get("resident", 1) > 0


@pytest.mark.slow
def test_a_run_of_the_benchmark(tmp_path):
    words = ["--sizes", "tiny", "--tasks", "loading", "--output", str(tmp_path)]
    assert main(words) == 0
    found = json.loads((tmp_path / "core.json").read_text(encoding="utf-8"))["loading"]
    assert [row["subject"]["precision"] for row in found] == ["float32", "bfloat16"]
    assert all(row["median"] > 0 and row["parameters"] > 10**6 for row in found)
