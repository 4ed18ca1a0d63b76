"""Charts: what is drawn where, and that words stay words."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest
from rightsizer.report.page.axes import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axis, Scale, ticks
from rightsizer.report.page.charts import Band, Point, Series, lines, ratios, scatter
from rightsizer.units import factor

X, Y = Axis("cost"), Axis("latency")


def elements(svg: str, kind: str) -> list[dict[str, str]]:
    return [
        dict(e.attrib) for e in ElementTree.fromstring(svg).iter() if kind in e.get("class", "")
    ]


def words(svg: str) -> list[str]:
    return [str(e.text) for e in ElementTree.fromstring(svg).iter("text")]


@pytest.mark.parametrize(
    ("low", "high", "is_log", "found"),
    [
        (0.0, 10.0, False, [0, 2, 4, 6, 8, 10]),
        (0.0, 0.3, False, [0, 0.1, 0.2, 0.3]),
        (95.0, 105.0, False, [96, 98, 100, 102, 104]),
        (1.0, 100.0, True, [1, 2, 5, 10, 20, 50, 100]),
        (0.9, 1.1, True, [0.9, 0.95, 1.0, 1.05, 1.1]),
        (1.0, 1e9, True, [1.0, 1e2, 1e4, 1e6, 1e8]),
    ],
)
def test_ticks_are_round_and_few(low, high, is_log, found):
    assert ticks(Scale(low, high, 0, 100, is_log)) == pytest.approx(found)


def test_a_point_stands_where_its_values_are_with_the_bars_of_its_intervals():
    points = [Point(1, 10, (0.5, 2), (8, 12), "1"), Point(3, 20, label="2")]
    svg = scatter("t", X, Y, points, [0])
    first, second = elements(svg, "dot")
    assert float(first["cx"]) < float(second["points"].split(",")[0])
    bars = elements(svg, "s0 bar")
    across = [bar for bar in bars if bar["y1"] == bar["y2"]]
    assert min(float(bar["x1"]) for bar in across) < float(first["cx"])
    assert max(float(bar["x2"]) for bar in across) > float(first["cx"])
    assert {"1", "2", "cost", "latency"} <= set(words(svg))


def test_the_open_end_of_an_interval_goes_on_to_the_edge_dashed():
    svg = scatter("t", X, Y, [Point(1, 10, (0.9, None)), Point(3, 20)], [])
    [open_end] = elements(svg, "dashed")
    assert float(open_end["x2"]) == WIDTH - RIGHT


def _shape(element: dict[str, str]) -> tuple[tuple[float, float], ...]:
    """Its corners from the first one on; none for a circle."""
    corners = [tuple(map(float, pair.split(","))) for pair in element.get("points", "").split()]
    return tuple((round(x - corners[0][0], 1), round(y - corners[0][1], 1)) for x, y in corners)


def test_series_differ_in_more_than_colour():
    svg = lines("t", X, Y, [Series(n, [Point(1, n), Point(2, n)], str(n)) for n in range(4)])
    first = [e for e in elements(svg, "dot") if e.get("cx") or e["points"]][::2]
    assert len({_shape(e) for e in first}) == 4
    assert {"0", "1", "2", "3"} <= set(words(svg))


def test_the_limit_is_drawn_and_always_within_the_chart():
    svg = lines("t", X, Y, [Series(0, [Point(1, 10), Point(2, 12)])], limit=90)
    [limit] = elements(svg, "limit")
    assert limit["y1"] == limit["y2"]
    assert TOP <= float(limit["y1"]) < HEIGHT - BOTTOM
    assert "limit 90.0" in words(svg)


def test_a_band_is_shaded_as_far_as_it_says_and_labels_do_not_run_into_each_other():
    bands = [Band(0, 10, 1, "first"), Band(10, 10.1, 10, "second"), Band(20, 30, 21, "third")]
    svg = lines("t", X, Y, [Series(0, [Point(0, 1), Point(30, 2)])], bands=bands)
    assert [float(s["width"]) > 0 for s in elements(svg, "shade")] == [True, False, True]
    close = [Band(0, 10, 1, "first"), Band(0.1, 0.2, 0.1, "second"), Band(20, 30, 21, "third")]
    told = words(lines("t", X, Y, [Series(0, [Point(0, 1), Point(30, 2)])], bands=close))
    assert "first" in told
    assert "third" in told
    assert "second" not in told


def test_labels_that_have_no_room_are_left_out():
    crowd = [Point(1 + n / 1e4, 1 + n / 1e4, label=f"label {n}") for n in range(30)]
    told = [
        word for word in words(scatter("t", X, Y, [*crowd, Point(2, 2)], [])) if "label" in word
    ]
    assert 0 < len(told) < 30


def test_a_ratio_of_one_stands_on_the_line_of_no_effect():
    svg = ratios("t", Axis("times", factor), [("A 0 -> 1", 1.0, (0.9, 1.1)), ("B", 2.0, None)])
    [no_effect] = elements(svg, "at")
    dots = elements(svg, "dot")
    assert dots[0]["cx"] == no_effect["x1"]
    assert float(dots[1]["cx"]) > float(no_effect["x1"])
    assert "A 0 -> 1" in words(svg)


@pytest.mark.parametrize("value", [0.0, 5e-324, 1e300])
def test_any_value_can_be_drawn(value):
    svg = scatter("t", Axis("x", may_be_log=True), Y, [Point(value, 1), Point(1, value)], [0, 1])
    numbers = re.findall(r'c[xy]="([^"]+)"', svg)
    assert numbers
    assert all(0 <= float(n) <= WIDTH for n in numbers)
    assert LEFT > 0


def test_words_cannot_become_markup():
    bad = "<script>&\"'"
    bands = [Band(0, 9, 1, bad)]
    for svg in (
        scatter(bad, Axis(bad), Axis(bad), [Point(1, 1, label=bad), Point(2, 2)], []),
        lines(bad, Axis(bad), Axis(bad), [Series(0, [Point(1, 1)], bad)], bands=bands),
        ratios(bad, Axis(bad), [(bad, 1.0, None)]),
    ):
        assert "<script" not in svg
        assert bad in words(svg)
