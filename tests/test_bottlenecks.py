"""What runs out first is named where the figures show it, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rightsizer.analysis import doubts
from rightsizer.analysis.figures import Doubt, StepFigures
from rightsizer.bottlenecks import bottleneck_of
from rightsizer.traffic.records import Reach

from .report.jobs import step
from .test_recommendation import figures

PRESSURE = Doubt("host-pressure", "note", "some process waited")
BUSY_GENERATOR = Doubt("generator-busy", "weakens", "it used 80 % of its core")


def level(users: int, per_s: float, cpu: float | None = 97.0, **changes: object) -> StepFigures:
    return replace(step(users, per_s, 100.0), cpu_utilization_percent=cpu, **changes)


def flat(cpu: float | None, **changes: object) -> list[StepFigures]:
    """Two users bring no more than one."""
    return [level(1, 10.0, cpu, **changes), level(2, 10.2, cpu, **changes)]


def code(steps: list[StepFigures], *found: Doubt) -> str | None:
    named = bottleneck_of(figures(doubts=found), steps, 1)
    return None if named is None else named.code


def test_busy_cpus_at_saturation_are_the_bottleneck_though_idle_at_the_maximum():
    named = bottleneck_of(figures(cpu_utilization_percent=55.0), flat(97.0), 1)
    assert named is not None
    assert named.code == "cpu-bound"
    assert named.evidence == "CPUs 97 % busy where more users brought nothing more (2 users)"


def test_idle_cpus_at_saturation_are_a_queue():
    assert code(flat(6.0)) == "queueing"
    # one worker on two CPUs
    assert code(flat(52.0)) == "queueing"


@pytest.mark.parametrize("cpu", [None, 61.0, 75.0, 89.0])
def test_cpus_neither_busy_nor_idle_name_nothing(cpu):
    assert code(flat(cpu)) is None


def test_cpus_that_others_may_have_had_name_no_queue_but_busy_ones_stay_busy():
    assert code(flat(45.0, doubts=(PRESSURE,))) is None
    assert code(flat(95.0, doubts=(PRESSURE,))) == "cpu-bound"


def crowded(one: float, two: float, cpu: float = 99.0, **changes: object) -> list[StepFigures]:
    """So many threads ready to run for one user and for two, which bring no more."""
    first, second = flat(cpu, **changes)
    return [replace(first, runnable_threads=one), replace(second, runnable_threads=two)]


def test_busy_cpus_that_more_threads_want_than_there_are_requests_are_oversubscribed():
    named = bottleneck_of(figures(), crowded(3.12, 3.3), 1)
    assert named is not None
    assert named.code == "oversubscribed"
    assert named.evidence == (
        "CPUs 99 % busy where more users brought nothing more (2 users), and 3.1 threads at once "
        "wanted 1 CPU for 1 user: fewer threads may do as well"
    )
    # four CPUs take four threads
    assert bottleneck_of(figures(), crowded(4.0, 4.2), 4).code == "cpu-bound"
    assert bottleneck_of(figures(), crowded(8.0, 8.1), 4).code == "oversubscribed"


def test_a_thread_for_each_request_is_no_crowd():
    eight = [level(users, 10.0, 99.0, runnable_threads=users - 0.1) for users in (1, 2, 4, 8)]
    assert code(eight) == "cpu-bound"
    assert code(crowded(1.0, 1.4)) == "cpu-bound"
    # a host that does not tell
    assert code(flat(99.0, runnable_threads=None)) == "cpu-bound"


def test_a_crowded_server_is_oversubscribed_though_it_made_the_pressure_itself():
    assert code(crowded(4.0, 4.0, doubts=(PRESSURE,))) == "oversubscribed"


@pytest.mark.parametrize("cpu", [30.0, 75.0])
def test_threads_that_wait_while_others_have_the_cpus_are_not_called_oversubscribed(cpu):
    assert code(crowded(4.0, 4.0, cpu, doubts=(PRESSURE,))) is None


def test_throughput_that_still_grows_names_nothing():
    assert code([level(1, 10.0, 50.0), level(2, 19.0, 97.0)]) is None
    assert code([level(1, 10.0, 5.0)]) is None
    assert code([]) is None


def test_steps_that_were_not_valid_or_whose_generator_was_busy_name_nothing():
    assert code(flat(97.0, verdict="invalid")) is None
    assert code(flat(6.0, doubts=(BUSY_GENERATOR,))) is None


def test_a_search_that_the_generator_ended_names_the_generator():
    assert code(flat(97.0), doubts.generator_ended(100.0)) == "generator"


def test_a_server_that_its_quota_held_up_is_oversubscribed():
    held = Doubt("server-throttled", "weakens", "the server's CPU quota held it up 20 % of it")
    assert code(flat(50.0), held) == "oversubscribed"


def test_busy_accelerators_come_before_the_cpus_that_feed_them():
    assert code(flat(97.0, accelerator_utilization_percent=96.0)) == "accelerator-bound"
    assert code(flat(10.0, accelerator_utilization_percent=60.0)) is None


def test_full_memory_is_named_where_more_workers_would_help():
    assert code(flat(30.0, memory_utilization_percent=95.0)) == "memory"
    assert code(flat(97.0, memory_utilization_percent=95.0)) == "cpu-bound"


def test_a_network_that_is_half_of_the_latency_is_named_and_an_unknown_one_hides_the_rest():
    # the latency at the maximum is 100 ms
    assert code(flat(10.0), doubts.far_host("rack1", Reach(30.0, 25.0), 120.0)) == "network"
    assert code(flat(10.0), doubts.far_host("rack1", Reach(1.0, 2.0), 120.0)) == "queueing"
    assert code(flat(10.0), doubts.far_host("rack1", None, 120.0)) is None
    assert code(flat(97.0), doubts.far_host("rack1", Reach(30.0, 25.0), 120.0)) == "cpu-bound"
