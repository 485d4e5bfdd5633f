import pytest

from sclong_core.progress import progress_bars


@pytest.mark.parametrize("transient", [False, True])
def test_a_bar_says_how_far_and_how_fast_on_standard_error(capsys, monkeypatch, transient):
    monkeypatch.setenv("COLUMNS", "120")
    with progress_bars("{:,.1f} files/s", transient=transient) as bars:
        task = bars.add_task("reading", total=3)
        for _ in range(3):
            bars.advance(task)
        bars.refresh()
    shown = capsys.readouterr()
    assert not shown.out
    # Where nobody watches, only what stays at the end is written.
    assert ("reading" in shown.err) is not transient
    assert ("3/3" in shown.err) is not transient
    assert ("files/s" in shown.err) is not transient
