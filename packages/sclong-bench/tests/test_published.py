import re

import pandas as pd
import pytest

from sclong_bench.published.build import PARQUET, SOURCE, build
from sclong_bench.published.numbers import key, published, published_results
from sclong_bench.published.recomputed import recomputed_tests
from sclong_core.errors import InputError
from tests.support.places import shared_folder


def test_the_parquet_is_what_its_source_makes():
    pd.testing.assert_frame_equal(pd.read_parquet(PARQUET), build(SOURCE))


def test_every_number_says_where_it_stands():
    table = published()
    assert table["source"].ne("").all()
    results = table[table["kind"].eq("result")]
    assert results[["value", "higher_is_better"]].notna().all(axis=None)
    keys = ["task", "scenario", "metric", "model", "origin"]
    assert not results.duplicated(keys).any()
    assert set(table["origin"]) == {"paper", "history", "upstream"}
    row = results[results["model"].eq("No-Change") & results["metric"].str.startswith("pearson")]
    row = row.iloc[0]
    assert (row["value"], row["decimals"], row["p_relation"]) == (-0.012, 3, "<")


@pytest.mark.real_data
def test_the_paper_prints_what_is_said_to_stand_there():
    folder = shared_folder("paper")
    if folder is None:
        pytest.skip("the text of the paper is not beside this checkout")
    text = (folder / "scLong.txt").read_text(encoding="utf-8")
    for row in published().query("origin == 'paper' and printed != ''").itertuples():
        assert re.search(rf"(?<![\d.]){re.escape(row.printed.lstrip('-'))}(?!\d)", text), row


def test_the_numbers_that_were_checked_by_hand():
    found = recomputed_tests().set_index(["task", "scenario", "metric", "model"]).sort_index()
    geneformer = found.loc[("genetic_perturbation", "seen_0_2", "mse_de_non_dropout", "Geneformer")]
    assert geneformer["t"] == pytest.approx(2.06, abs=0.01)
    assert geneformer["p_value"] == pytest.approx(0.073, abs=0.001)
    assert geneformer["printed"] == "= 0.107"
    assert geneformer["agrees"]
    gears = found.loc[("genetic_perturbation", "seen_0_2", "mse_de_non_dropout", "GEARS")]
    assert gears["t"] == pytest.approx(9.5, abs=0.1)
    assert gears["p_value"] == pytest.approx(1.3e-5, rel=0.05)
    assert not gears["agrees"]
    chemical = found.loc[("chemical_perturbation", "", "spearman")]
    assert chemical.loc["Geneformer", "t"] == pytest.approx(-0.80, abs=0.01)
    assert chemical.loc["Geneformer", "p_value"] == pytest.approx(0.45, abs=0.005)
    assert chemical.loc["DeepCE", "p_value"] == pytest.approx(0.51, abs=0.005)
    assert chemical.loc["DeepCE", "printed"] == "all < 0.04"
    assert not chemical["agrees"].any()


def test_means_that_the_paper_prints_otherwise_are_pointed_out():
    found = recomputed_tests().set_index(["task", "model"]).sort_index()
    assert "0.652 for scLong" in found.loc[("drug_combination", "Geneformer"), "note"].item()
    assert found.loc["genetic_perturbation"]["note"].eq("").all()


def test_numbers_are_found_whatever_the_spelling():
    assert key("Random Forest") == key("random_forest")
    assert key("w/o LEG") == key("sclong_no_low_expression")
    found = published_results("drug_response", "Pearson").set_index("key")
    assert found.loc["sclong", "value"] == 0.878
    seen = published_results("genetic_perturbation", "mse_de_non_dropout", "simulation", "seen 0/2")
    seen = seen.set_index("key")
    assert seen.loc["geneformer", ["value", "origin"]].tolist() == [0.185, "paper"]
    between = published_results("genetic_perturbation", "mse_de_non_dropout", "seen_1_2")
    between = between.set_index("key")
    assert between.loc["gears", ["value", "origin"]].tolist() == [0.2211, "history"]
    assert published_results("genetic_perturbation", "mse_de_non_dropout", "another").empty
    assert published_results("genetic_perturbation", "mse", "simulation", "seen 0/2").empty
    assert published_results("drug_response", "pearson", "random", "new compounds").empty
    assert published_results("another", "mse").empty


def test_tasks_and_this_table_say_the_same():
    from sclong_tasks.registry import TASKS, get_task  # noqa: PLC0415  # loads the tasks

    for name in TASKS:
        for number in get_task(name).published:
            stratum = "" if number.stratum == "all" else number.stratum
            found = published_results(name, number.metric, number.scenario, stratum)
            found = found.set_index("key")
            assert found.loc[key(number.model), "value"] == number.value, (name, number)


def test_a_source_with_faults_names_the_line(tmp_path):
    head = SOURCE.read_text("utf-8").splitlines()[0]
    path = tmp_path / "p.tsv"
    path.write_text(f"{head}\nresult\tt\t\tm\ttrue\tx\thigh\t\t\t\tpaper\tp. 1\t\n")
    with pytest.raises(InputError, match=r"p\.tsv, line 2, column 'value'"):
        build(path)
    path.write_text(f"{head}\nrumour\tt\t\tm\ttrue\tx\t1\t\t\t\tpaper\tp. 1\t\n")
    with pytest.raises(InputError, match="rumour"):
        build(path)
