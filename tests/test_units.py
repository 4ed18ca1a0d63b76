"""Formatting: what a reader sees of each number."""

from __future__ import annotations

import pytest
from rightsizer import units


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        # rounded to whole seconds
        (7.4, "7 s"),
        (59.4, "59 s"),
        # a minute is not 60 s
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599, "59 min 59 s"),
        # an hour is not 60 min
        (3599.6, "1 h 00 min"),
        (7800, "2 h 10 min"),
        # a clock that ran backwards shows nothing negative
        (-3, "0 s"),
    ],
)
def test_a_duration_reads_in_its_two_largest_units(seconds, text):
    assert units.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (None, 3, "-"),
        (0, 3, "0"),
        (0.0, 3, "0"),
        (71.349, 3, "71.3"),
        (5.1234, 3, "5.12"),
        (0.12345, 3, "0.123"),
        # the whole part is never rounded away
        (12345.6, 3, "12,346"),
        (843.2, 2, "843"),
        (-5.1234, 3, "-5.12"),
        (12.3456, 4, "12.35"),
    ],
)
def test_a_number_shows_about_so_many_significant_digits(value, digits, text):
    assert units.significant(value, digits) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        # cents from one dollar up
        (1, "$1.00"),
        (148.923, "$148.92"),
        (12345.678, "$12,345.68"),
        # four significant digits below
        (0.922, "$0.922"),
        (0.05, "$0.05"),
        (2.794e-05, "$2.794e-05"),
        (5.7142857e-06, "$5.714e-06"),
        (0, "$0"),
    ],
)
def test_dollars_show_cents_or_four_digits(value, text):
    assert units.usd(value) == text


@pytest.mark.parametrize(
    ("bounds", "text"),
    [
        (None, "-"),
        ((None, None), "-"),
        ((810.4, 930.2), "810 to 930"),
        # an open end
        ((810.4, None), "810 or more"),
        ((None, 930.2), "up to 930"),
    ],
)
def test_an_interval_says_when_an_end_is_open(bounds, text):
    assert units.interval(bounds) == text


def test_a_latency_shows_its_unit_and_an_absent_one_a_dash():
    assert units.milliseconds(71.349) == "71.3 ms"
    assert units.milliseconds(None) == "-"


def test_a_ratio_reads_as_a_whole_percentage():
    assert units.percent(0.704) == "70 %"
    assert units.percent(1.0) == "100 %"
    assert units.percent(None) == "-"


def test_a_month_is_a_twelfth_of_a_year_of_hours():
    assert units.HOURS_PER_MONTH * 12 == units.HOURS_PER_YEAR == 365 * 24


def test_rates_per_second_become_rates_per_minute():
    assert units.per_min(2.5) == 150.0


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.922, "$0.922"), (0.1, "$0.1"), (27.20125, "$27.2"), (1234.5, "$1,234.50")],
)
def test_an_hourly_price_shows_four_digits_as_price_lists_do(value, text):
    assert units.hourly_usd(value) == text


@pytest.mark.parametrize(("value", "text"), [(300.0, "300"), (1650, "1,650"), (12.5, "12.5")])
def test_a_users_number_is_shown_as_it_was_given(value, text):
    assert units.given(value) == text


@pytest.mark.parametrize(
    ("ratio", "text"), [(0.012, "1.2 %"), (0.01, "1 %"), (0.004, "0.4 %"), (0.12345, "12.3 %")]
)
def test_a_small_ratio_keeps_the_digits_that_tell_it_from_its_limit(ratio, text):
    assert units.fine_percent(ratio) == text


@pytest.mark.parametrize(("ratio", "text"), [(1.5249, "x1.52"), (0.5, "x0.50"), (0.0123, "x0.012")])
def test_a_factor_shows_hundredths(ratio, text):
    assert units.factor(ratio) == text


@pytest.mark.parametrize(
    ("bounds", "text"),
    [((1.4, 1.651), "1.40 to 1.65"), (None, "-"), ((1.4, None), "-"), ((None, 1.4), "-")],
)
def test_an_interval_of_factors_needs_both_ends(bounds, text):
    assert units.factors(bounds) == text


@pytest.mark.parametrize(("number", "text"), [(1, "1 trial"), (2, "2 trials"), (0, "0 trials")])
def test_things_are_counted_in_singular_and_plural(number, text):
    assert units.counted(number, "trial") == text
