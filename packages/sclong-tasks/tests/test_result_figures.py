"""Figures of many runs: every run is a dot, strata are apart, the paper's number stands by them."""

from xml.etree.ElementTree import tostring

import pandas as pd

from sclong_tasks.result_figures import result_figures, write_result_figures

METRIC = "mse_de_non_dropout"


def rows(data_set="paper"):
    models = {"gears": (0.3, 0.2), "sclong": (0.1, 0.2), "other": (0.5, None)}
    common = {
        "task": "genetic_perturbation",
        "protocol": "published",
        "scenario": "simulation",
        "metric": METRIC,
        "variant": "",
        "higher_is_better": False,
        "data_set": data_set,
    }
    found = [
        {**common, "stratum": stratum, "model": model, "seed": seed, "value": value}
        for model, values in models.items()
        for seed, value in enumerate(values)
        for stratum in ("all", "seen 0/2")
    ]
    return pd.DataFrame(found).astype({"value": float})


def test_each_stratum_is_drawn_with_runs_as_dots_and_the_best_first():
    found = {
        name: tostring(one, encoding="unicode") for name, one in result_figures(rows()).items()
    }
    assert len(found) == 2
    whole = found["genetic_perturbation-published-simulation-mse_de_non_dropout-all"]
    part = found["genetic_perturbation-published-simulation-mse_de_non_dropout-seen_0_2"]
    for drawing in (whole, part):
        assert drawing.count('class="run"') == 5
        assert drawing.index("sclong") < drawing.index("gears") < drawing.index("other")
    # The paper gives numbers of this part, and none of all test rows.
    assert part.count('class="published"') == 2
    assert 'class="published"' not in whole
    assert "seen 0/2" in part


def test_numbers_of_the_paper_stand_beside_its_own_data_alone():
    for one in result_figures(rows(data_set="")).values():
        drawing = tostring(one, encoding="unicode")
        assert 'class="published"' not in drawing
        assert "the paper" not in drawing


def test_drawings_are_files_and_metrics_are_chosen(tmp_path):
    paths = write_result_figures(rows(), tmp_path / "figures", [METRIC])
    assert len(paths) == 2
    assert all(path.read_text().startswith("<svg") for path in paths)
    assert write_result_figures(rows(), tmp_path / "none", ["other"]) == []
