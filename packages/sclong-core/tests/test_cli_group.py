import argparse
import sys
from types import ModuleType

import pytest

from sclong_core.cli.command import Command
from sclong_core.cli.group import CommandGroup


class Say:
    help = "say a word"

    def add_arguments(self, parser):
        parser.add_argument("word")

    def run(self, args):
        print(f"said {args.word}")
        return 7


@pytest.fixture
def group(monkeypatch):
    for name, command in (
        ("planted_say", Say()),
        ("planted_inner", CommandGroup(help="inner", members={"say": "planted_say"})),
    ):
        module = ModuleType(name)
        module.command = command
        monkeypatch.setitem(sys.modules, name, module)
    return CommandGroup(help="outer", members={"say": "planted_say", "in": "planted_inner"})


def parse(group, words):
    parser = argparse.ArgumentParser(prog="sclong group", exit_on_error=False)
    group.add_arguments(parser)
    return parser.parse_args(words)


def test_a_group_is_a_command(group):
    assert isinstance(group, Command)


@pytest.mark.parametrize("words", [["say", "hello"], ["in", "say", "hello"]])
def test_the_member_that_is_named_runs(group, words, capsys):
    assert group.run(parse(group, words)) == 7
    assert capsys.readouterr().out == "said hello\n"


@pytest.mark.parametrize("words", [[], ["in"], ["other"], ["say"]])
def test_a_name_or_argument_that_lacks_is_an_error(group, words, capsys):
    with pytest.raises((SystemExit, argparse.ArgumentError)):
        parse(group, words)


def test_help_lists_the_members(group, capsys):
    with pytest.raises(SystemExit):
        parse(group, ["--help"])
    assert "say a word" in capsys.readouterr().out
