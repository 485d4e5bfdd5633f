from sclong_tasks.results import finished_runs


def test_what_a_killed_run_left_is_no_run(tmp_path):
    for name in ("task/whole", "task/.half.tmp-7", ".cache/x"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "metrics.json").write_text("{}")
    assert finished_runs(tmp_path) == [tmp_path / "task/whole/metrics.json"]


def test_a_hidden_folder_that_is_given_by_name_is_looked_into(tmp_path):
    run = tmp_path / ".runs" / "one"
    run.mkdir(parents=True)
    (run / "metrics.json").write_text("{}")
    assert finished_runs(tmp_path / ".runs") == [run / "metrics.json"]
