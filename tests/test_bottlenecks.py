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
    named = bottleneck_of(figures(doubts=found), steps)
    return None if named is None else named.code


def test_busy_cpus_at_saturation_are_the_bottleneck_though_idle_at_the_maximum():
    named = bottleneck_of(figures(cpu_utilization_percent=55.0), flat(97.0))
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


def test_busy_cpus_that_two_threads_wanted_at_once_are_oversubscribed():
    crowded = flat(99.0, runnable_threads_per_cpu=4.12)
    named = bottleneck_of(figures(), crowded)
    assert named is not None
    assert named.code == "oversubscribed"
    assert named.evidence == (
        "CPUs 99 % busy and 4.1 threads wanted each at once where more users brought nothing more "
        "(2 users): fewer threads or workers, where they can be set, may do as well"
    )
    assert code(flat(99.0, runnable_threads_per_cpu=1.4)) == "cpu-bound"
    # a host that does not tell
    assert code(flat(99.0, runnable_threads_per_cpu=None)) == "cpu-bound"


def test_a_crowded_server_is_oversubscribed_though_it_made_the_pressure_itself():
    crowded = flat(99.0, runnable_threads_per_cpu=4.0, doubts=(PRESSURE,))
    assert code(crowded) == "oversubscribed"


@pytest.mark.parametrize("cpu", [30.0, 75.0])
def test_threads_that_wait_while_others_have_the_cpus_are_not_called_oversubscribed(cpu):
    assert code(flat(cpu, runnable_threads_per_cpu=4.0, doubts=(PRESSURE,))) is None


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
