import re

from sclong_data.report.names import plain_names
from tests.support.names import HOSTILE_NAMES


def test_names_that_are_plain_stay():
    assert plain_names(["a-b", "c_d"], [["a", "b"], ["c d"]]) == ["a-b", "c_d"]


def test_names_that_become_the_same_are_told_apart_and_do_not_depend_on_the_others():
    keys = [["a b"], ["a-b"], ["\u65e5\u672c"], ["\u4e2d\u6587"], ["A-B"]]
    wanted = ["ab", "ab", "", "", "AB"]
    names = plain_names(wanted, keys)
    assert len({name.casefold() for name in names}) == 5
    assert plain_names(wanted[:2], keys[:2]) == names[:2]
    assert names[0].startswith("ab-")


def test_any_name_becomes_one_of_a_file():
    keys = [[name] for name in (*HOSTILE_NAMES, "x" * 300, "x" * 301, "..", ".")]
    names = plain_names([key[0] for key in keys], keys)
    assert len(set(names)) == len(keys)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,140}", name) for name in names)


def test_parts_are_told_apart():
    first, second = plain_names(["a-b", "a-b"], [["a", "", "b"], ["a", "b", ""]])
    assert first != second
