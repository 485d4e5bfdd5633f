import math
import re

import pandas as pd
import pytest

from sclong_bench.report.checklist import checklist
from sclong_bench.report.comparison import gather
from sclong_bench.report.page import report_page
from sclong_bench.report.summaries import mean_interval, share_of_the_way
from sclong_bench.report.tables import comparison_table
from sclong_bench.report.verdicts import sentence, verdict
from sclong_bench.report.words import (
    breakable,
    decimals_for,
    duration,
    heading_of,
    memory,
    p_text,
    plain,
)
from sclong_bench.results.reading import Results, read_results
from sclong_bench.results.roles import role_of, roles
from sclong_bench.results.schema import tidy
from sclong_bench.statistics.comparison import Plan
from sclong_core.errors import InputError
from sclong_data.report.markup import tag
from sclong_data.report.page import page_html


@pytest.fixture(scope="module")
def evidence(made_up_runs):
    return gather(read_results(made_up_runs))


@pytest.fixture(scope="module")
def html(evidence):
    return page_html(report_page(evidence))


def of_rows(*rows, **settings):
    base = {"task": "t", "metric": "score", "seed": 1}
    frame = tidy(pd.DataFrame([{**base, **row} for row in rows]))
    return gather(Results(frame, "made up"), **settings)


def main(evidence, task):
    (setting,) = evidence.main_settings(task)
    return setting


def test_published_ours_and_trivial_stand_in_one_table(evidence):
    setting = main(evidence, "drug_response")
    lines = {line.label: line for line in setting.lines}
    assert lines["sclong"].published.printed == "0.878"
    assert lines["sclong"].mean == pytest.approx(0.86, abs=0.01)
    assert lines["drug_mean"].role == lines["random_sclong"].role == "floor"
    assert lines["linear"].role == "simple"
    assert lines["Geneformer"].reason == "not run"
    assert lines["Geneformer"].published.p_text == "P = 0.001"
    assert setting.lines[0].role == "reference"
    combination = {line.label: line.role for line in main(evidence, "drug_combination").lines}
    assert combination["scGPT"] == "model"
    integration = of_rows({"task": "batch_integration", "metric": "batch_asw", "model": "pca",
                           "value": 0.5, "data_set": "paper"})  # fmt: skip
    roles_there = {line.label: line.role for line in integration.settings[0].lines}
    assert roles_there["w/o GO"] == "ablation"  # also where only the paper has a number
    assert roles_there["HVG"] == "simple"


def test_the_page_says_what_could_not_be_run_and_why(html):
    assert "not run" in html
    assert "lacks seed 3: out of memory" in html
    assert "4 of 5" in html
    section = html.split("Failed and missing runs</h2>")[1]
    assert re.search(r"deepdds.*?failed.*?out of memory", section, flags=re.DOTALL)
    assert re.search(r"deepcdr.*?missing", section, flags=re.DOTALL)


def test_a_model_that_could_not_be_run_at_all_says_so_in_its_cell():
    evidence = of_rows(
        {"model": "scLong", "value": 0.5},
        {"model": "scGPT", "value": math.nan, "reason": "weights are not public"},
    )
    html = page_html(report_page(evidence))
    assert "could not be run: weights are not public" in html


def test_names_stay_text(html):
    assert "onerror=alert(1)&gt;" in html
    assert "<b>" not in html


def test_the_paper_is_never_mixed_into_ours(evidence):
    published = {line.published for s in evidence.settings for line in s.lines} - {None}
    assert published
    assert "Geneformer" not in set(evidence.results.rows["model"])
    assert "Geneformer" not in set(evidence.comparisons["model"])


def test_the_family_stands_in_the_caption(html, made_up_runs):
    assert "over the family “task drug response” of 15 comparisons" in html
    plan = Plan(family=(), correction="by", test="student")
    other = page_html(report_page(gather(read_results(made_up_runs), plan=plan)))
    assert "Benjamini-Yekutieli over the family “all comparisons” of 24 comparisons" in other


def test_differences_beyond_seeds_come_from_predictions(evidence):
    found = {(one.task, one.metric, one.model): one for one in evidence.beyond}
    area = found["drug_combination", "auroc", "random_forest"]
    assert (area.method, area.units, area.seeds) == ("DeLong", 200, 5)
    correlation = found["drug_response", "pearson", "linear"]
    assert correlation.units == 20  # cell lines, not rows
    assert correlation.low < correlation.difference < correlation.high
    assert found["drug_response", "pearson", "deepcdr"].seeds == 4


def test_verdicts_follow_from_the_numbers(evidence):
    response = verdict(evidence, main(evidence, "drug_response"))
    assert (len(response.ahead), response.behind) == (5, ())
    assert response.untested == ("deepcdr",)
    combination = main(evidence, "drug_combination")
    assert verdict(evidence, combination).behind == ("random_forest",)
    words = sentence(evidence, combination)
    assert "not ahead of random_forest" in words
    assert "The simple baseline random_forest does as well or better" in words
    assert "ceiling" not in words


def test_lower_may_be_better():
    evidence = of_rows(
        *({"model": m, "metric": "mse", "seed": s, "value": v + s / 1000}
          for m, v in (("scLong", 0.1), ("b", 0.2)) for s in range(5))
    )  # fmt: skip
    found = verdict(evidence, evidence.settings[0])
    assert found.clearly_ahead == ("b",)
    assert found.good
    assert found.words == "ahead"


def test_shares_of_the_way_from_floor_to_ceiling():
    evidence = of_rows(
        {"model": "scLong", "value": 0.75},
        {"model": "mean", "value": 0.5, "seed": None},
        {"model": "technical duplicate", "value": 1.0, "seed": None},
    )
    setting = evidence.settings[0]
    assert share_of_the_way(setting, setting.of("scLong")) == pytest.approx(0.5)


def test_one_model_alone_makes_a_page():
    evidence = of_rows({"model": "scLong", "value": 0.5})
    html = page_html(report_page(evidence))
    assert "There is no other model to compare scLong with." in html


@pytest.mark.parametrize("value", [math.inf, math.nan, -math.inf])
def test_values_that_are_no_numbers_make_a_page(value):
    evidence = of_rows({"model": "scLong", "value": value}, {"model": "b", "value": 1.0})
    html = page_html(report_page(evidence))
    assert "not defined" in html
    assert "scLong has no value here" in html


def test_mixed_digests_make_no_page():
    with pytest.raises(InputError, match="different data"):
        of_rows(
            {"model": "scLong", "value": 0.5, "data_digest": "a"},
            {"model": "b", "value": 0.5, "data_digest": "b"},
        )


def test_figures_of_runs_are_pictures(made_up_runs, tmp_path):
    import shutil  # noqa: PLC0415  # only here

    shutil.copytree(made_up_runs, tmp_path / "runs")
    figures = tmp_path / "runs" / "drug_response" / "model0-seed0" / "figures"
    figures.mkdir()
    (figures / "curve.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    html = page_html(report_page(gather(read_results(tmp_path / "runs"))))
    assert re.search(r'<img src="data:image/svg\+xml;base64,[^"]+" alt="drug response: curve', html)
    assert "<small>curve of the run with seed 0, honest random</small>" in html


def test_the_commands_versions_and_digests_stand_there(made_up_runs):
    evidence = gather(read_results(made_up_runs), command="sclong bench report results")
    html = page_html(report_page(evidence))
    assert "sclong task run drug_response --model sclong" in html
    assert "<code>sclong bench report results</code>" in html
    for part in ("numpy=2.0 torch=2.4", "0.1.0", "dddddddddddd", "12.5 s", "1 GiB"):
        assert part in html, part


def test_roles_by_name_and_by_hand():
    names = {
        "sclong_no_graph": "ablation",
        "w/o LEG": "ablation",
        "Random GO": "ablation",
        "random_sclong": "floor",
        "no-change": "floor",
        "drug_line_offsets": "floor",
        "random_forest": "simple",
        "GENIE3": "simple",
        "technical_duplicate": "ceiling",
        "Geneformer": "model",
        "sclong_finetuned": "model",
        "permuted_pca": "floor",
        "untrained_sclong": "floor",
        "permuted_embedding": "floor",
        "random_sclong_mean": "floor",
        "random_vectors": "floor",
        "constant_and_noise": "floor",
        "cell_dose_mean": "floor",
        "expression_cosine": "simple",
        "gene_effects": "simple",
        "sclong_single_encoder": "ablation",
        "sclong_mean": "model",
    }
    assert {name: role_of(name) for name in names} == names
    frame = tidy(
        pd.DataFrame(
            [
                {"task": "t", "metric": "r", "model": m, "seed": 1, "value": 1, "role": r}
                for m, r in (("scLong", ""), ("odd", "floor"), ("other", ""))
            ]
        )
    )
    found = roles(frame, {"other": "ceiling"})
    assert found == {"scLong": "model", "odd": "floor", "other": "ceiling"}
    with pytest.raises(InputError, match="'best' of other"):
        roles(frame, {"other": "best"})


def of_three_tasks():
    """scLong in one, a declared baseline in another, nothing that qualifies in the third."""
    models = {
        "grn": {"scLong": 0.8, "correlation": 0.7},
        "batch_integration": {"raw": 0.5, "pca": 0.6, "label_embedding": 0.9},
        "own": {"a": 0.3, "b": 0.2},
    }
    return of_rows(
        *(
            {"task": task, "model": name, "seed": seed, "value": mean + seed / 1000}
            for task, names in models.items()
            for name, mean in names.items()
            for seed in range(3)
        )
    )


def test_each_task_says_what_it_is_compared_with_and_why():
    evidence = of_three_tasks()
    assert [evidence.reference_of(task) for task in evidence.tasks] == ["scLong", "pca", ""]
    html = page_html(report_page(evidence))
    assert "<h1>Models on 3 tasks</h1>" in html
    assert "Reference: scLong. It is the reference of every task that has it." in html
    assert "Reference: pca. sclong was not run here. Of the baselines declared" in html
    assert "No reference. sclong was not run here. There is no simple baseline here" in html
    assert "minus pca" in html
    assert "minus scLong" in html
    assert verdict(evidence, main(evidence, "own")).words == "no reference"
    assert "the task has no reference" in sentence(evidence, main(evidence, "own"))


def test_a_baseline_that_is_the_reference_stays_a_baseline():
    evidence = of_three_tasks()
    setting = main(evidence, "batch_integration")
    (line,) = [line for line in setting.lines if line.role == "reference"]
    assert (line.label, line.kind) == ("pca", "simple")
    assert "reference, simple baseline" in page_html(report_page(evidence))
    assert setting.best("simple").label == "raw"  # beside the reference
    assert setting.best("simple", besides_reference=False).label == "pca"
    baselines = next(check for check in checklist(evidence) if check.letter == "d")
    assert "batch integration has simple: pca, raw." in baselines.because


def test_what_no_seed_moves_has_no_smallest_difference():
    rows = (("mean", 0.5), ("pca", 0.75))
    evidence = of_rows(*({"model": m, "value": v, "seed": None} for m, v in rows))
    table = comparison_table(evidence, evidence.settings[0])
    heading = [column.heading for column in table.columns].index("could be shown")
    assert table.rows[0][heading].content == "\N{EN DASH}"


@pytest.mark.parametrize("name", ["pca", "logistic_regression", "_a__b_", "scLong (frozen)"])
def test_a_name_breaks_behind_underscores_and_is_not_changed(name):
    shown = tag("small", *breakable(name))
    assert "".join(shown.itertext()) == name
    before = [shown.text, *(place.tail for place in shown)]
    assert len(before) == name.count("_") + 1
    assert all(part.endswith("_") for part in before[:-1])


def test_a_task_that_is_called_by_letters_has_a_heading_of_words():
    assert heading_of("grn") == "Gene regulatory networks"
    assert heading_of("drug_response") == "Drug response"


def test_shares_of_the_way_start_at_a_floor_that_is_the_reference():
    rows = (("mean", 0.5), ("b", 0.75), ("oracle", 1.0))
    evidence = of_rows(*({"model": m, "value": v} for m, v in rows), reference="mean")
    setting = evidence.settings[0]
    assert share_of_the_way(setting, setting.of("b")) == pytest.approx(0.5)
    assert "no floor" not in sentence(evidence, setting)


def test_only_models_that_start_from_one_lack_a_checkpoint():
    record = next(check for check in checklist(of_three_tasks()) if check.letter == "i")
    assert "the checkpoint of scLong" in record.because
    assert "pca" not in record.because


def test_numbers_as_readers_see_them():
    assert [p_text(p) for p in (0.049, 0.00012, 1e-9, 1.0, math.nan)] == [
        ".049",
        ".00012",
        "< .0001",
        "1",
        "\N{EN DASH}",
    ]
    sides = [p_text(p) for p in (0.0498, 0.04996, 0.05, 0.0502, 0.0532, 0.045)]
    assert sides == [".0498", ".04996", ".05", ".0502", ".053", ".045"]
    assert plain(-math.inf, 2) == "\N{MINUS SIGN}∞"
    assert duration(30) == "30 s"
    assert duration(7200) == "2 h"
    assert memory(2**31) == "2 GiB"
    assert memory(math.nan) == "\N{EN DASH}"
    assert decimals_for(0.001) == 5
    assert decimals_for(math.nan) == 2


def test_the_interval_of_a_mean():
    low, high = mean_interval([1.0, 2.0, 3.0], 0.95)
    assert (low, high) == pytest.approx((2 - 2.484, 2 + 2.484), abs=1e-3)
    assert math.isnan(mean_interval([1.0], 0.95)[0])


def test_the_papers_number_stands_beside_the_only_variant_of_a_model():
    base = {"task": "batch_integration", "metric": "batch_asw", "data_set": "paper"}
    rows = [
        {**base, "model": "scgpt", "variant": "draws=cell", "value": 0.5},
        {**base, "model": "uce", "variant": "a", "value": 0.5},
        {**base, "model": "uce", "variant": "b", "value": 0.6},
    ]
    lines = {line.label: line for line in of_rows(*rows).settings[0].lines}
    assert lines["scgpt (draws=cell)"].published.value == 0.89
    assert "scGPT" not in lines
    assert lines["uce (a)"].published is lines["uce (b)"].published is None
    assert lines["UCE"].published.value == 0.83
