"""What makes a step's numbers doubtful by what generator and machine say of themselves."""

from __future__ import annotations

import pytest
from rightsizer.analysis.figures import Doubt, Requests, StepFigures
from rightsizer.analysis.validity import health_doubts, is_void
from rightsizer.traffic.records import Health


def codes(doubts) -> list[tuple[str, str]]:
    return [(doubt.code, doubt.severity) for doubt in doubts]


def test_a_platform_that_tells_nothing_raises_nothing():
    assert health_doubts(Health()) == []


@pytest.mark.parametrize(
    ("health", "found"),
    [
        (Health(run_delay_ratio=0.04), []),
        (Health(run_delay_ratio=0.1), [("generator-starved", "weakens")]),
        (Health(run_delay_ratio=0.4), [("generator-starved", "blocks")]),
        (Health(gc_pause_ratio=0.005), []),
        (Health(gc_pause_ratio=0.015), [("generator-paused", "weakens")]),
        (Health(gc_pause_ratio=0.2), [("generator-paused", "blocks")]),
        (Health(throttled_ratio=0.005), []),
        (Health(throttled_ratio=0.015), [("generator-throttled", "weakens")]),
        (Health(throttled_ratio=0.3), [("generator-throttled", "blocks")]),
        (Health(clock_gap_s=0.001), []),
        (Health(clock_gap_s=2.0), [("clock-gap", "blocks")]),
        (Health(host_steal_ratio=0.01), []),
        (Health(host_steal_ratio=0.04), [("noisy-host", "weakens")]),
        (Health(host_steal_ratio=0.5), [("noisy-host", "blocks")]),
        (Health(lost_workers=1), [("worker-lost", "blocks")]),
    ],
)
def test_what_the_generator_and_its_machine_say_of_themselves(health, found):
    assert codes(health_doubts(health)) == found


@pytest.mark.parametrize(("ratio", "found"), [(0.1, []), (0.9, [("host-pressure", "note")])])
def test_processes_that_wait_for_a_cpu_may_be_the_servers_own_and_are_only_noted(ratio, found):
    assert codes(health_doubts(Health(host_pressure_ratio=ratio))) == found


def test_every_doubt_has_what_was_seen_and_what_is_allowed():
    ailing = Health(
        run_delay_ratio=0.5,
        gc_pause_ratio=0.5,
        throttled_ratio=0.5,
        clock_gap_s=0.5,
        host_steal_ratio=0.5,
        host_pressure_ratio=0.5,
        lost_workers=1,
    )
    for doubt in health_doubts(ailing):
        assert doubt.figures["value"] > doubt.figures["allowed"]
        assert doubt.next_step


def step(*doubts: Doubt) -> StepFigures:
    return StepFigures(
        mode="open",
        label="40/s",
        users=None,
        rate_per_s=40.0,
        achieved_per_s_ci=None,
        p50_ms=None,
        p90_ms=None,
        p95_ms=None,
        p99_ms=None,
        latency_ms=None,
        latency_ms_ci=None,
        cpu_utilization_percent=None,
        memory_utilization_percent=None,
        window_s=1.0,
        n=1,
        achieved_per_s=1.0,
        error_ratio=0.0,
        requests=Requests(),
        by_payload={},
        generator_cpu_ratio=0.1,
        verdict="invalid",
        doubts=doubts,
    )


@pytest.mark.parametrize(
    ("blocking", "void"),
    [
        (["generator-starved"], True),
        (["event-loop-lag", "generator-throttled"], True),
        (["generator-dropped"], True),
        (["worker-lost"], False),
        (["server-away"], False),
        (["noisy-host", "step-cut-short"], False),
        ([], False),
    ],
)
def test_a_step_is_void_when_the_machine_alone_spoilt_it(blocking, void):
    doubts = [Doubt(code, "blocks", "") for code in blocking]
    assert is_void(step(*doubts, Doubt("too-few-samples", "weakens", ""))) is void
