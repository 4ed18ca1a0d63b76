"""Samples of a step to its figures, on samples made by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from rightsizer.analysis.figures import Requests, StepFigures
from rightsizer.analysis.steps import (
    Conditions,
    count,
    error_ratio,
    judge_steps,
)
from rightsizer.analysis.utilisation import cpu_percent, memory_percent, runnable_threads
from rightsizer.analysis.windows import Window, window_of
from rightsizer.hosts.records import Usage
from rightsizer.samples import DTYPE, FAILURES, Outcome, Samples
from rightsizer.schedule import Level, Step, closed_step
from rightsizer.spec import LimitSpec
from rightsizer.traffic.records import StepRecord
from rightsizer.units import NS_PER_MS, NS_PER_S

BASE_S = 5000
"""The monotonic clock does not start at 0; every time below is after this."""
TIMEOUT_S = 2.0


def ns(seconds: npt.ArrayLike) -> npt.NDArray[np.int64]:
    return np.round((np.asarray(seconds, dtype=np.float64) + BASE_S) * NS_PER_S).astype(np.int64)


def made(
    start_s: npt.ArrayLike,
    latency_ms: npt.ArrayLike = 10.0,
    outcome: npt.ArrayLike = Outcome.SUCCEEDED,
    *,
    payload: npt.ArrayLike = 0,
    late_s: float = 0.0,
) -> Samples:
    """Attempts meant to start at these seconds, sent `late_s` later; latency from the intention."""
    intended = np.atleast_1d(ns(start_s))
    samples = np.zeros(len(intended), dtype=DTYPE)
    samples["intended_ns"] = intended
    samples["start_ns"] = intended + int(late_s * NS_PER_S)
    samples["end_ns"] = intended + np.round(np.asarray(latency_ms) * NS_PER_MS).astype(np.int64)
    samples["outcome"] = outcome
    samples["payload"] = payload
    return samples


def record(step: Step, begin_s: float = 0.0, generator: float = 0.1) -> StepRecord:
    end_s = begin_s + step.duration_s
    return StepRecord(
        step=step,
        begin_ns=int(ns(begin_s)),
        end_ns=int(ns(end_s)),
        drained_ns=int(ns(end_s + 1)),
        committed=0,
        complete=True,
        journal=(),
        generator_cpu_ratio=generator,
    )


def conditions(latency_ms: float | None = None, percentile: str = "P95") -> Conditions:
    limit = LimitSpec.model_validate({"latency_ms": latency_ms, "percentile": percentile})
    return Conditions(limit, TIMEOUT_S, ["small.jpg", "large.jpg"], vcpus=2, memory_bytes=1000)


def open_step(duration_s: float = 60.0) -> Step:
    return Step(0, "open", duration_s, rate_per_s=10.0)


def judged(
    samples: Samples,
    *records: StepRecord,
    usage: Sequence[Usage] = (),
    by: Conditions | None = None,
) -> list[StepFigures]:
    records = records or (record(closed_step(0, 1, 60.0)),)
    for one_of_them in records:  # a sample belongs to the step that had begun
        samples["step"][samples["start_ns"] >= one_of_them.begin_ns] = one_of_them.step.index
    return judge_steps(samples, records, usage, by or conditions())


def one(*args: object, **more: object) -> StepFigures:
    (figures,) = judged(*args, **more)  # type: ignore[arg-type]
    return figures


def codes_of(figures: StepFigures) -> list[str]:
    """The doubts but for two: made samples rise evenly, and do not fill the user's time."""
    beside = ("generator-overhead", "no-steady-state")
    return [doubt.code for doubt in figures.doubts if doubt.code not in beside]


# -- the window --------------------------------------------------------------------------------


def test_the_window_is_the_step_without_its_warm_up():
    window = window_of(record(closed_step(0, 1, 60.0)))
    # a tenth of 60 s is cut
    assert (window.begin_ns, window.end_ns) == (int(ns(6)), int(ns(60)))
    assert window.length_s == 54


def test_a_step_cut_short_within_its_warm_up_has_an_empty_window():
    cut = record(closed_step(0, 1, 60.0))
    cut = StepRecord(**{**vars(cut), "end_ns": int(ns(3)), "complete": False})
    assert window_of(cut).length_s == 0
    figures = one(made(np.arange(0, 3, 0.1)), cut)
    assert (figures.n, figures.achieved_per_s, figures.verdict) == (0, 0.0, "invalid")


@pytest.mark.parametrize(
    ("start_s", "inside"),
    [
        # in the warm-up
        (5.999, False),
        # the window's first instant is its own, its end is not
        (6.0, True),
        (59.999, True),
        (60.0, False),
        # drained after the end, but started in time
        (59.5, True),
    ],
)
@pytest.mark.parametrize("mode", ["open", "closed"])
def test_attempts_are_judged_by_when_they_started(mode, start_s, inside):
    step = open_step() if mode == "open" else closed_step(0, 1, 60.0)
    figures = one(made([start_s], 1500.0), record(step))
    assert figures.n == (1 if inside else 0)


def test_an_open_attempt_belongs_to_the_instant_it_was_meant_for():
    # meant for the warm-up and sent in the window; meant for the window and sent after it
    samples = made([5.0, 59.0], 1900.0, late_s=1.5)
    figures = one(samples, record(open_step()))
    assert (figures.n, figures.p50_ms) == (1, 1900.0)


def test_a_closed_attempt_belongs_to_the_instant_it_was_sent():
    # the same two, from a loop: the first counts, from its actual start
    samples = made([5.0, 59.0], 1900.0, late_s=1.5)
    figures = one(samples, record(closed_step(0, 1, 60.0)))
    assert (figures.n, figures.p50_ms) == (1, 400.0)


# -- latency -----------------------------------------------------------------------------------


def test_percentiles_are_nearest_rank_on_the_raw_samples():
    # 1 .. 20 ms in an order of their own: rank 10, 18, 19 and 20
    latency = np.random.default_rng(1).permutation(np.arange(1.0, 21.0))
    figures = one(made(np.linspace(10, 50, 20), latency))
    assert (figures.p50_ms, figures.p90_ms, figures.p95_ms, figures.p99_ms) == (10, 18, 19, 20)


@pytest.mark.parametrize(("percentile", "ms"), [("P50", 50), ("P90", 90), ("P95", 95), ("P99", 99)])
def test_the_latency_is_at_the_limits_percentile(percentile, ms):
    samples = made(np.linspace(10, 50, 100), np.arange(1.0, 101.0))
    assert one(samples, by=conditions(percentile=percentile)).latency_ms == ms


def test_open_latency_counts_from_the_intended_start():
    # sent half a second late: 600 ms for whoever waited, 100 ms on the wire
    figures = one(made(np.linspace(10, 50, 100), 600.0, late_s=0.5), record(open_step()))
    assert figures.p95_ms == 600.0


@pytest.mark.parametrize("outcome", [Outcome.TIMED_OUT, Outcome.UNFINISHED, Outcome.DROPPED])
def test_attempts_without_an_answer_count_at_the_timeout(outcome):
    # 92 answers of 10 ms and 8 without one, whose own clock stopped at 1 ms
    outcomes = np.where(np.arange(100) < 92, Outcome.SUCCEEDED, outcome)
    latency = np.where(np.arange(100) < 92, 10.0, 1.0)
    figures = one(made(np.linspace(10, 50, 100), latency, outcomes), record(open_step()))
    assert (figures.p90_ms, figures.p95_ms, figures.p99_ms) == (10.0, 2000.0, 2000.0)


@pytest.mark.parametrize("outcome", FAILURES)
def test_other_failures_count_only_as_errors(outcome):
    # fast refusals must not make a server look fast, nor slow ones slow
    for failed_ms in (0.1, 1999.0):
        outcomes = np.where(np.arange(100) < 60, Outcome.SUCCEEDED, outcome)
        latency = np.where(np.arange(100) < 60, np.arange(1.0, 101.0), failed_ms)
        figures = one(made(np.linspace(10, 50, 100), latency, outcomes))
        # of the 60 answers of 1 .. 60 ms
        assert (figures.p50_ms, figures.p95_ms, figures.p99_ms) == (30, 57, 60)
        assert (figures.n, figures.error_ratio) == (100, 0.4)


def test_where_every_attempt_failed_there_is_no_latency():
    figures = one(made(np.linspace(10, 50, 100), 1.0, Outcome.STATUS))
    assert (figures.p50_ms, figures.p95_ms, figures.latency_ms) == (None, None, None)
    assert (figures.error_ratio, figures.verdict) == (1.0, "over-errors")
    assert figures.by_payload == {}


# -- throughput --------------------------------------------------------------------------------


def test_throughput_is_the_invocations_completed_in_the_window_over_its_length():
    samples = made(
        # sent in the warm-up, answered in the window: counts here although not in n
        # two in the window, one of them refused; one answered after the end
        [5.5, 20.0, 21.0, 59.5],
        [600.0, 10.0, 10.0, 600.0],
        [Outcome.SUCCEEDED, Outcome.SUCCEEDED, Outcome.STATUS, Outcome.SUCCEEDED],
    )
    figures = one(samples)
    assert figures.n == 3
    assert figures.achieved_per_s == pytest.approx(2 / 54, rel=1e-12)
    assert figures.window_s == 54


@pytest.mark.parametrize(
    ("start_s", "latency_ms", "counted"),
    [
        # answered as the window opens: its own; as it closes: not any more
        (5.0, 1000.0, 1),
        (5.0, 999.0, 0),
        (59.0, 1000.0, 0),
        (59.0, 999.0, 1),
    ],
)
def test_an_invocation_counts_in_the_window_that_its_end_lies_in(start_s, latency_ms, counted):
    assert one(made([start_s], latency_ms)).achieved_per_s == pytest.approx(counted / 54)


@pytest.mark.parametrize("outcome", [o for o in Outcome if o is not Outcome.SUCCEEDED])
def test_only_invocations_make_throughput(outcome):
    assert one(made(np.linspace(10, 50, 100), 10.0, outcome)).achieved_per_s == 0.0


def test_a_steady_loop_has_its_exact_rate_inside_its_interval():
    # one user, 100 ms an answer, without a pause
    figures = one(made(np.arange(0, 60, 0.1), 100.0))
    assert figures.achieved_per_s == pytest.approx(10.0, abs=1 / 54)
    low, high = figures.achieved_per_s_ci
    assert low <= figures.achieved_per_s <= high
    assert high - low < 0.1


def test_a_wavering_loop_has_a_wider_interval_that_holds_its_rate():
    latency = np.random.default_rng(5).exponential(50.0, 2000)
    ends_s = np.cumsum(latency) / 1000
    starts_s = np.concatenate([[0.0], ends_s[:-1]])
    figures = one(made(starts_s, latency))
    low, high = figures.achieved_per_s_ci
    # 20 a second with a standard error of 20 / sqrt(1080) = 0.6
    assert low < figures.achieved_per_s < high
    assert 1.5 < high - low < 5
    assert low < 20 < high


# -- counts and errors -------------------------------------------------------------------------

KINDS = {
    # different numbers of each, so that none can stand in for another
    Outcome.SUCCEEDED: 1,
    Outcome.STATUS: 2,
    Outcome.REJECTED: 4,
    Outcome.CONNECT: 8,
    Outcome.RESET: 16,
    Outcome.PROTOCOL: 32,
    Outcome.TIMED_OUT: 64,
    Outcome.UNFINISHED: 128,
    Outcome.DROPPED: 256,
}


def test_attempts_are_the_succeeded_failed_timed_out_and_unfinished_and_not_the_dropped():
    outcomes = np.repeat(list(KINDS), list(KINDS.values()))
    assert count(made(np.linspace(10, 50, 511), 10.0, outcomes)["outcome"]) == Requests(
        attempted=255, succeeded=1, failed=62, timed_out=64, unfinished=128, dropped=256
    )


def test_no_samples_are_no_requests():
    assert count(made([])["outcome"]) == Requests()


@pytest.mark.parametrize(
    ("requests", "ratio"),
    [
        # nothing went wrong, or nothing was asked
        (Requests(attempted=100, succeeded=100), 0.0),
        (Requests(), 0.0),
        # failed, timed out, dropped: over attempted and dropped
        (Requests(attempted=100, succeeded=97, failed=3), 0.03),
        (Requests(attempted=100, succeeded=97, timed_out=3), 0.03),
        (Requests(attempted=75, succeeded=75, dropped=25), 0.25),
        (Requests(attempted=90, succeeded=80, failed=4, timed_out=6, dropped=10), 0.2),
        # unfinished ones are neither right nor wrong
        (Requests(attempted=100, succeeded=90, unfinished=10), 0.0),
        # all dropped
        (Requests(dropped=10), 1.0),
    ],
)
def test_the_error_ratio_is_failed_timed_out_and_dropped_over_all_arrivals(requests, ratio):
    assert error_ratio(requests) == ratio


def test_a_steps_requests_are_those_of_its_window():
    samples = made([3.0, 10.0, 20.0], 10.0, [Outcome.STATUS, Outcome.TIMED_OUT, Outcome.SUCCEEDED])
    figures = one(samples)
    assert figures.requests == Requests(attempted=2, succeeded=1, timed_out=1)
    assert figures.error_ratio == 0.5


# -- payloads ----------------------------------------------------------------------------------


def test_latency_is_broken_down_by_payload():
    # three small of 10 ms for each large one of 40 .. 64 ms
    index = np.arange(100)
    payload = (index % 4 == 3).astype(int)
    latency = np.where(payload == 1, 40.0 + index // 4, 10.0)
    figures = one(made(np.linspace(10, 50, 100), latency, payload=payload))
    small, large = figures.by_payload["small.jpg"], figures.by_payload["large.jpg"]
    assert (small.n, small.p50_ms, small.p95_ms) == (75, 10.0, 10.0)
    # of 25: ranks 13 and 24
    assert (large.n, large.p50_ms, large.p95_ms) == (25, 52.0, 63.0)
    # the overall P95, rank 95: the five largest of all are above it, and large
    assert figures.latency_ms == 59.0
    assert (small.above_share, large.above_share) == (0.0, 1.0)


def test_a_payloads_share_at_the_percentile_counts_ties():
    # all alike: each payload holds the percentile by its share of the traffic
    payload = (np.arange(100) < 30).astype(int)
    figures = one(made(np.linspace(10, 50, 100), 10.0, payload=payload))
    shares = {name: figures.above_share for name, figures in figures.by_payload.items()}
    assert shares == {"small.jpg": 0.7, "large.jpg": 0.3}


def test_only_payloads_that_were_sent_are_broken_down_and_a_nameless_one_shows_its_number():
    figures = one(made(np.linspace(10, 50, 10), 10.0, payload=[1] * 5 + [7] * 5))
    assert list(figures.by_payload) == ["large.jpg", "7"]


def test_a_failed_attempt_is_in_no_payloads_latency():
    outcomes = [Outcome.SUCCEEDED] * 6 + [Outcome.STATUS] * 4
    figures = one(made(np.linspace(10, 50, 10), 10.0, outcomes))
    assert figures.by_payload["small.jpg"].n == 6


# -- what the server used ----------------------------------------------------------------------


def usage(*readings: tuple[float, float, int]) -> list[Usage]:
    return [Usage(int(ns(t)), cpu, memory) for t, cpu, memory in readings]


def window(begin_s: float, end_s: float) -> Window:
    return Window(int(ns(begin_s)), int(ns(end_s)))


@pytest.mark.parametrize(
    ("readings", "windows", "vcpus", "percent"),
    [
        # 5 s of CPU in 10 s of one CPU
        ([(0, 0.0), (10, 5.0)], [(0, 10)], 1, 50.0),
        # of two
        ([(0, 0.0), (10, 5.0)], [(0, 10)], 2, 25.0),
        # only the window counts: idle before it, busy in it
        ([(0, 0.0), (10, 0.0), (20, 10.0)], [(10, 20)], 1, 100.0),
        # between readings by a straight line: half of the second stretch
        ([(0, 0.0), (10, 0.0), (20, 10.0)], [(5, 15)], 1, 50.0),
        # what lies beyond the readings is not guessed
        ([(10, 0.0), (20, 5.0)], [(0, 40)], 1, 50.0),
        # several windows: over their lengths together, and nothing from between them
        ([(0, 0.0), (10, 5.0), (20, 15.0), (30, 15.0)], [(0, 10), (20, 30)], 1, 25.0),
        # clocks that disagree a little never make more than all
        ([(0, 0.0), (10, 10.2)], [(0, 10)], 1, 100.0),
        # nothing to reckon with
        ([(0, 0.0)], [(0, 10)], 1, None),
        ([], [(0, 10)], 1, None),
        ([(0, 0.0), (10, 5.0)], [(20, 30)], 1, None),
    ],
)
def test_cpu_is_the_share_of_the_instances_cpus_used_in_the_window(
    readings, windows, vcpus, percent
):
    found = cpu_percent(
        usage(*((t, cpu, 0) for t, cpu in readings)), [window(*w) for w in windows], vcpus
    )
    assert found == (None if percent is None else pytest.approx(percent, rel=1e-12))


@pytest.mark.parametrize(
    ("readings", "windows", "percent"),
    [
        # the peak of the window, of 1000 bytes
        ([(0, 100), (10, 400), (20, 300)], [(5, 25)], 40.0),
        # a peak before the window is the start's, not the level's
        ([(0, 900), (5, 900), (10, 400), (20, 300)], [(8, 25)], 40.0),
        # a peak after it is the next level's
        ([(0, 100), (10, 400), (20, 300), (30, 900)], [(5, 20)], 40.0),
        # the reading that closes a window speaks for it, though taken a little after
        ([(0, 100), (5, 200), (15, 700), (20, 100), (25, 300)], [(0, 10), (22, 30)], 70.0),
        # never more than all of it
        ([(0, 100), (10, 1100)], [(0, 20)], 100.0),
        # no reading
        ([], [(0, 10)], None),
    ],
)
def test_memory_is_the_peak_in_the_window(readings, windows, percent):
    found = memory_percent(
        usage(*((t, 0.0, memory) for t, memory in readings)), [window(*w) for w in windows], 1000
    )
    assert found == percent


@pytest.mark.parametrize(
    ("readings", "windows", "threads"),
    [
        # 10 s run and 30 s waited in 10 s of one CPU: four wanted it
        ([(0, 0.0, 0.0), (10, 10.0, 30.0)], [(0, 10)], 4.0),
        # one thread alone, and one beside others: what it waits it does not run
        ([(0, 0.0, 0.0), (10, 10.0, 0.0)], [(0, 10)], 1.0),
        ([(0, 0.0, 0.0), (10, 3.0, 7.0)], [(0, 10)], 1.0),
        # idle
        ([(0, 5.0, 5.0), (10, 5.0, 5.0)], [(0, 10)], 0.0),
        # only the windows count
        ([(0, 0.0, 0.0), (10, 10.0, 90.0), (20, 20.0, 90.0)], [(10, 20)], 1.0),
        # readings that do not tell are passed over; too few that do tell nothing
        ([(0, 0.0, None), (5, 5.0, 5.0), (10, 10.0, 10.0)], [(0, 10)], 2.0),
        ([(0, 0.0, None), (5, 5.0, 5.0), (10, 10.0, None)], [(0, 10)], None),
        ([(0, 0.0, 0.0), (10, 10.0, 30.0)], [(20, 30)], None),
        ([], [(0, 10)], None),
    ],
)
def test_runnable_threads_are_those_that_ran_and_those_that_waited(readings, windows, threads):
    told = [Usage(int(ns(t)), cpu, 0, run_delay_s=waited) for t, cpu, waited in readings]
    found = runnable_threads(told, [window(*w) for w in windows])
    assert found == (None if threads is None else pytest.approx(threads, rel=1e-12))


def test_a_step_reports_cpu_and_memory_over_its_window():
    # warm-up to 6 s: 6 s of CPU; then 27 s of the 108 that two CPUs have in 54 s
    readings = usage((0, 0.0, 100), (6, 6.0, 200), (60, 33.0, 500), (90, 90.0, 900))
    figures = one(made(np.arange(0, 60, 0.1)), usage=readings)
    assert figures.cpu_utilization_percent == pytest.approx(25.0, rel=1e-12)
    assert figures.memory_utilization_percent == 50.0


# -- merging -----------------------------------------------------------------------------------


def stairs(*users: int, each_s: float = 20.0) -> list[StepRecord]:
    """Closed steps one second apart. A 20 s step's window is its last 18 s."""
    return [
        record(closed_step(i, n, each_s), begin_s=i * (each_s + 1)) for i, n in enumerate(users)
    ]


def in_windows(*counts: int, latency_ms: Sequence[float] | float = 10.0) -> Samples:
    """So many attempts in the window of each of the 20 s steps."""
    latencies = [latency_ms] * len(counts) if isinstance(latency_ms, float) else latency_ms
    parts = [
        made(np.linspace(i * 21 + 3, i * 21 + 19, n), latency)
        for i, (n, latency) in enumerate(zip(counts, latencies, strict=True))
    ]
    return np.concatenate(parts)


@pytest.mark.parametrize(
    ("counts", "labels"),
    [
        # 100 samples are enough
        ((100, 100, 100), ["1 user:100", "2 users:100", "3 users:100"]),
        # neighbours of 99 and 60 are one
        ((99, 60, 100), ["1-2 users:159", "3 users:100"]),
        # a lone short one stays
        ((100, 60, 100), ["1 user:100", "2 users:60", "3 users:100"]),
        # left to right, what is left over with the last
        ((60, 60, 60), ["1-3 users:180"]),
        # not enough all together: still one
        ((20, 20, 20), ["1-3 users:60"]),
        ((50, 60, 70, 80), ["1-2 users:110", "3-4 users:150"]),
    ],
)
def test_closed_neighbours_under_100_samples_are_merged_and_labelled_with_the_range(counts, labels):
    records = stairs(*range(1, len(counts) + 1))
    steps = judged(in_windows(*counts), *records)
    assert [f"{step.label}:{step.n}" for step in steps] == labels


def test_a_merged_step_is_judged_on_all_of_its_windows():
    steps = judged(in_windows(60, 60, latency_ms=[10.0, 30.0]), *stairs(1, 2))
    (step,) = steps
    assert (step.p50_ms, step.p95_ms) == (10.0, 30.0)
    assert step.window_s == 36
    # its users are the highest
    assert (step.users, step.mode, step.rate_per_s) == (2, "closed", None)
    assert step.achieved_per_s == pytest.approx(120 / 36, rel=1e-12)
    # no stretch of constant load: no interval
    assert (step.achieved_per_s_ci, step.latency_ms_ci) == (None, None)
    assert step.requests == Requests(attempted=120, succeeded=120)


def test_what_falls_between_the_windows_of_a_merged_step_is_in_neither():
    # in the second step's warm-up
    samples = np.concatenate([in_windows(60, 60), made(np.linspace(21.1, 22.9, 30))])
    (step,) = judged(samples, *stairs(1, 2))
    assert step.n == 120


def test_a_merged_step_is_as_limited_by_its_generator_as_its_worst_part():
    first, second = stairs(1, 2)
    second = StepRecord(**{**vars(second), "generator_cpu_ratio": 0.95})
    (step,) = judged(in_windows(60, 60), first, second)
    assert (step.generator_cpu_ratio, step.verdict) == (0.95, "invalid")


def test_a_step_merged_in_the_plan_keeps_its_range():
    step = Step(0, "closed", 20.0, levels=(Level(0.0, 2), Level(8.0, 3), Level(14.0, 4)))
    figures = one(in_windows(150), record(step))
    assert (figures.label, figures.users, figures.n) == ("2-4 users", 4, 150)
    assert figures.achieved_per_s_ci is None


def test_neighbours_at_the_same_users_keep_their_label():
    (step,) = judged(in_windows(60, 60), *stairs(3, 3))
    assert step.label == "3 users"


def test_open_steps_are_never_merged():
    records = [
        record(Step(i, "open", 20.0, rate_per_s=float(i + 1)), begin_s=i * 21) for i in range(2)
    ]
    steps = judged(in_windows(20, 30), *records)
    assert [(s.label, s.n, s.users, s.rate_per_s) for s in steps] == [
        ("1/s", 20, None, 1.0),
        ("2/s", 30, None, 2.0),
    ]


# -- verdicts and doubts -----------------------------------------------------------------------


def mixed(errors: int, latency_ms: float, generator: float = 0.1) -> tuple[Samples, StepRecord]:
    """200 attempts in the window, so many of them refused."""
    outcomes = np.where(np.arange(200) < errors, Outcome.STATUS, Outcome.SUCCEEDED)
    samples = made(np.linspace(10, 50, 200), latency_ms, outcomes)
    return samples, record(closed_step(0, 1, 60.0), generator=generator)


@pytest.mark.parametrize(
    ("errors", "latency_ms", "generator", "limit_ms", "verdict"),
    [
        # at the limit is within it, both for latency and for errors (1% of 200)
        (0, 100.0, 0.1, 100.0, "within-limits"),
        (2, 100.0, 0.1, 100.0, "within-limits"),
        # over it
        (0, 100.1, 0.1, 100.0, "over-latency"),
        (3, 50.0, 0.1, 100.0, "over-errors"),
        # both: errors first, for they make the latency meaningless
        (3, 500.0, 0.1, 100.0, "over-errors"),
        # no latency limit
        (0, 1900.0, 0.1, None, "within-limits"),
        (3, 50.0, 0.1, None, "over-errors"),
        # a busy generator is doubted, one at its end measures itself
        (0, 50.0, 0.9, 100.0, "within-limits"),
        (0, 50.0, 0.91, 100.0, "invalid"),
        (3, 500.0, 0.91, 100.0, "invalid"),
    ],
)
def test_the_verdict_of_a_step(errors, latency_ms, generator, limit_ms, verdict):
    samples, step = mixed(errors, latency_ms, generator)
    figures = one(samples, step, by=conditions(limit_ms))
    assert figures.verdict == verdict
    assert figures.is_within == (verdict == "within-limits")


def test_a_step_without_samples_is_invalid_and_empty():
    figures = one(made([]), by=conditions(100.0))
    assert (figures.verdict, figures.n, figures.achieved_per_s) == ("invalid", 0, 0.0)
    assert (figures.p50_ms, figures.latency_ms, figures.latency_ms_ci) == (None, None, None)
    assert (figures.requests, figures.error_ratio, figures.by_payload) == (Requests(), 0.0, {})


@pytest.mark.parametrize(
    ("generator", "codes"),
    [
        (0.7, []),
        (0.71, [("generator-busy", "weakens")]),
        (0.9, [("generator-busy", "weakens")]),
        (0.91, [("generator-limited", "blocks")]),
    ],
)
def test_a_busy_generator_is_doubted(generator, codes):
    figures = one(*mixed(0, 10.0, generator))
    busy = [doubt for doubt in figures.doubts if doubt.code != "generator-overhead"]
    assert [(doubt.code, doubt.severity) for doubt in busy] == codes


@pytest.mark.parametrize(
    ("percentile", "needed"), [("P50", 10), ("P90", 50), ("P95", 100), ("P99", 500)]
)
def test_five_samples_must_lie_beyond_the_percentile(percentile, needed):
    for n, expected in ((needed - 1, ["too-few-samples"]), (needed, [])):
        figures = one(made(np.linspace(10, 50, n)), by=conditions(percentile=percentile))
        assert codes_of(figures) == expected
        if expected:
            assert figures.doubts[-1].figures == {"n": n, "needed": needed}


# -- intervals ---------------------------------------------------------------------------------


def test_independent_latencies_have_an_interval_that_holds_the_percentile():
    latency = np.random.default_rng(2).uniform(10.0, 20.0, 5400)
    figures = one(made(np.arange(6, 60, 0.01), latency))
    low, high = figures.latency_ms_ci
    # the P95 of 10 .. 20 is 19.5; its standard error 0.03
    assert low < 19.5 < high
    assert low < figures.latency_ms < high
    assert high - low < 0.3


def test_a_window_of_few_samples_has_no_interval():
    assert one(made(np.linspace(10, 50, 200))).latency_ms_ci is None
