"""The search for the maximum, on servers in virtual time that are known exactly."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rightsizer.analysis.figures import Doubt, StepFigures
from rightsizer.analysis.maximum import open_maximum
from rightsizer.search_maximum import MaximumSearch
from rightsizer.spec import LimitSpec, SearchTraffic

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from truth_servers import SERVERS, Queue, fixed
from virtual_traffic import Case, search

# M/M/1 of 5 ms meets P95 = ln 20 / (mu - lambda) = 50 ms at 140.1 a second.
EXPONENTIAL = Case(SERVERS["exponential"], 0.005, LimitSpec(latency_ms=50.0), seed=1)
TRUTH_PER_S = 140.1


NOISY = Doubt("noisy-host", "blocks", "the hypervisor took 30 % of the machine's CPU time")


def spoilt(step: StepFigures) -> StepFigures:
    return replace(step, verdict="invalid", doubts=(NOISY,))


@pytest.fixture(scope="module")
def found():
    return search(EXPONENTIAL, 60.0)


def test_it_begins_with_one_user_and_doubles_until_throughput_is_flat(found):
    _, steps = found
    users = [step.users for step in steps if step.mode == "closed"]
    assert users == [2**k for k in range(len(users))]
    assert len(users) < 6


def test_the_estimate_is_near_the_truth_and_its_interval_holds_it(found):
    maximum, _ = found
    assert maximum.kind == "estimate"
    assert maximum.rate_per_s == pytest.approx(TRUTH_PER_S, rel=0.1)
    assert maximum.ci_per_s[0] < TRUTH_PER_S < maximum.ci_per_s[1]


def test_the_last_step_is_a_fresh_one_at_the_estimate(found):
    maximum, steps = found
    assert maximum.at is steps[-1]
    assert steps[-1].rate_per_s == pytest.approx(maximum.rate_per_s, rel=0.1)


def test_the_budget_is_used_and_not_exceeded(found):
    _, steps = found
    driven_s = sum(step.window_s for step in steps)
    assert 45.0 < driven_s <= 60.0


@pytest.mark.parametrize("speed", [0.0002, 0.005, 0.5])
def test_servers_of_any_speed_are_found(speed):
    case = replace(EXPONENTIAL, service_s=speed, limit=LimitSpec(latency_ms=10_000 * speed))
    maximum, _ = search(case, max(10.0, 12_000 * speed))
    assert maximum.rate_per_s == pytest.approx(TRUTH_PER_S * 0.005 / speed, rel=0.2)


def test_a_confirmation_of_given_length_is_kept():
    policy_traffic = SearchTraffic(budget_s=60.0, confirm_s=40.0)
    _, steps = search(EXPONENTIAL, 60.0, policy_traffic)
    assert steps[-1].window_s > 35.0


def test_a_limit_below_the_unloaded_latency_ends_the_search_at_once():
    case = replace(EXPONENTIAL, limit=LimitSpec(latency_ms=5.0))
    maximum, steps = search(case, 60.0)
    assert maximum is None
    assert [step.users for step in steps] == [1]


def test_a_limit_near_the_unloaded_latency_is_still_searched():
    case = Case(Queue(fixed), 0.005, LimitSpec(latency_ms=5.5), seed=1)
    maximum, _ = search(case, 60.0)
    assert 0 < maximum.rate_per_s < 40


@pytest.mark.parametrize("seed", [5, 7])
def test_where_one_user_met_long_latencies_by_chance_the_interval_holds_the_truth(seed: int):
    # 2.3 % of what does not wait is over the limit; of one user's few requests more than 5 % were.
    limit = LimitSpec(percentile="P95", latency_ms=376.1)
    maximum, steps = search(Case(SERVERS["four servers"], 0.1, limit, seed), 60.0)
    alone = steps[0].unloaded_ms
    assert sum(latency > 376.1 for latency in alone) > 0.05 * len(alone)
    low, high = maximum.ci_per_s
    assert low < 28.0 < high < 2.5 * low


def test_a_budget_too_short_for_a_claim_says_what_would_do():
    case = replace(EXPONENTIAL, service_s=0.2, limit=LimitSpec(latency_ms=2000.0))
    maximum, steps = search(case, 10.0)
    _, doubts = open_maximum(steps, case.limit)
    assert maximum is None
    [doubt] = doubts
    assert doubt.code == "budget-too-short"
    assert doubt.figures["wanted_s"] > 10.0


def test_a_server_that_answers_nothing_is_not_asked_again():
    policy = MaximumSearch(SearchTraffic(), LimitSpec(latency_ms=50.0))
    _, steps = search(EXPONENTIAL, 60.0)
    policy.ask()
    silent = replace(steps[0].requests, succeeded=0)
    policy.tell(replace(steps[0], requests=silent))
    assert policy.ask() is None


def test_the_same_seed_gives_the_same_answer(found):
    again, _ = search(EXPONENTIAL, 60.0)
    assert again.rate_per_s == found[0].rate_per_s


def test_a_step_that_the_machine_spoilt_is_repeated_within_the_budget(found):
    """Every second step is spoilt: each is asked for again at once, with a schedule of its own."""
    _, steps = found
    policy = MaximumSearch(SearchTraffic(budget_s=60.0), EXPONENTIAL.limit)
    one = policy.ask()
    policy.tell(spoilt(steps[0]))
    again = policy.ask()
    policy.tell(steps[0])
    after = policy.ask()
    assert (again.users, again.duration_s) == (one.users, one.duration_s)
    assert again.index == one.index + 1
    assert after.users == 2


def test_what_was_cut_off_as_warm_up_is_spent(found):
    _, steps = found
    lengths = []
    for cut_s in (0.0, 2.0):
        policy = MaximumSearch(SearchTraffic(budget_s=60.0), EXPONENTIAL.limit)
        for step in steps[:3]:
            policy.ask()
            policy.tell(step)
        asked = policy.ask()
        driven_s = asked.duration_s - asked.warmup_s
        policy.tell(replace(steps[3], window_s=driven_s - cut_s, warm_up_cut_s=cut_s))
        lengths.append(policy.ask().duration_s)
    assert lengths[0] == pytest.approx(lengths[1])


def test_a_machine_that_spoils_every_step_does_not_hold_the_search_for_ever(found):
    _, steps = found
    policy = MaximumSearch(SearchTraffic(budget_s=60.0), EXPONENTIAL.limit)
    driven_s = 0.0
    while (step := policy.ask()) is not None:
        policy.tell(replace(spoilt(steps[0]), window_s=step.duration_s))
        driven_s += step.duration_s
    assert driven_s <= 60.0


def test_what_the_machine_spoilt_counts_for_nothing(found):
    maximum, steps = found
    worse = replace(spoilt(steps[0]), achieved_per_s=1.0, unloaded_ms=(900.0,))
    over = replace(spoilt(steps[-1]), over_limit_ratio=1.0)
    again, _ = open_maximum([worse, *steps[:-1], over, steps[-1]], EXPONENTIAL.limit)
    assert again.rate_per_s == maximum.rate_per_s


def test_an_estimate_whose_fresh_step_was_spoilt_says_so(found):
    _, steps = found
    maximum, doubts = open_maximum([*steps, spoilt(steps[-1])], EXPONENTIAL.limit)
    assert maximum.kind == "estimate"
    assert "not-confirmed" in {doubt.code for doubt in doubts}


@pytest.mark.parametrize("ceiling_per_s", [60.0, 110.0])
def test_beyond_the_generator_it_turns_back_and_claims_what_was_held(ceiling_per_s):
    case = replace(EXPONENTIAL, generator_per_s=ceiling_per_s)
    maximum, steps = search(case, 60.0)
    assert maximum.kind == "at_least"
    assert 0.5 * ceiling_per_s < maximum.rate_per_s < ceiling_per_s < TRUTH_PER_S
    assert maximum.ci_per_s == (maximum.rate_per_s, None)
    assert maximum.at.verdict == "within-limits"
    _, doubts = open_maximum(steps, case.limit)
    [beyond] = [doubt for doubt in doubts if doubt.code == "generator-limited"]
    assert beyond.severity == "weakens"
    assert beyond.figures["rate_per_s"] > 0.85 * ceiling_per_s


def test_a_generator_that_is_fast_enough_leaves_the_search_alone(found):
    maximum, _ = search(replace(EXPONENTIAL, generator_per_s=1000.0), 60.0)
    assert maximum.rate_per_s == found[0].rate_per_s
