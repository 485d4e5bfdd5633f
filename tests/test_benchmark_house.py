"""What counts the house finds what was planted, and phrases that must not come back are named."""

from benchmarks import house, phrases


def write(root, **files):
    place = root / "packages" / "sclong-x" / "src" / "sclong_x"
    place.mkdir(parents=True)
    (place / "__init__.py").write_text("")
    for name, text in files.items():
        (place / f"{name}.py").write_text(text)
    return place


def test_circles_imports_in_functions_and_empty_classes_are_counted(tmp_path):
    write(
        tmp_path,
        a="from sclong_x import b\nimport sclong_x.c\n\nclass Base:\n    x: int = 1\n",
        b="def late():\n    from sclong_x.a import Base\n    import json\n    return Base, json\n",
        c="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from sclong_x.a import Base\n"
        "class Empty(dict):\n    '''Nothing.'''\n\n    limit = 3\n",
    )
    found = house.count(tmp_path)
    assert (found.files, found.classes, found.empty_classes) == (4, 2, 1)
    assert found.circles == (("sclong_x.a", "sclong_x.b"),)
    assert found.circles_at_the_top == ()
    assert found.imports_in_functions == 2


def test_files_of_the_house_import_each_other_in_no_circle():
    assert house.count().circles == ()


def test_phrases_are_named_with_file_and_line(tmp_path):
    place = write(tmp_path, a="x = 1\n# nobody: it is the same run; ask\n# to overwrite it\n")
    assert list(phrases.found(tmp_path)) == []
    (place / "a.py").write_text('"""\nTests speak of the noise of\ntraining alone.\n"""\n')
    (line,) = phrases.found(tmp_path)
    assert line.startswith("packages/sclong-x/src/sclong_x/a.py:2: ")
    assert "measure training noise only" in line


def test_none_of_the_phrases_came_back():
    assert list(phrases.found()) == []
