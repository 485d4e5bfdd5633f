from sclong_core.progress import cell_progress


def test_a_bar_says_what_is_done_on_standard_error(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    with cell_progress("embedding", 10, shown=True) as advance:
        advance(4)
        advance(6)
    shown = capsys.readouterr()
    assert not shown.out
    assert "embedding" in shown.err
    assert "10/10" in shown.err


def test_nothing_is_drawn_where_nobody_looks(capsys):
    with cell_progress("embedding", 10, shown=False) as advance:
        advance(10)
    assert capsys.readouterr() == ("", "")
