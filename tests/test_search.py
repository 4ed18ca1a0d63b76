"""Which step comes next: planned steps with their stop conditions, and saturation."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rightsizer.analysis.figures import Doubt, Requests, StepFigures
from rightsizer.schedule import steps_of
from rightsizer.search import PlannedSteps, Saturate, plateau, policy_for
from rightsizer.search_maximum import MaximumSearch
from rightsizer.spec import LimitSpec, SaturateTraffic, SearchTraffic, StairsTraffic, StopSpec

STAIRS = steps_of(StairsTraffic(type="stairs", users_per_step=1, steps=5, duration_s=60.0))
GO_ON = StopSpec(flat_invocations="continue")


SPOILT = Doubt("noisy-host", "blocks", "the hypervisor took 30 % of the machine's CPU time")


def figures(per_s: float, succeeded: int = 100) -> StepFigures:
    return StepFigures(
        mode="closed",
        label="",
        users=1,
        rate_per_s=None,
        window_s=10.0,
        n=100,
        achieved_per_s=per_s,
        achieved_per_s_ci=None,
        p50_ms=1.0,
        p90_ms=1.0,
        p95_ms=1.0,
        p99_ms=1.0,
        latency_ms=1.0,
        latency_ms_ci=None,
        error_ratio=0.0,
        requests=Requests(100, succeeded, 100 - succeeded, 0, 0, 0),
        by_payload={},
        cpu_utilization_percent=None,
        memory_utilization_percent=None,
        generator_cpu_ratio=0.1,
        verdict="within-limits",
    )


def users_asked(policy, rates) -> list[int]:
    """The users of the steps asked for, telling these throughputs."""
    asked = []
    for rate in rates:
        step = policy.ask()
        if step is None:
            break
        asked.append(step.users)
        policy.tell(replace(figures(rate), users=step.users))
    return asked


@pytest.mark.parametrize(
    ("rates", "flat"),
    [
        ([10, 10], False),  # one step without a gain may be noise
        ([10, 10, 10], True),
        ([10, 10.4, 10.4], True),  # under 5 % counts as none
        ([10, 10.6, 10.6], False),
        ([10, 8, 20], False),  # a dip, then a gain
        ([10, 20, 19, 18], True),  # past the peak
    ],
)
def test_a_plateau_is_two_steps_in_a_row_without_a_gain(rates, flat):
    assert plateau(rates, gain_ratio=0.05) is flat


def test_planned_steps_come_in_order_and_end():
    policy = PlannedSteps(STAIRS, GO_ON)
    assert users_asked(policy, [10] * 9) == [1, 2, 3, 4, 5]
    assert not policy.stopped_early


def test_flat_throughput_ends_a_plan_early():
    policy = PlannedSteps(STAIRS, StopSpec())
    assert users_asked(policy, [10, 10, 10, 10, 10]) == [1, 2, 3]
    assert policy.stopped_early


def test_one_user_more_among_many_ends_no_plan():
    # From 46 users on, two users more are under 5 %.
    stairs = StairsTraffic(type="stairs", users_per_step=1, steps=60, duration_s=600.0)
    policy = PlannedSteps(steps_of(stairs), StopSpec())
    assert users_asked(policy, [10.0 * users for users in range(1, 61)]) == list(range(1, 61))
    assert not policy.stopped_early


def test_enough_invocations_end_a_plan_early():
    policy = PlannedSteps(
        STAIRS, StopSpec(max_invocations_per_min=1200.0, flat_invocations="continue")
    )
    assert users_asked(policy, [10, 20, 30, 40, 50]) == [1, 2]
    assert policy.stopped_early


def test_a_stop_condition_met_by_the_last_step_stopped_nothing():
    policy = PlannedSteps(
        STAIRS, StopSpec(max_invocations_per_min=3000.0, flat_invocations="continue")
    )
    assert users_asked(policy, [10, 20, 30, 40, 50]) == [1, 2, 3, 4, 5]
    assert not policy.stopped_early


def test_a_server_that_answered_nothing_is_not_asked_again():
    for policy in (PlannedSteps(STAIRS, GO_ON), Saturate(60.0)):
        policy.ask()
        policy.tell(figures(0.0, succeeded=0))
        assert policy.ask() is None
        assert not policy.stopped_early


def test_saturation_doubles_users_until_throughput_is_flat():
    policy = Saturate(120.0)
    assert users_asked(policy, [10, 20, 30, 31, 30, 99]) == [1, 2, 4, 8, 16]


def test_saturation_keeps_within_its_budget():
    policy = Saturate(50.0)
    assert users_asked(policy, [10, 20, 40, 80, 160, 320]) == [1, 2, 4, 8, 16]


def test_a_small_budget_is_shared_by_as_many_levels_as_show_a_plateau():
    assert Saturate(8.0).ask().duration_s == 2.0
    policy = Saturate(8.0)
    assert users_asked(policy, [10, 20, 40, 80, 160]) == [1, 2, 4, 8]
    assert plateau([10, 20, 21.5, 20.2], gain_ratio=0.1)


def test_saturation_ends_where_enough_is_reached():
    policy = Saturate(120.0, StopSpec(max_invocations_per_min=1000.0))
    assert users_asked(policy, [10, 20, 40, 80]) == [1, 2]
    assert policy.stopped_early


def test_a_level_that_the_machine_spoilt_is_asked_for_again_but_not_for_ever():
    policy = Saturate(200.0)
    spoilt = replace(figures(10.0), verdict="invalid", doubts=(SPOILT,))
    asked = []
    for told in [figures(10.0), *[spoilt] * 4, figures(40.0)]:
        asked.append(policy.ask())
        policy.tell(told)
    assert [step.users for step in asked] == [1, 2, 2, 2, 4, 4]
    assert [step.index for step in asked] == list(range(6))


def test_the_traffic_decides_the_policy():
    saturate = SaturateTraffic(type="saturate", budget_s=20.0)
    assert isinstance(policy_for(saturate, (), StopSpec(), LimitSpec()), Saturate)
    search = SearchTraffic()
    assert isinstance(policy_for(search, (), StopSpec(), LimitSpec()), Saturate)
    limit = LimitSpec(latency_ms=100.0)
    assert isinstance(policy_for(search, (), StopSpec(), limit), MaximumSearch)
    stairs = StairsTraffic(type="stairs", users_per_step=1, steps=5, duration_s=60.0)
    assert policy_for(stairs, STAIRS, StopSpec(), LimitSpec()).planned == 5
