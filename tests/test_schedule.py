"""Traffic arithmetic: what load a traffic means at every moment."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from rightsizer.errors import InputError
from rightsizer.payloads import payload_sequence
from rightsizer.schedule import (
    Level,
    Step,
    arrivals,
    closed_step,
    group_short,
    steps_of,
    stretches,
    users_at,
)
from rightsizer.spec import (
    PhaseSpec,
    PhasesTraffic,
    RateTraffic,
    SaturateTraffic,
    SearchTraffic,
    StairsTraffic,
    UsersTraffic,
)


def phase(initial_users: int, spawn_rate_per_min: float, duration_s: float) -> PhaseSpec:
    return PhaseSpec(
        initial_users=initial_users,
        spawn_rate_per_min=spawn_rate_per_min,
        duration_s=duration_s,
    )


def phases(*given: PhaseSpec) -> PhasesTraffic:
    return PhasesTraffic(type="phases", phases=given)


def stairs(users_per_step: int, steps: int, duration_s: float) -> StairsTraffic:
    return StairsTraffic(
        type="stairs", users_per_step=users_per_step, steps=steps, duration_s=duration_s
    )


def levels(steps: tuple[Step, ...]) -> list[tuple[float, list[tuple[float, int]]]]:
    return [(s.duration_s, [(x.at_s, x.users) for x in s.levels]) for s in steps]


# -- users at a moment -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("initial", "per_min", "elapsed_s", "users"),
    [
        # the start of a phase: its initial users
        (1, 1, 0, 1),
        # one user a minute: the first joins at 60 s, not before
        (1, 1, 59.999, 1),
        (1, 1, 60, 2),
        (1, 1, 119.9, 2),
        (1, 1, 120, 3),
        # six a minute: one each 10 s
        (2, 6, 35, 5),
        # no spawning: as many as at the start, for ever
        (4, 0, 1e6, 4),
        # a slow spawn rate: one user in four minutes
        (1, 0.25, 239, 1),
        (1, 0.25, 240, 2),
        # 13 a minute: the first comes at 60/13 s although 13 * (60/13) / 60 rounds below 1
        (1, 13, 60 / 13, 2),
        # two a second
        (1, 120, 10.5, 22),
    ],
)
def test_users_are_the_initial_ones_and_those_spawned_since(initial, per_min, elapsed_s, users):
    assert users_at(phase(initial, per_min, 3600), elapsed_s) == users


@pytest.mark.parametrize(
    ("initial", "per_min", "duration_s", "expected"),
    [
        # no spawning: one stretch
        (3, 0, 45, [(45, 3)]),
        # a user a minute for two minutes: the third would come as the phase ends, and does not
        (1, 1, 120, [(60, 1), (60, 2)]),
        # a phase that ends in the middle of a stretch
        (1, 1, 150, [(60, 1), (60, 2), (30, 3)]),
        # a phase shorter than its first spawn
        (2, 1, 30, [(30, 2)]),
        # two a minute
        (1, 2, 75, [(30, 1), (30, 2), (15, 3)]),
    ],
)
def test_a_phase_falls_into_stretches_of_constant_users(initial, per_min, duration_s, expected):
    assert stretches(phase(initial, per_min, duration_s)) == expected


@pytest.mark.parametrize("per_min", [0.7, 1, 7, 13, 60, 90])
def test_stretches_and_users_at_agree_at_every_moment(per_min):
    whole = phase(2, per_min, 200)
    start_s, covered = 0.0, 0.0
    for length_s, users in stretches(whole):
        # a hair inside each end: the ends themselves belong to one side only
        assert users_at(whole, start_s + 1e-6) == users
        assert users_at(whole, start_s + length_s - 1e-6) == users
        start_s += length_s
        covered += length_s
    assert covered == pytest.approx(200, abs=1e-9)


# -- traffic to steps --------------------------------------------------------------------------


def test_every_stretch_of_phases_is_a_step():
    traffic = phases(phase(1, 1, 120), phase(4, 0, 30))
    steps = steps_of(traffic)
    assert levels(steps) == [(60, [(0, 1)]), (60, [(0, 2)]), (30, [(0, 4)])]
    assert [step.index for step in steps] == [0, 1, 2]
    assert [step.label for step in steps] == ["1 user", "2 users", "4 users"]
    assert {step.mode for step in steps} == {"closed"}


def test_a_stairs_step_lasts_its_share_of_the_whole_duration():
    assert levels(steps_of(stairs(2, 3, 360))) == [
        (120, [(0, 2)]),
        (120, [(0, 4)]),
        (120, [(0, 6)]),
    ]


@pytest.mark.parametrize(
    ("traffic", "expected", "labels"),
    [
        # stretches of 6 s: two by two they reach 10 s
        (phases(phase(1, 10, 24)), [(12, [(0, 1), (6, 2)]), (12, [(0, 3), (6, 4)])],
         ["1-2 users", "3-4 users"]),
        # the one left over joins the last group
        (phases(phase(1, 10, 30)), [(12, [(0, 1), (6, 2)]), (18, [(0, 3), (6, 4), (12, 5)])],
         ["1-2 users", "3-5 users"]),
        # exactly 10 s is long enough
        (phases(phase(1, 6, 30)), [(10, [(0, 1)]), (10, [(0, 2)]), (10, [(0, 3)])],
         ["1 user", "2 users", "3 users"]),
        # a short one between long ones has no short neighbour, and stays
        (phases(phase(1, 0, 30), phase(5, 0, 4), phase(2, 0, 30)),
         [(30, [(0, 1)]), (4, [(0, 5)]), (30, [(0, 2)])], ["1 user", "5 users", "2 users"]),
        # short neighbours of different phases merge too, though they do not reach 10 s together
        (phases(phase(8, 0, 4), phase(2, 0, 3), phase(3, 0, 60)),
         [(7, [(0, 8), (4, 2)]), (60, [(0, 3)])], ["2-8 users", "3 users"]),
        # the same users either side of a seam: one level's label
        (phases(phase(2, 0, 6), phase(2, 0, 6)), [(12, [(0, 2), (6, 2)])], ["2 users"]),
        # stairs of 2 s: five reach 10 s
        (stairs(1, 10, 20),
         [(10, [(0, 1), (2, 2), (4, 3), (6, 4), (8, 5)]),
          (10, [(0, 6), (2, 7), (4, 8), (6, 9), (8, 10)])], ["1-5 users", "6-10 users"]),
    ],
)  # fmt: skip
def test_neighbours_planned_shorter_than_10_s_are_merged(traffic, expected, labels):
    steps = steps_of(traffic)
    assert levels(steps) == expected
    assert [step.label for step in steps] == labels
    assert [step.index for step in steps] == list(range(len(steps)))


def test_a_merged_step_counts_the_highest_of_its_users():
    step = Step(0, "closed", 12.0, levels=(Level(0.0, 3), Level(6.0, 4)))
    assert step.users == 4


def test_users_traffic_is_one_closed_step():
    traffic = UsersTraffic(type="users", users=8, duration_s=60)
    assert steps_of(traffic) == (closed_step(0, 8, 60.0),)


def test_rate_traffic_is_one_open_step():
    (step,) = steps_of(RateTraffic(type="rate", per_s=2.5, arrivals="constant", duration_s=60))
    assert (step.mode, step.rate_per_s, step.arrivals) == ("open", 2.5, "constant")
    assert (step.users, step.label, step.duration_s) == (None, "2.5/s", 60)


@pytest.mark.parametrize("traffic", [SaturateTraffic(type="saturate"), SearchTraffic()])
def test_traffic_that_is_decided_as_it_goes_has_no_planned_steps(traffic):
    assert steps_of(traffic) == ()


def test_a_spawn_rate_of_a_thousand_a_second_is_planned_at_once():
    steps = steps_of(phases(phase(1, 60_000, 60)))
    assert len(steps) == 6
    assert steps[-1].users == 60_000
    assert sum(step.duration_s for step in steps) == pytest.approx(60)


# -- merging -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lengths", "short", "groups"),
    [
        # nothing at all
        ("", "", ""),
        # none short: each alone
        ("9 9", "- -", "0 1"),
        # short neighbours, left to right, until there is enough
        ("4 4 4 4 4 4", "s s s s s s", "0-2 3-5"),
        # what is left joins the last group
        ("6 6 1", "s s s", "0-2"),
        # all together are not enough: one group
        ("1 1 1", "s s s", "0-2"),
        # one that is not short parts two runs
        ("6 6 9 6 6", "s s - s s", "0-1 2 3-4"),
        # a lone short one stays alone
        ("9 1 9", "- s -", "0 1 2"),
        ("1", "s", "0"),
        # a short one with enough in itself is a group
        ("12 3 8", "s s s", "0 1-2"),
    ],
)
def test_runs_of_short_neighbours_are_merged_until_they_reach_enough(lengths, short, groups):
    found = group_short(
        [float(x) for x in lengths.split()], [x == "s" for x in short.split()], enough=10
    )
    text = [f"{g.start}" if len(g) == 1 else f"{g.start}-{g.stop - 1}" for g in found]
    assert " ".join(text) == groups


# -- warm-up -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("duration_s", "warmup_s"),
    [
        # a tenth of the step
        (60, 6),
        (30, 3),
        # never more than 10 s
        (360, 10),
        (100, 10),
        # at least a second
        (5, 1),
        # but at most half of the step
        (1, 0.5),
        (2, 1),
    ],
)
def test_warm_up_is_a_tenth_of_the_step_from_1_to_10_s_and_at_most_half(duration_s, warmup_s):
    assert closed_step(0, 1, duration_s).warmup_s == warmup_s


# -- arrivals ----------------------------------------------------------------------------------


def open_step(rate: float, duration_s: float, process: str = "poisson", index: int = 0) -> Step:
    return Step(index, "open", duration_s, rate_per_s=rate, arrivals=process)


@pytest.mark.parametrize(
    ("rate", "duration_s", "instants"),
    [
        # two a second: a quarter of a second in, then each half second
        (2, 2, [0.25, 0.75, 1.25, 1.75]),
        # a step that ends before the first arrival is due
        (1, 0.4, []),
        # an arrival due as the step ends is not its own any more
        (1, 1.5, [0.5]),
        (4, 1.125, [0.125, 0.375, 0.625, 0.875]),
        # slower than one a second
        (0.5, 4, [1.0, 3.0]),
    ],
)
def test_constant_arrivals_stand_equally_far_apart(rate, duration_s, instants):
    assert list(arrivals(open_step(rate, duration_s, "constant"), seed=1)) == instants


@pytest.mark.parametrize(("rate", "duration_s"), [(40, 60), (3, 10), (7.3, 100), (0.1, 30)])
def test_constant_arrivals_come_at_the_rate_whatever_its_rounding(rate, duration_s):
    found = list(arrivals(open_step(rate, duration_s, "constant"), seed=1))
    assert len(found) == round(rate * duration_s)
    assert all(0 < instant < duration_s for instant in found)


def test_poisson_arrivals_are_the_same_for_the_same_seed_and_step():
    first = list(arrivals(open_step(40, 60), seed=7))
    assert first == list(arrivals(open_step(40, 60), seed=7))
    assert first != list(arrivals(open_step(40, 60), seed=8))
    assert first != list(arrivals(open_step(40, 60, index=1), seed=7))


def test_a_longer_step_begins_with_the_shorter_ones_arrivals():
    short, long = (list(arrivals(open_step(40, d), seed=7)) for d in (30, 60))
    assert long[: len(short)] == short
    assert len(long) > len(short)


def test_poisson_arrivals_ascend_within_the_step():
    found = np.array(list(arrivals(open_step(200, 60), seed=3)))
    assert np.all(np.diff(found) > 0)
    assert found[0] > 0
    assert found[-1] < 60
    # the step is full to its end: a gap of 0.1 s has a chance of 2e-9 at 200 a second
    assert found[-1] > 59.9


def test_poisson_arrivals_come_at_the_rate_with_exponential_gaps():
    found = np.array(list(arrivals(open_step(100, 600), seed=11)))
    # 60000 expected, sd 245: three of them
    assert abs(len(found) - 60_000) < 735
    gaps = np.diff(found)
    # an exponential's sd is its mean, and 1/e of the gaps are longer than the mean
    assert np.std(gaps) == pytest.approx(0.01, rel=0.02)
    assert np.mean(gaps > 0.01) == pytest.approx(np.exp(-1), rel=0.02)
    # neighbours know nothing of each other: three sd of 1 / sqrt(n)
    assert abs(np.corrcoef(gaps[:-1], gaps[1:])[0, 1]) < 3 / np.sqrt(len(gaps))


def test_arrivals_know_nothing_of_the_payloads_drawn_with_the_same_seed():
    # From one stream a long gap would bring the same payload each time: correlation 0.29.
    found = []
    for seed in range(200):
        gaps = np.diff(list(arrivals(open_step(40, 5), seed)))[:60]
        drawn = islice(payload_sequence([1.0] * 100, seed, 0), 1, 61)
        found.append(np.corrcoef(gaps, list(drawn))[0, 1])
    # each has an sd of 1 / sqrt(60), their mean one of 0.009
    assert abs(np.mean(found)) < 0.03


@pytest.mark.parametrize("cv", [0.3, 1.0, 3.0])
def test_gamma_arrivals_come_at_the_rate_with_gaps_of_the_given_variation(cv):
    step = Step(0, "open", 2000, rate_per_s=50, arrivals="gamma", cv=cv)
    found = np.array(list(arrivals(step, seed=5)))
    assert (np.diff(found) >= 0).all()
    assert len(found) == pytest.approx(100_000, rel=0.02 * max(1, cv))
    gaps = np.diff(found)
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.03)
    assert found.tolist() == list(arrivals(step, seed=5))
    assert found.tolist() != list(arrivals(step, seed=6))


def test_a_trace_of_instants_is_replayed_as_it_is_as_far_as_the_step_goes():
    traffic = RateTraffic(type="rate", times_s=[0.0, 0.5, 0.5, 2.25], duration_s=2)
    (step,) = steps_of(traffic)
    assert list(arrivals(step, seed=1)) == [0.0, 0.5, 0.5]
    assert (step.arrivals, step.rate_per_s) == ("trace", 1.5)


def test_a_trace_whose_first_arrival_comes_too_late_is_refused():
    traffic = RateTraffic(type="rate", times_s=[5.0, 6.0], duration_s=3)
    with pytest.raises(InputError, match=r"no arrival within 3 s.*raise traffic.duration_s"):
        steps_of(traffic)


def test_a_trace_of_counts_has_each_minute_s_requests_within_it():
    traffic = RateTraffic(type="rate", per_min=[30, 0, 600], duration_s=180)
    (step,) = steps_of(traffic)
    found = np.array(list(arrivals(step, seed=1)))
    assert np.bincount((found // 60).astype(int)).tolist() == [30, 0, 600]
    assert (np.diff(found) >= 0).all()
    assert step.rate_per_s == 3.5
    assert found.tolist() == list(arrivals(step, seed=1)) != list(arrivals(step, seed=2))
