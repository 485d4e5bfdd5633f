from sclong_data.report.histogram import histogram
from sclong_data.report.svg import Text


def boxes(element):
    bars = [part for part in element.iter("rect") if part.get("class") == "bar strong"]
    return [tuple(float(bar.get(key)) for key in ("x", "y", "width", "height")) for bar in bars]


def drawn(columns, **options):
    return histogram(Text("key", "t", "d"), columns, x_label="x", y_label="y", **options)


def test_columns_stand_side_by_side_and_as_high_as_they_count():
    one, two = boxes(drawn([(0, 10, 4), (10, 20, 2)]))
    assert one[0] + one[2] <= two[0] <= one[0] + one[2] + 1
    assert abs(one[3] - 2 * two[3]) < 0.1
    assert abs((one[1] + one[3]) - (two[1] + two[3])) < 0.1


def test_equal_ratios_are_equally_wide_on_a_logarithmic_axis():
    one, two = boxes(drawn([(1, 10, 1), (10, 100, 1)], logarithmic=True))
    assert abs(one[2] - two[2]) < 0.1


def test_empty_columns_are_not_drawn():
    assert len(boxes(drawn([(0, 1, 3), (1, 2, 0), (2, 3, 1)]))) == 2


def test_ticks_of_a_wide_logarithmic_axis_are_powers_of_ten():
    texts = [part.text for part in drawn([(50, 200_000, 3)], logarithmic=True).iter("text")]
    assert "1,000" in texts
    assert "2,000" not in texts
