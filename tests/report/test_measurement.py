"""A measurement of an endpoint as JSON and as text."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from rightsizer.analysis import doubts
from rightsizer.analysis.figures import Doubt, Requests
from rightsizer.fleets import Price, fleet_of
from rightsizer.measured import Measured
from rightsizer.report.measurement_text import measurement_text
from rightsizer.spec import LimitSpec, TargetSpec

from .jobs import step

URL = "http://10.0.0.5:8000/predict"
STEPS = (step(1, 9.0, 110.0), step(2, 10.0, 212.4), step(4, 10.1, 431.0, "over-latency"))
REFUSED = Doubt("probe-refused", "blocks", "status 404, nothing here", "check the URL")


def measured(**changes) -> Measured:
    """A closed maximum; `changes` are to its fields."""
    made = Measured(
        url=URL,
        traffic="saturate",
        verdict="valid",
        basis="closed",
        max_invocations_per_min=606.0,
        max_invocations_per_min_ci=(590.0, 622.0),
        max_kind="estimate",
        invocations_per_min=606.0,
        percentile="P95",
        latency_ms=212.4,
        latency_ms_ci=None,
        unloaded_latency_ms=110.0,
        limit=LimitSpec(percentile="P95", latency_ms=250.0),
        target=None,
        fleet=None,
        requests=Requests(attempted=360, succeeded=360),
        steps=STEPS,
        doubts=(doubts.closed_basis(),),
        samples="/store/measurements/20250612-101500-0a1b2c3d-1",
        wall_s=61.5,
    )
    return replace(made, **changes)


def with_target(wanted_per_min: float) -> Measured:
    target = TargetSpec(invocations_per_min=wanted_per_min)
    fleet = fleet_of(606.0, (590.0, 622.0), Price(None, ""), target)
    return measured(target=target, fleet=fleet)


def sentence(made: Measured) -> str:
    return measurement_text(made, None).splitlines()[-1]


def test_the_document_has_every_field_of_its_contract():
    document = with_target(1800.0).document()
    assert document == json.loads(json.dumps(document, allow_nan=False))
    assert document["schema"] == "rightsizer/measurement/1"
    assert set(document) >= {
        "schema", "verdict", "basis", "max_invocations_per_min", "max_invocations_per_min_ci",
        "max_kind", "invocations_per_min", "percentile", "latency_ms", "latency_ms_ci",
        "unloaded_latency_ms", "fleet", "requests", "steps", "doubts", "samples", "wall_s",
    }  # fmt: skip
    assert set(document["requests"]) == {
        "attempted", "succeeded", "failed", "timed_out", "unfinished", "dropped",
    }  # fmt: skip
    assert set(document["steps"][0]) >= {
        "mode", "users", "rate_per_s", "achieved_per_s", "p50_ms", "p95_ms", "p99_ms",
        "latency_ms_ci", "error_ratio", "n", "by_payload", "verdict", "doubts",
    }  # fmt: skip
    assert document["max_invocations_per_min_ci"] == [590.0, 622.0]
    assert document["fleet"]["instance_count"] == 3
    assert document["fleet"]["cost_per_month_usd"] is None
    assert document["doubts"][0]["code"] == "closed-basis"
    assert document["steps"][0]["by_payload"]["large.jpg"]["n"] == 30


def test_what_is_not_finite_is_null_in_the_document():
    steps = (replace(STEPS[0], p99_ms=float("nan")),)
    assert measured(steps=steps).document()["steps"][0]["p99_ms"] is None


def test_a_step_is_a_line_where_there_is_no_terminal():
    lines = measurement_text(measured(), None).splitlines()
    assert lines[0].split("  ")[0] == "Load"
    assert [line.split("  ")[0] for line in lines[1:4]] == ["1 user", "2 users", "4 users"]
    assert "over-latency" in lines[3]
    assert "431 ms" in lines[3]


def test_the_limits_own_percentile_has_a_column():
    header = measurement_text(measured(percentile="P90"), None).splitlines()[0]
    assert header.split()[2:6] == ["P50", "P90", "P95", "P99"]


@pytest.mark.parametrize("width", [60, 100, 200])
def test_no_figure_is_cut_on_any_terminal(width):
    steps = (replace(STEPS[0], doubts=doubts.sample_doubts(9, 0.99)),)
    text = measurement_text(measured(steps=steps), width)
    for figure in ("1 user", "110 ms", "121 ms", "within-limits", "606"):
        assert figure in text


def test_a_maximum_is_told_with_its_interval_basis_and_latency():
    assert sentence(measured()) == (
        f"{URL} sustains 606 invocations a minute (95 % interval 590 to 622, closed basis), "
        "P95 212 ms of 250 ms allowed."
    )


def test_a_searched_maximum_is_told_with_the_limit_it_keeps():
    made = measured(traffic="search", basis="open", latency_ms=255.0)
    assert sentence(made) == (
        f"{URL} sustains 606 invocations a minute with P95 within 250 ms and at most 1 % errors "
        "(95 % interval 590 to 622, open basis)."
    )


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (300.0, "; 1 instance carries 300 a minute at 50 % of the maximum."),
        (1800.0, "; 3 instances carry 1,800 a minute at 99 % of the maximum."),
    ],
)
def test_a_target_is_told_as_a_count(wanted, said):
    assert sentence(with_target(wanted)).endswith(said)


def test_a_lower_bound_and_a_cliff_are_said_to_be_that():
    bound = measured(
        max_kind="at_least",
        max_invocations_per_min_ci=(590.0, None),
        doubts=(doubts.at_least(False),),
    )
    assert "sustains at least 606 invocations a minute (95 % interval 590 or more," in sentence(
        bound
    )
    assert sentence(bound).endswith("; weakened by: at-least.")
    assert "sustains (a cliff) 606" in sentence(measured(max_kind="bracket"))
    assert "(no honest 95 % interval, closed basis)" in sentence(
        measured(max_invocations_per_min_ci=None)
    )


def test_a_given_load_is_told_with_what_it_completed():
    made = measured(
        traffic="users",
        steps=STEPS[:1],
        max_invocations_per_min=None,
        invocations_per_min=540.0,
        latency_ms=110.0,
        latency_ms_ci=(104.0, 117.5),
        limit=LimitSpec(percentile="P95"),
    )
    assert sentence(made) == (
        f"At 1 user {URL} completed 540 invocations a minute, P95 110 ms (104 to 118), 0 % errors."
    )


def test_an_unmet_limit_is_told_with_what_to_do():
    doubt = Doubt("limit-unmet", "blocks", "P95 431 ms at 4 users", "lower the load")
    made = measured(verdict="limit-unmet", doubts=(doubt, doubts.loopback()))
    assert sentence(made) == (
        f"{URL} does not keep P95 within 250 ms and at most 1 % errors: "
        "P95 431 ms at 4 users; lower the load."
    )
    text = measurement_text(made, None)
    assert "  loopback: " in text
    # the sentence says it already
    assert "  limit-unmet: " not in text


def test_where_nothing_can_be_said_the_reason_is_the_sentence():
    made = measured(verdict="invalid", steps=(), doubts=(REFUSED,))
    assert measurement_text(made, None) == (
        f"Nothing can be said of {URL} (invalid): status 404, nothing here; check the URL."
    )
    bare = measured(verdict="invalid", doubts=())
    assert sentence(bare).endswith("360 requests in 3 steps gave no figure to stand on.")


def test_a_servers_words_cannot_paint_the_terminal():
    doubt = replace(REFUSED, message="status 500, \x1b[31mred\nand more")
    text = measurement_text(measured(verdict="invalid", steps=(), doubts=(doubt,)), None)
    assert "\x1b" not in text
    assert len(text.splitlines()) == 1
