"""Laying text out: nothing is cut, and nothing a server says can paint our output."""

from __future__ import annotations

import re

import pytest
from rightsizer.report.layout import aligned, filled, folded, label, one_line
from rightsizer.units import counted, factor, factors, fine_percent, given


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\n  b\tc", "a b c"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("bell\x07", "bell\\x07"),
        ("naïve ✓", "naïve ✓"),
    ],
)
def test_one_line_holds_only_printable_characters(text, line):
    assert one_line(text) == line


def test_values_with_spaces_are_quoted_in_a_label():
    text = label("local.1cpu", {"ARGS": "-a b", "N": "1"})
    assert text == "local.1cpu ARGS='-a b' N=1"


def test_aligned_rows_split_at_two_spaces_even_where_cells_are_empty():
    lines = aligned(["A", "Wide header"], [["", "x  y"], ["long cell", "z"]])
    assert [re.split(" {2,}", line) for line in lines] == [
        ["A", "Wide header"],
        ["-", "x y"],
        ["long cell", "z"],
    ]


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("short", 10, ["short"]),
        ("too-few-samples", 9, ["too-few-", "samples"]),
        ("A_LONG_NAME=1", 8, ["A_LONG_", "NAME=1"]),
        ("unbreakable", 4, ["unbr", "eaka", "ble"]),
    ],
)
def test_folding_breaks_after_punctuation_and_loses_nothing(text, width, lines):
    assert folded(text, width) == lines
    assert "".join(folded(text, width)) == text


def test_a_number_and_its_unit_stay_on_one_line():
    assert filled("the limit of promises is 250 ms", 29) == "the limit of promises is\n250 ms"


@pytest.mark.parametrize(
    ("ratio", "text"), [(1.518, "x1.52"), (0.9902, "x0.99"), (12.0, "x12.00"), (0.0123, "x0.012")]
)
def test_a_factor_shows_hundredths(ratio, text):
    assert factor(ratio) == text


def test_an_interval_of_factors_needs_both_its_ends():
    assert factors((1.4, 1.651)) == "1.40 to 1.65"
    assert factors((1.4, None)) == "-"
    assert factors(None) == "-"


@pytest.mark.parametrize(("ratio", "text"), [(0.01, "1 %"), (0.004, "0.4 %"), (1.0, "100 %")])
def test_a_small_percentage_keeps_its_digits(ratio, text):
    assert fine_percent(ratio) == text


def test_counting_knows_one_from_many():
    assert [counted(n, "trial") for n in (0, 1, 2)] == ["0 trials", "1 trial", "2 trials"]


@pytest.mark.parametrize(
    ("value", "text"), [(1.0, "1"), (300, "300"), (1650.0, "1,650"), (12.5, "12.5")]
)
def test_a_number_given_by_the_user_reads_as_given(value, text):
    assert given(value) == text


def test_a_candidate_that_brings_its_own_server_is_told_by_its_command():
    assert label("local.1cpu", {}, ["python", "b.py"]) == "local.1cpu [python b.py]"
    assert label("local.1cpu", {}, None) == "local.1cpu"
