"""A trial's steps to its maximum, its kind, its latency and its doubts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rightsizer.analysis.figures import (
    CurvePoint,
    Doubt,
    PayloadFigures,
    Requests,
    StepFigures,
    TrialFigures,
)
from rightsizer.analysis.maximum import is_flat
from rightsizer.analysis.trial import (
    Setting,
    basis_of,
    judge_trial,
    unloaded_latency_ms,
)
from rightsizer.machines import Placement
from rightsizer.spec import (
    LimitSpec,
    PhaseSpec,
    PhasesTraffic,
    RateTraffic,
    SaturateTraffic,
    SearchTraffic,
    StairsTraffic,
    UsersTraffic,
)
from rightsizer.traffic.records import Reach

LIMIT = LimitSpec(latency_ms=250.0)
NO_LIMIT = LimitSpec()

SETTING = Setting(
    instance_type="local.1cpu",
    host="rack1",
    placement=Placement((1,), (0,), "native", 2**30),
    pinned=True,
    traffic_type="stairs",
    stopped_early=False,
    cut_short=False,
    probe_latency_ms=60.0,
)


def step(
    users: int | None,
    per_s: float,
    latency_ms: float | None = 100.0,
    verdict: str = "within-limits",
    **changes: object,
) -> StepFigures:
    usual = StepFigures(
        mode="closed" if users is not None else "open",
        label=f"{users} users" if users is not None else f"{per_s:g}/s",
        users=users,
        rate_per_s=None if users is not None else per_s,
        window_s=50.0,
        n=500,
        achieved_per_s=per_s,
        achieved_per_s_ci=(0.9 * per_s, 1.2 * per_s),
        p50_ms=50.0,
        p90_ms=90.0,
        p95_ms=latency_ms,
        p99_ms=120.0,
        latency_ms=latency_ms,
        latency_ms_ci=None if latency_ms is None else (latency_ms - 5, latency_ms + 5),
        error_ratio=0.0,
        requests=Requests(attempted=500, succeeded=500),
        by_payload={},
        cpu_utilization_percent=10.0 * (users or 1),
        memory_utilization_percent=20.0 + (users or 1),
        generator_cpu_ratio=0.1,
        verdict=verdict,  # type: ignore[arg-type]
    )
    return replace(usual, **changes)


def slow(users: int, per_s: float, latency_ms: float = 300.0, **changes: object) -> StepFigures:
    return step(users, per_s, latency_ms, "over-latency", **changes)


def failing(users: int, per_s: float, error_ratio: float = 0.05) -> StepFigures:
    return step(users, per_s, verdict="over-errors", error_ratio=error_ratio)


def invalid(users: int, per_s: float) -> StepFigures:
    return step(users, per_s, verdict="invalid")


def judge(
    *steps: StepFigures,
    limit: LimitSpec = LIMIT,
    basis: str = "closed",
    placement: Placement | None = None,
    content: tuple[Doubt, ...] = (),
    **setting: object,
) -> TrialFigures:
    given = replace(SETTING, placement=placement or SETTING.placement, **setting)
    return judge_trial(steps, basis, limit, given, content)  # type: ignore[arg-type]


def codes(figures: TrialFigures) -> list[str]:
    return [doubt.code for doubt in figures.doubts]


# -- the maximum -------------------------------------------------------------------------------


def test_the_closed_maximum_is_the_highest_throughput_within_the_limits():
    found = judge(step(1, 8.0, 80.0), step(2, 12.0, 200.0), slow(3, 14.0))
    # 12 a second, with the figures of that step
    assert found.max_invocations_per_min == 720.0
    assert found.max_invocations_per_min_ci == pytest.approx((648.0, 864.0))
    assert (found.basis, found.max_kind, found.percentile) == ("closed", "estimate", "P95")
    assert (found.model_latency_ms, found.model_latency_ms_ci) == (200.0, (195.0, 205.0))
    assert (found.cpu_utilization_percent, found.memory_utilization_percent) == (20.0, 22.0)
    assert found.limit_detail == ""


def test_a_level_beyond_the_peak_does_not_lower_the_maximum():
    # too many users: throughput falls, latency holds
    found = judge(step(1, 8.0), step(4, 20.0), step(8, 15.0))
    assert found.max_invocations_per_min == 1200.0


def test_without_a_latency_limit_the_maximum_is_the_saturated_throughput():
    found = judge(step(1, 8.0, 100.0), step(2, 12.0, 900.0), step(4, 12.3, 4000.0), limit=NO_LIMIT)
    assert (found.max_invocations_per_min, found.max_kind) == (pytest.approx(738.0), "estimate")
    assert found.model_latency_ms == 4000.0


@pytest.mark.parametrize(
    ("steps", "setting", "kind"),
    [
        # a level over the latency limit bounds it
        ([step(1, 8.0), slow(2, 14.0)], {}, "estimate"),
        # so does one over the error limit
        ([step(1, 8.0), failing(2, 14.0)], {}, "estimate"),
        # also when the trial was stopped or cut short after that
        ([step(1, 8.0), slow(2, 14.0)], {"stopped_early": True}, "estimate"),
        ([step(1, 8.0), slow(2, 14.0)], {"cut_short": True}, "estimate"),
        # stopped early, and the limit never met
        ([step(1, 8.0), step(2, 8.1)], {"stopped_early": True}, "at_least"),
        ([step(1, 8.0), step(2, 8.1)], {"cut_short": True}, "at_least"),
        # the last level held, and throughput was still growing
        ([step(1, 8.0), step(2, 16.0)], {}, "at_least"),
        # one level alone shows no growth and no end of it
        ([step(1, 8.0)], {}, "at_least"),
        # the last level held, and throughput had gone flat: 5% more is growth, less is not
        ([step(5, 8.0), step(6, 8.39)], {}, "estimate"),
        ([step(5, 8.0), step(6, 8.41)], {}, "at_least"),
        # of twice the users 10 %: where there is room they bring twice as much
        ([step(1, 8.0), step(2, 8.79)], {}, "estimate"),
        ([step(1, 8.0), step(2, 8.81)], {}, "at_least"),
        # flat against the best level before, not against the last
        ([step(1, 8.0), step(2, 10.0), step(3, 9.0), step(4, 10.2)], {}, "estimate"),
        # the levels count by their users, in whatever order they came
        ([step(2, 16.0), step(1, 8.0)], {}, "at_least"),
        ([step(2, 8.2), step(1, 8.0)], {}, "estimate"),
        # the same level twice is one level, and shows no growth
        ([step(2, 16.0), step(2, 16.1)], {}, "at_least"),
        ([step(1, 8.0), step(2, 16.0), step(2, 16.1)], {}, "at_least"),
        # the best level itself, over the limit when it came again
        ([step(1, 8.0), step(2, 16.0), slow(2, 15.0)], {}, "estimate"),
        # a level below the best that failed, a cold start say, bounds nothing
        ([slow(1, 4.0), step(2, 16.0)], {}, "at_least"),
        ([slow(1, 4.0), step(2, 16.0), slow(3, 17.0)], {}, "estimate"),
        # a level that could not be judged is no bound and no growth
        ([step(1, 8.0), step(2, 16.0), invalid(4, 16.1)], {}, "at_least"),
        ([step(1, 8.0), step(2, 8.1), invalid(4, 30.0)], {}, "estimate"),
        # one level in a job is a lower bound by definition
        ([step(4, 8.0)], {"traffic_type": "users"}, "at_least"),
        ([step(None, 8.0)], {"traffic_type": "rate"}, "at_least"),
        # saturate: flat is its end
        ([step(1, 8.0), step(2, 8.1), step(4, 8.2)], {"traffic_type": "saturate"}, "estimate"),
        # its budget ran out before that
        ([step(1, 8.0), step(2, 16.0)], {"traffic_type": "saturate"}, "at_least"),
    ],
)
def test_the_kind_of_a_maximum_says_whether_it_was_bounded_from_above(steps, setting, kind):
    found = judge(*steps, **setting)
    assert found.max_kind == kind
    assert ("at-least" in codes(found)) == (kind == "at_least")
    # a lower bound has no upper end
    assert found.max_invocations_per_min_ci is not None
    assert (found.max_invocations_per_min_ci[1] is None) == (kind == "at_least")


def test_a_maximum_without_an_interval_has_none_whatever_its_kind():
    for steps in ([step(1, 8.0)], [step(1, 8.0), slow(2, 9.0)]):
        steps[0] = replace(steps[0], achieved_per_s_ci=None)
        assert judge(*steps).max_invocations_per_min_ci is None


def test_the_maximum_of_a_given_rate_is_what_was_carried():
    found = judge(step(None, 39.5, 120.0), basis="open", traffic_type="rate")
    assert (found.basis, found.max_invocations_per_min, found.max_kind) == (
        "open",
        2370.0,
        "at_least",
    )


@pytest.mark.parametrize(
    ("steps", "detail"),
    [
        # the fastest of the slow levels says how far away the limit is
        ([slow(1, 8.0, 300.0), slow(2, 12.0, 500.0)],
         "P95 300 ms at 1 users, over the limit of 250 ms"),
        # latency goes before errors
        ([failing(1, 8.0, 0.02), slow(2, 12.0, 251.4)],
         "P95 251 ms at 2 users, over the limit of 250 ms"),
        # the least wrong of the failing levels, with the digits that tell it from the limit
        ([failing(1, 8.0, 0.3), failing(2, 12.0, 0.012)],
         "1.2 % errors at 2 users, over the limit of 1 %"),
        # nothing could be judged
        ([invalid(1, 8.0)], "no step could be judged"),
        ([], "no step could be judged"),
        # within the limits, but nothing was answered before the window closed
        ([step(1, 0.0)], "no invocation was completed in a step's measured part"),
    ],
)  # fmt: skip
def test_where_no_step_is_within_the_limits_there_is_no_maximum_but_a_reason(steps, detail):
    found = judge(*steps)
    assert found.max_invocations_per_min is None
    assert found.max_invocations_per_min_ci is None
    assert found.max_kind is None
    assert (found.model_latency_ms, found.model_latency_ms_ci) == (None, None)
    assert (found.cpu_utilization_percent, found.memory_utilization_percent) == (None, None)
    assert found.limit_detail == detail
    assert "at-least" not in codes(found)


def test_an_invalid_step_is_never_the_maximum_nor_on_the_curve():
    found = judge(step(1, 8.0, 80.0), invalid(2, 99.0), slow(3, 10.0))
    assert found.max_invocations_per_min == 480.0
    assert found.curve == (
        CurvePoint(8.0, 50.0, 80.0, 120.0, 10.0),
        CurvePoint(10.0, 50.0, 300.0, 120.0, 30.0),
    )


@pytest.mark.parametrize(
    ("rates", "flat"),
    [
        # one level says nothing
        ([], False),
        ([10.0], False),
        # 5% more is growth
        ([10.0, 10.5], False),
        ([10.0, 10.49], True),
        # falling is flat
        ([10.0, 8.0], True),
        # measured against the best before
        ([10.0, 20.0, 12.0, 20.5], True),
        ([10.0, 20.0, 12.0, 21.0], False),
        # a server that answers nothing gains nothing, but is not flat either
        ([0.0, 0.0], False),
    ],
)
def test_throughput_is_flat_when_the_last_level_gained_under_5_percent(rates, flat):
    assert is_flat(dict(enumerate(rates, start=5))) is flat


def test_twice_the_users_are_to_bring_10_percent_at_the_least():
    assert is_flat({4: 10.0, 8: 10.9})
    assert not is_flat({4: 10.0, 8: 11.1})
    assert not is_flat({4: 10.0, 7: 10.9})


def test_one_user_more_among_many_is_no_plateau():
    growing = {users: 10.0 * users for users in range(1, 31)}  # 30 users: 3.4 % over 29
    assert not is_flat(growing)
    assert is_flat({**growing, **dict.fromkeys(range(22, 31), 220.0)})
    assert is_flat({29: 100.0, 30: 94.0})


def test_levels_that_are_all_close_are_flat_where_they_gain_a_quarter_of_what_room_would_bring():
    assert is_flat({users: 100.0 for users in range(30, 35)})
    assert is_flat({30: 100.0, 34: 103.0})
    assert not is_flat({30: 100.0, 34: 104.0})
    assert not is_flat({30: 300.0, 31: 310.0, 32: 320.0})


@pytest.mark.parametrize(
    ("traffic", "basis"),
    [
        (UsersTraffic(type="users", users=1), "closed"),
        (StairsTraffic(type="stairs", users_per_step=1, steps=1, duration_s=1.0), "closed"),
        (PhasesTraffic(type="phases", phases=(PhaseSpec(initial_users=1, duration_s=1.0),)),
         "closed"),
        (SaturateTraffic(type="saturate"), "closed"),
        (RateTraffic(type="rate", per_s=1.0), "open"),
        (SearchTraffic(), "open"),
    ],
)  # fmt: skip
def test_users_in_a_loop_are_closed_and_arrivals_are_open(traffic, basis):
    assert basis_of(traffic, LimitSpec(latency_ms=100.0)) == basis


def test_a_search_without_a_latency_limit_is_for_saturation_which_is_closed():
    assert basis_of(SearchTraffic(), LimitSpec()) == "closed"


# -- unloaded latency --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "unloaded"),
    [
        # one user in a loop meets nobody
        ([step(1, 8.0, 80.0), step(2, 12.0, 90.0)], 80.0),
        # also when it is not the first step, or over the limit
        ([step(2, 12.0, 90.0), slow(1, 3.0, 300.0)], 300.0),
        # no such step: the probes
        ([step(2, 12.0, 90.0)], 60.0),
        # a merged step of 1-2 users is not unloaded
        ([step(2, 12.0, 90.0, label="1-2 users")], 60.0),
        # one user that was never answered says nothing
        ([step(1, 0.0, 2000.0, requests=Requests(attempted=5, timed_out=5))], 60.0),
        # arrivals queue
        ([step(None, 1.0, 90.0)], 60.0),
    ],
)
def test_unloaded_latency_is_that_of_one_user_or_else_of_the_probes(steps, unloaded):
    assert unloaded_latency_ms(steps, 60.0) == unloaded
    assert judge(*steps).unloaded_latency_ms == unloaded


def test_without_probes_or_a_single_user_it_is_not_known():
    assert unloaded_latency_ms([step(2, 12.0)], None) is None


@pytest.mark.parametrize(
    ("limit_ms", "doubted"), [(79.9, True), (80.0, False), (250.0, False), (None, False)]
)
def test_a_limit_below_the_unloaded_latency_cannot_be_met(limit_ms, doubted):
    over = limit_ms is not None and limit_ms < 80.0
    one = step(1, 8.0, 80.0, "over-latency" if over else "within-limits")
    found = judge(one, limit=LimitSpec(latency_ms=limit_ms))
    assert ("limit-below-floor" in codes(found)) == doubted


# -- doubts ------------------------------------------------------------------------------------

ALWAYS = ["closed-basis", "one-start", "loopback"]


def test_every_closed_trial_is_one_start_over_loopback_with_users_in_a_loop():
    assert codes(judge(step(1, 8.0), slow(2, 9.0))) == ALWAYS


def test_open_trials_are_not_doubted_for_their_basis():
    assert "closed-basis" not in codes(judge(step(None, 8.0), basis="open", traffic_type="rate"))


@pytest.mark.parametrize(
    ("stopped_early", "why"), [(True, "stopped early"), (False, "the highest load still held")]
)
def test_a_lower_bound_says_why_it_is_one(stopped_early, why):
    found = judge(step(1, 8.0), stopped_early=stopped_early)
    (message,) = [doubt.message for doubt in found.doubts if doubt.code == "at-least"]
    assert why in message


@pytest.mark.parametrize(
    ("ci", "doubted"),
    [
        # the interval reaches beyond the limit of 250 ms
        ((240.0, 250.1), True),
        ((240.0, 250.0), False),
        ((240.0, None), False),
        (None, False),
    ],
)
def test_a_pass_whose_interval_holds_the_limit_is_uncertain(ci, doubted):
    found = judge(step(1, 8.0, 245.0, latency_ms_ci=ci), slow(2, 9.0))
    assert ("limit-uncertain" in codes(found)) == doubted
    # and one without an interval says so
    assert ("too-few-effective-samples" in codes(found)) == (ci is None)


def test_the_doubts_of_the_step_that_gave_the_maximum_are_the_trials():
    own = Doubt("generator-busy", "weakens", "busy")
    other = Doubt("generator-limited", "blocks", "limited")
    found = judge(step(1, 8.0, doubts=(own,)), slow(2, 9.0, doubts=(other,)))
    assert codes(found) == ["generator-busy", *ALWAYS]


@pytest.mark.parametrize(
    ("large", "share", "codes_expected"),
    [
        # a quarter of the requests, all of the slow ones
        (25, 1.0, ["latency-set-by-one-payload"]),
        # six in ten of the slow ones are enough, fewer are not
        (25, 0.6, ["latency-set-by-one-payload"]),
        (25, 0.59, []),
        # a payload in half of the requests may be expected there, in more it is the mix
        (50, 1.0, ["latency-set-by-one-payload"]),
        (51, 1.0, []),
    ],
)
def test_a_payload_that_sets_the_percentile_is_named(large, share, codes_expected):
    mix = {
        "small.jpg": PayloadFigures(100 - large, 60.0, 62.0, 1 - share),
        "large.jpg": PayloadFigures(large, 95.0, 97.0, share),
    }
    found = judge(step(1, 8.0, by_payload=mix), slow(2, 9.0))
    assert codes(found) == [*codes_expected, *ALWAYS]
    for doubt in found.doubts[: len(codes_expected)]:
        assert doubt.figures == {
            "payload": "large.jpg",
            "share_sent": large / 100,
            "share_above": share,
        }


def test_a_payload_on_its_own_is_the_mix():
    mix = {"only.jpg": PayloadFigures(100, 60.0, 62.0, 1.0)}
    assert codes(judge(step(1, 8.0, by_payload=mix), slow(2, 9.0))) == ALWAYS


@pytest.mark.parametrize(
    ("setting", "code"),
    [
        ({"cut_short": True}, "cut-short"),
        ({"placement": Placement((1,), (0,), "stand-in", 1)}, "stand-in"),
        ({"placement": Placement((1,), (0,), "emulated", 1)}, "emulated"),
        ({"placement": Placement((0,), (0,), "native", 1, co_located=True)}, "co-located"),
        ({"placement": Placement((1, 5), (0,), "native", 1, shared_core=True)}, "shared-core"),
        # where nothing can be pinned, nobody knows which CPUs were shared
        ({"placement": Placement((0,), (0,), "native", 1, co_located=True), "pinned": False},
         "not-pinned"),
    ],
)  # fmt: skip
def test_the_circumstances_of_a_trial_are_doubted(setting, code):
    assert codes(judge(step(1, 8.0), slow(2, 9.0), **setting)) == [code, *ALWAYS]


def test_a_stand_in_names_the_host_and_what_it_stands_for():
    placement = Placement((1,), (0,), "stand-in", 1)
    found = judge(step(1, 8.0), placement=placement, instance_type="ml.m5.xlarge")
    (doubt,) = [doubt for doubt in found.doubts if doubt.code == "stand-in"]
    assert (doubt.severity, doubt.message) == (
        "weakens",
        "rack1 stands in for ml.m5.xlarge: the numbers are those of rack1",
    )


@pytest.mark.parametrize(
    ("reach", "limit", "severity"),
    [
        (Reach(0.4, 2.0), LIMIT, "note"),
        (Reach(0.4, 20.0), LIMIT, "weakens"),
        (Reach(20.0, None), LIMIT, "weakens"),
        (Reach(20.0, 20.0), NO_LIMIT, "note"),
        (None, LIMIT, "weakens"),
    ],
)
def test_the_network_to_a_far_host_is_told_and_weighs_against_the_limit(reach, limit, severity):
    far = replace(SETTING.placement, far=True)
    figures = judge(step(1, 10.0), placement=far, reach=reach, limit=limit)
    [doubt] = [doubt for doubt in figures.doubts if doubt.code == "far-host"]
    assert doubt.severity == severity
    assert "rack1 is another machine" in doubt.message
    assert "loopback" not in codes(figures)


def test_doubts_on_the_replies_content_come_first():
    content = Doubt("content-refused", "blocks", "3 of 5 replies lack the text")
    assert codes(judge(step(1, 8.0), slow(2, 9.0), content=(content,)))[0] == "content-refused"


def test_a_trial_without_a_maximum_keeps_the_doubts_on_its_circumstances():
    found = judge(slow(1, 8.0, 300.0), probe_latency_ms=40.0)
    assert codes(found) == ["limit-below-floor", *ALWAYS]
