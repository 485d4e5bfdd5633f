"""Finding files of cells."""

import pytest

from sclong_core.errors import InputError
from sclong_core.expression import find_cell_files


@pytest.fixture
def tree(tmp_path):
    for name in ("b.h5ad", "a/c.loom", "a/notes.txt", "a/.d.tmp-1.h5ad", ".hidden/e.h5ad"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "a/store.zarr/X").mkdir(parents=True)
    (tmp_path / "a/store.zarr/.zgroup").touch()
    (tmp_path / "a/store.zarr/X/inner.h5").touch()
    return tmp_path


def test_a_folder_gives_its_files_and_stores_sorted(tree):
    found = [path.relative_to(tree).as_posix() for path in find_cell_files([tree])]
    assert found == ["a/c.loom", "a/store.zarr", "b.h5ad"]


def test_one_folder_needs_no_list(tree):
    assert find_cell_files(str(tree)) == find_cell_files(tree) == find_cell_files([tree])


def test_files_and_stores_are_taken_as_named_and_once(tree):
    asked = [tree / "b.h5ad", tree / "a" / "store.zarr", tree / "b.h5ad"]
    assert find_cell_files(asked) == sorted(set(asked))


def test_loops_of_links_end(tree):
    (tree / "a" / "loop").symlink_to(tree, target_is_directory=True)
    (tree / "a" / "broken.h5ad").symlink_to(tree / "nowhere")
    (tree / "z.h5ad").symlink_to(tree / "b.h5ad")
    assert len(find_cell_files([tree])) == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent", "absent does not exist"),
        ("a/notes.txt", r"notes\.txt has an unknown ending: use one of \.h5ad"),
        (".hidden/empty", r"no file of cells \(\.h5ad, .*\) in .*empty"),
    ],
)
def test_what_gives_no_file_is_refused(tree, name, message):
    (tree / ".hidden" / "empty").mkdir()
    with pytest.raises(InputError, match=message):
        find_cell_files([tree / name])
