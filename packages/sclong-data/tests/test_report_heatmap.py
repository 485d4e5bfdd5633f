import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage

from sclong_data.report.heatmap import heat_map
from sclong_data.report.standalone import svg_text
from sclong_data.report.svg import Text

VALUES = np.array([[1.0, 0.5, -0.25], [0.5, 1.0, 0.0], [-0.25, 0.0, 1.0]])
NAMES = ("A<b>", "B", "C")


def drawn(values=VALUES, names=NAMES, **options):
    marked = [name == "B" for name in names]
    return heat_map(Text("key", "t", "d"), values, names, marked=marked, heading="h", **options)


def cells(element):
    lines = [group for group in element.iter("g") if len(group) and group[0].tag == "rect"]
    return [
        [(cell.get("class"), float(cell.get("fill-opacity"))) for cell in line]
        for line in lines[: len(NAMES)]
    ]


def test_each_value_has_a_place_and_a_shade():
    found = cells(drawn())
    assert found[0] == [("c1", 1), ("c1", 0.5), ("c4", 0.25)]
    assert found[2] == [("c4", 0.25), ("c1", 0), ("c1", 1)]


def test_names_stand_beside_their_lines_and_some_are_set_off():
    texts = {part.text: part for part in drawn().iter("text")}
    assert "strong" in texts["B"].get("class")
    assert "strong" not in texts["C"].get("class")
    assert "A&lt;b&gt;" in svg_text(drawn())


def test_the_tree_joins_what_is_alike_first():
    tree = linkage(VALUES, method="average")
    order = leaves_list(tree)
    element = drawn(VALUES[np.ix_(order, order)], tuple(NAMES[one] for one in order), tree=tree)
    paths = [part.get("d") for part in element.iter("path")]
    assert len(paths) == 2
    assert not list(drawn().iter("path"))


def test_nothing_and_zeros_can_be_drawn():
    assert svg_text(drawn(np.zeros((0, 0)), ()))
    assert svg_text(drawn(np.zeros((3, 3))))
