import subprocess
import sys

PRINT = (
    "from sclong_core.cli.terminal import print_facts, print_table;"
    "print_table(['data set', 'reason'], [['a' * 60, 'of few genes ' * 5]]);"
    "print_facts([('corpus', 'b' * 200)])"
)


def printed(environment):
    done = subprocess.run(
        [sys.executable, "-c", PRINT], capture_output=True, text=True, check=True, env=environment
    )
    return done.stdout.splitlines()


def test_names_stay_whole_where_no_terminal_says_how_wide_it_is():
    lines = printed({"LC_ALL": "C.UTF-8"})
    assert any("a" * 60 in line and "of few genes " * 5 in line for line in lines)
    assert any("b" * 200 in line for line in lines)
    assert max(map(len, lines)) < 220


def test_a_width_that_is_asked_for_is_kept():
    assert max(map(len, printed({"LC_ALL": "C.UTF-8", "COLUMNS": "50"}))) <= 50
