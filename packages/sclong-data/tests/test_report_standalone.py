import re
from xml.etree.ElementTree import parse

from sclong_data.report.markup import tag
from sclong_data.report.standalone import svg_text, write_svg
from sclong_data.report.svg import Text, picture


def a_drawing():
    bar = tag("rect", x=1, y=2, width=3, height=4, class_="bar strong")
    return picture(Text("key", "a < b", "more"), 120, [bar])


def test_a_drawing_is_a_file_of_its_own(tmp_path):
    write_svg(tmp_path / "figure.svg", a_drawing())
    root = parse(tmp_path / "figure.svg").getroot()  # noqa: S314  # our own
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert (root.get("width"), root.get("height")) == ("400", "120")
    assert root.find("{*}title").text == "a < b"


def test_colours_stand_in_it_as_numbers():
    text = svg_text(a_drawing())
    assert "var(" not in text
    assert re.search(r"svg \.bar\.strong \{ fill: #[0-9a-f]{6}; \}", text)


def test_the_drawing_itself_is_left_as_it_was():
    drawing = a_drawing()
    svg_text(drawing)
    assert drawing.get("width") is None
    assert drawing.find("style") is None
