"""Ranking, against published rows and by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from rightsizer.analysis.figures import CurvePoint, Doubt, TrialFigures
from rightsizer.candidates import Candidate
from rightsizer.errors import Reason, TrialState
from rightsizer.fleets import Price, count_doubts
from rightsizer.machines import Placement
from rightsizer.recommendation import Recommendation, Rejection, recommend
from rightsizer.spec import TargetSpec
from rightsizer.trials import Measurement, TrialRecord

GOLDEN = json.loads((Path(__file__).parent / "golden" / "cost-rows.json").read_text())["rows"]
GROUP_USD = {"middle": 0.2, "dear": 0.3, "cheap": 0.1}
OWN = Price(0.10, "yours")


def target(per_min: float = 300.0, **more: float) -> TargetSpec:
    return TargetSpec.model_validate({"invocations_per_min": per_min, **more})


def figures(maximum: float | None = 600.0, **changes: object) -> TrialFigures:
    usual = TrialFigures(
        basis="closed",
        max_invocations_per_min=maximum,
        max_invocations_per_min_ci=None,
        max_kind=None if maximum is None else "estimate",
        percentile="P95",
        model_latency_ms=100.0,
        model_latency_ms_ci=None,
        unloaded_latency_ms=50.0,
        cpu_utilization_percent=80.0,
        memory_utilization_percent=30.0,
        curve=(CurvePoint(10.0, 40.0, 90.0, 99.0, 80.0),),
        limit_detail="" if maximum is not None else "P95 300 ms at 1 user",
    )
    return replace(usual, **changes)


def trial(
    name: str,
    maximum: float | None = 600.0,
    *,
    instance_type: str = "local.1cpu",
    state: TrialState = TrialState.SUCCEEDED,
    reason: Reason | None = None,
    detail: str = "",
    provenance: str = "native",
    measured: bool = True,
    **changes: object,
) -> TrialRecord:
    placement = Placement((1,), (0,), provenance, 2**30)  # type: ignore[arg-type]
    return TrialRecord(
        id=name,
        ordinal=0,
        candidate=Candidate(name, instance_type, {"NAME": name}),
        host="local",
        state=state,
        reason=reason,
        detail=detail,
        measurement=Measurement(placement=placement),
        figures=figures(maximum, **changes) if measured else None,
    )


def ranked(
    *trials: TrialRecord, price: Price | dict[str, Price] = OWN, goal: TargetSpec | None = None
) -> list[Recommendation]:
    def price_of(instance_type: str) -> Price:
        return price[instance_type] if isinstance(price, dict) else price

    return recommend(trials, price_of, goal)[0]


def order(rows: list[Recommendation]) -> str:
    assert [row.rank for row in rows] == list(range(1, len(rows) + 1))
    return " ".join(row.trial_id for row in rows)


def codes(row: Recommendation) -> list[str]:
    return [doubt.code for doubt in row.doubts]


# -- types that cannot be told apart -------------------------------------------------------------


def twins() -> TrialRecord:
    others = tuple(Candidate(kind, kind, {"NAME": "a"}) for kind in ("dear", "cheap"))
    return replace(trial("a", instance_type="middle"), twins=others)


def test_types_measured_as_one_have_a_row_each_ranked_by_price_only():
    prices = {name: Price(usd, "yours") for name, usd in GROUP_USD.items()}
    rows = ranked(twins(), price=prices)
    assert [row.instance_type for row in rows] == ["cheap", "middle", "dear"]
    assert {row.max_invocations_per_min for row in rows} == {600.0}
    assert [row.price_per_hour_usd for row in rows] == sorted(GROUP_USD.values())
    for row in rows:
        [doubt] = [doubt for doubt in row.doubts if doubt.code == "by-price-only"]
        assert doubt.severity == "note"
        assert "middle, dear, cheap" in doubt.message


def test_types_measured_as_one_fail_as_one():
    record = replace(twins(), state=TrialState.FAILED, reason=Reason.CRASHED, figures=None)
    rows, rejected = recommend([record], lambda _: OWN, None)
    assert rows == []
    assert [row.instance_type for row in rejected] == ["middle", "dear", "cheap"]


def test_a_type_measured_alone_is_no_group():
    assert "by-price-only" not in codes(ranked(trial("a"))[0])


# -- published rows ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "row", [r for r in GOLDEN if r["initial_instance_count"] == 1], ids=lambda r: r["instance_type"]
)
def test_a_published_row_of_one_instance_is_a_recommendation_of_one(row):
    (found,) = ranked(
        trial("a", row["max_invocations_per_min"], model_latency_ms=row["model_latency_ms"]),
        price=Price(row["cost_per_hour_usd"], "corroborated"),
    )
    assert found.fleet.instance_count == 1
    assert found.fleet.cost_per_hour_usd == row["cost_per_hour_usd"]
    assert found.fleet.max_invocations_per_min == row["max_invocations_per_min"]
    assert found.cost_per_inference_usd is not None
    assert float(f"{found.cost_per_inference_usd:.3e}") == row["cost_per_inference_usd"]
    assert found.model_latency_ms == row["model_latency_ms"]


@pytest.mark.parametrize(
    "row",
    [r for r in GOLDEN if r["initial_instance_count"] > 1],
    ids=lambda r: str(r["environment"]),
)
def test_a_published_fleet_row_comes_from_one_instance_and_its_target(row):
    # CostPerHour and MaxInvocations are those of the whole fleet.
    count = row["initial_instance_count"]
    one_max = row["max_invocations_per_min"] / count
    one_price = row["cost_per_hour_usd"] / count
    assert one_price == pytest.approx(0.23)  # ml.m5.xlarge
    (found,) = ranked(
        trial("a", one_max),
        price=Price(one_price, "corroborated"),
        goal=target(row["target_invocations_per_min"]),
    )
    assert found.fleet.instance_count == count
    assert found.fleet.cost_per_hour_usd == pytest.approx(row["cost_per_hour_usd"], rel=1e-12)
    assert found.fleet.max_invocations_per_min == pytest.approx(row["max_invocations_per_min"])
    # the same number for the fleet as for one
    assert found.cost_per_inference_usd is not None
    assert float(f"{found.cost_per_inference_usd:.3e}") == row["cost_per_inference_usd"]


# -- ranking -----------------------------------------------------------------------------------

PRICES = {"small": Price(0.10, "yours"), "large": Price(0.25, "yours")}


def test_without_a_target_the_cheapest_inference_at_full_load_comes_first():
    rows = ranked(
        # 0.10 / 60 / 100 = 1.67e-5
        trial("small", 100, instance_type="small"),
        # 0.25 / 60 / 300 = 1.39e-5
        trial("large", 300, instance_type="large"),
        price=PRICES,
    )
    assert order(rows) == "large small"
    assert [row.cost_per_inference_usd for row in rows] == [0.25 / 18_000, 0.10 / 6_000]


def test_with_a_target_the_cheapest_fleet_comes_first():
    trials = (
        trial("small", 100, instance_type="small"),
        trial("large", 300, instance_type="large"),
    )
    # 90 a minute: one small one costs 0.10, one large one 0.25 although its inferences are cheaper
    assert order(ranked(*trials, price=PRICES, goal=target(90))) == "small large"
    # 300 a minute: three small ones cost 0.30
    assert order(ranked(*trials, price=PRICES, goal=target(300))) == "large small"


def test_of_fleets_of_one_price_the_cheaper_inference_comes_first_then_the_lower_latency():
    rows = ranked(
        trial("slow", 400, model_latency_ms=120.0),
        trial("fast", 400, model_latency_ms=80.0),
        trial("more", 500, model_latency_ms=200.0),
        trial("none", 400, model_latency_ms=None),
        goal=target(300),
    )
    assert order(rows) == "more fast slow none"


def test_without_prices_the_highest_throughput_comes_first():
    rows = ranked(
        trial("less", 100),
        trial("more", 300),
        trial("same", 300, model_latency_ms=50.0),
        price=Price(None, ""),
        goal=target(90),
    )
    assert order(rows) == "same more less"
    for row in rows:
        assert row.price_per_hour_usd is None
        assert row.cost_per_inference_usd is None
        assert row.cost_per_inference_usd_ci is None
        assert codes(row) == ["no-price"]


def test_rows_without_a_price_come_after_those_with_one():
    rows = ranked(
        trial("unpriced", 900, instance_type="a"),
        trial("priced", 100, instance_type="b"),
        price={"a": Price(None, ""), "b": OWN},
    )
    assert order(rows) == "priced unpriced"


def test_lower_bounds_come_after_estimates_and_brackets_by_the_same_rule():
    rows = ranked(
        trial("bound", 900, max_kind="at_least"),
        trial("better-bound", 1000, max_kind="at_least"),
        trial("estimate", 100),
        trial("bracket", 200, max_kind="bracket"),
    )
    assert order(rows) == "bracket estimate better-bound bound"


def test_a_lower_bound_with_a_price_comes_after_an_estimate_without():
    rows = ranked(
        trial("bound", 900, instance_type="a", max_kind="at_least"),
        trial("estimate", 100, instance_type="b"),
        price={"a": OWN, "b": Price(None, "")},
    )
    assert order(rows) == "estimate bound"


# -- a lower bound that is better already ------------------------------------------------------


def undercut_of(rows: list[Recommendation]) -> list[Doubt]:
    """Those of the first row; no other has any."""
    assert not [row.rank for row in rows[1:] if "undercut" in codes(row)]
    return [doubt for doubt in rows[0].doubts if doubt.code == "undercut"]


def test_a_lower_bound_that_costs_less_than_the_first_row_is_named_on_it():
    rows = ranked(
        trial("known", 100),
        trial("bound", 600, max_kind="at_least"),
        trial("better-bound", 700, max_kind="at_least"),
        trial("worse-bound", 90, max_kind="at_least"),
    )
    assert order(rows) == "known better-bound bound worse-bound"
    [doubt] = undercut_of(rows)
    assert doubt.severity == "weakens"
    assert doubt.message.startswith(
        "row 2 (local.1cpu NAME=better-bound) costs less than row 1 even at the 700 invocations a "
        "minute that it was seen to carry, as does 1 other:"
    )
    assert doubt.next_step == "learn its maximum: drive it until a level is over the limit"
    assert doubt.figures == {"at_least_per_min": 700.0, "others": 1.0}


def test_a_lower_bound_that_costs_as_much_or_more_undercuts_nobody():
    rows = ranked(
        trial("known", 100),
        trial("same", 100, max_kind="at_least"),
        trial("dearer", 600, instance_type="dear", max_kind="at_least"),
        price={"local.1cpu": OWN, "dear": Price(0.70, "yours")},
    )
    assert order(rows) == "known same dearer"
    assert undercut_of(rows) == []


def test_with_a_target_it_is_the_fleet_that_must_cost_less():
    known, bound = trial("known", 200), trial("bound", 290, max_kind="at_least")
    # Two of either carry 300, one of either 150; of 250 one alone carries them.
    assert undercut_of(ranked(known, bound, goal=target(300))) == []
    assert undercut_of(ranked(known, bound, goal=target(150))) == []
    [doubt] = undercut_of(ranked(known, bound, goal=target(250)))
    assert "row 2 (local.1cpu NAME=bound) costs less" in doubt.message


def test_without_prices_a_lower_bound_undercuts_by_what_it_carries():
    known, bound = trial("known", 100), trial("bound", 600, max_kind="at_least")
    [doubt] = undercut_of(ranked(known, bound, price=Price(None, ""), goal=target(90)))
    assert "carries more than row 1 even at the 600 invocations" in doubt.message
    less = trial("less", 99, max_kind="at_least")
    assert undercut_of(ranked(known, less, price=Price(None, ""))) == []


@pytest.mark.parametrize("priced", ["known", "bound"])
def test_where_one_alone_has_a_price_nobody_is_said_to_be_undercut(priced):
    rows = ranked(
        trial("known", 100, instance_type="known"),
        trial("bound", 600, instance_type="bound", max_kind="at_least"),
        price={name: OWN if name == priced else Price(None, "") for name in ("known", "bound")},
    )
    assert order(rows) == "known bound"
    assert undercut_of(rows) == []


def test_a_lower_bound_does_not_undercut_another():
    bounds = (trial(name, per_min, max_kind="at_least") for name, per_min in (("a", 9), ("b", 99)))
    assert undercut_of(ranked(*bounds)) == []


# -- what a recommendation carries -------------------------------------------------------------


def test_a_recommendation_carries_the_trials_figures_and_its_costs():
    (row,) = ranked(
        trial(
            "a",
            600,
            instance_type="local.2cpu",
            provenance="stand-in",
            max_invocations_per_min_ci=(500.0, 750.0),
            model_latency_ms_ci=(95.0, 110.0),
        ),
        price=Price(0.36, "yours"),
        goal=target(300),
    )
    assert (row.instance_type, row.environment) == ("local.2cpu", {"NAME": "a"})
    assert (row.basis, row.provenance, row.max_kind) == ("closed", "stand-in", "estimate")
    assert row.max_invocations_per_min == 600
    assert row.max_invocations_per_min_ci == (500.0, 750.0)
    assert (row.percentile, row.model_latency_ms) == ("P95", 100.0)
    assert row.model_latency_ms_ci == (95.0, 110.0)
    assert row.unloaded_latency_ms == 50.0
    assert (row.price_per_hour_usd, row.price_basis) == (0.36, "yours")
    # 0.36 / (60 * 600) = 1e-5; its interval's ends change places
    assert row.cost_per_inference_usd == pytest.approx(1e-5, rel=1e-12)
    assert row.cost_per_inference_usd_ci == pytest.approx((0.8e-5, 1.2e-5), rel=1e-12)
    assert (row.cpu_utilization_percent, row.memory_utilization_percent) == (80.0, 30.0)
    assert row.curve == (CurvePoint(10.0, 40.0, 90.0, 99.0, 80.0),)
    # not computed yet
    assert (row.p_best, row.tied_with_best) == (None, None)
    assert row.doubts == ()


def test_a_lower_bound_has_a_cost_of_at_most():
    (row,) = ranked(
        trial("a", 600, max_kind="at_least", max_invocations_per_min_ci=(500.0, None)),
        price=Price(0.36, "yours"),
    )
    assert row.cost_per_inference_usd_ci == (None, pytest.approx(1.2e-5))


def test_the_trials_own_doubts_come_after_those_of_count_and_price():
    (row,) = ranked(
        trial(
            "a",
            150,
            max_invocations_per_min_ci=(140.0, 160.0),
            doubts=(Doubt("co-located", "weakens", "shared core"),),
        ),
        price=Price(0.1, "unverified"),
        goal=target(300),
    )
    assert codes(row) == ["count-uncertain", "price-unverified", "co-located"]


@pytest.mark.parametrize(
    ("one_max", "ci", "goal", "bounds"),
    [
        # 300 a minute: two at the estimate, two at either end
        (160, (155.0, 190.0), target(300), None),
        # three at the lower end
        (160, (140.0, 190.0), target(300), (2, 3)),
        # one at the upper end
        (160, (155.0, 310.0), target(300), (1, 2)),
        # a lower bound: fewer than the estimate's count are never promised
        (160, (140.0, None), target(300), (2, 3)),
        (160, (155.0, None), target(300), None),
        # the minimum hides the difference
        (160, (140.0, 190.0), target(300, min_instances=3), None),
        # spare instances are on both
        (160, (140.0, 190.0), target(300, spare_instances=2), (4, 5)),
        # an interval down to nothing
        (160, (0.0, 190.0), target(300), (2, None)),
        # no interval, or no target: nothing to doubt
        (160, None, target(300), None),
        (160, (140.0, 190.0), None, None),
    ],
)
def test_the_count_is_doubted_when_the_interval_holds_another_integer(one_max, ci, goal, bounds):
    (row,) = ranked(trial("a", one_max, max_invocations_per_min_ci=ci), goal=goal)
    found = [doubt.figures for doubt in row.doubts if doubt.code == "count-uncertain"]
    assert found == ([] if bounds is None else [{"low": bounds[0], "high": bounds[1]}])


def test_a_doubted_count_says_what_all_trials_together_make_likely():
    goal = target(invocations_per_min=300.0)
    [doubt] = count_doubts(174.0, (95.5, 221.0), goal, likely=(3, 0.73))
    assert doubt.message == (
        "the maximum's interval allows 2 to 4 instances; all trials together make 3 likely (73 %)"
    )
    [doubt] = count_doubts(174.0, (170.0, 180.0), goal, likely=(3, 0.6))
    assert "allows 2 to 3 instances" in doubt.message
    assert count_doubts(174.0, (170.0, 180.0), goal, likely=(2, 0.9)) == ()


@pytest.mark.parametrize(
    ("basis", "doubted"),
    [
        # the packaged table's
        ("corroborated", False),
        ("derived", True),
        ("unverified", True),
        # the user's own
        ("yours", False),
        ("cost model", False),
    ],
)
def test_prices_that_nobody_confirmed_are_doubted(basis, doubted):
    (row,) = ranked(trial("a"), price=Price(0.1, basis))
    assert codes(row) == (["price-unverified"] if doubted else [])


# -- rejections --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "reason", "detail"),
    [
        # measured, but nothing within the limits
        (trial("a", None), "limit-unmet", "P95 300 ms at 1 user"),
        # the candidate's fault
        (trial("a", state=TrialState.FAILED, reason=Reason.CRASHED, detail="exit code 3",
               measured=False), "crashed", "exit code 3"),
        # a maximum measured before the crash does not count
        (trial("a", 600, state=TrialState.FAILED, reason=Reason.OUT_OF_MEMORY, detail="2 of 1 GiB"),
         "out-of-memory", "2 of 1 GiB"),
        # the measurement's fault
        (trial("a", 600, state=TrialState.INVALID, reason=Reason.GENERATOR_LOST, detail="gone"),
         "generator-lost", "gone"),
        # stopped before anything was measured
        (trial("a", state=TrialState.STOPPED, reason=Reason.BY_USER, measured=False),
         "by-user", ""),
        # no reason known: its state
        (trial("a", state=TrialState.INTERRUPTED, detail="host lost", measured=False),
         "interrupted", "host lost"),
    ],
)  # fmt: skip
def test_every_other_candidate_is_rejected_with_its_reason(record, reason, detail):
    rows, rejected = recommend([record, trial("good")], lambda _: OWN, None)
    assert order(rows) == "good"
    assert rejected == [Rejection("local.1cpu", {"NAME": "a"}, reason, detail)]


def test_a_trial_stopped_after_it_measured_something_is_a_recommendation():
    record = trial("a", 600, state=TrialState.STOPPED, reason=Reason.TIME_LIMIT)
    assert order(ranked(record)) == "a"


def test_a_trial_that_is_still_running_is_neither():
    assert recommend([trial("a", state=TrialState.RUNNING)], lambda _: OWN, None) == ([], [])


def test_no_trials_are_no_recommendations():
    assert recommend([], lambda _: OWN, target()) == ([], [])
