"""Each check's figures, and what is made of them: pass, weak or fail, and the sentence."""

from __future__ import annotations

import pytest
from rightsizer.calibration.judging import judged, not_run

from .made import caching, ceiling, floor, noise, repeat, stall, truth

GOOD = [ceiling(), floor(), truth(), stall(), caching(), repeat(), noise()]


@pytest.mark.parametrize("figures", GOOD, ids=lambda figures: type(figures).__name__)
def test_a_good_machine_passes(figures):
    check = judged(figures)
    assert check.judgement == "pass"
    assert check.says
    assert check.of
    assert check.name == type(figures).__name__.lower()
    assert check.figures is figures


@pytest.mark.parametrize(
    ("figures", "judgement", "said"),
    [
        (
            ceiling(run_delay_ratio=0.34, generator_cpu_ratio=0.6),
            "weak",
            "at least 30,000/s on 8 connections, 0.033 ms of CPU a request: the generator waited "
            "for a CPU 34 % of the time",
        ),
        (
            ceiling(generator_cpu_ratio=0.6),
            "pass",
            "at least 30,000/s on 8 connections, 0.033 ms of CPU a request: the generator used "
            "60 % of its core, the server was the limit",
        ),
        (ceiling(run_delay_ratio=None), "pass", "30,000/s on 8 connections, 0.033 ms of CPU"),
        (ceiling(failed=3), "fail", "3 requests failed on a server that answers every one"),
        (floor(failed=1), "fail", "1 request failed on a server that answers every one"),
        (floor(slip_p99_ms=9.9), "weak", "slip P99 9.90 ms"),
        (
            floor(run_delay_ratio=0.28),
            "weak",
            "generator 5 % busy, and waiting for a CPU 28 % of the time",
        ),
        (floor(dropped=9), "weak", "generator 5 % busy; 9 arrivals too late to be sent"),
        (floor(run_delay_ratio=None), "pass", "generator 5 % busy"),
        (floor(slip_p99_ms=80.0), "fail", "slip P99 80.0 ms"),
    ],
)
def test_the_generator(figures, judgement, said):
    check = judged(figures)
    assert check.judgement == judgement
    assert said in check.says


@pytest.mark.parametrize(
    ("changes", "judgement", "said"),
    [
        (
            {"found_per_s": 84.0, "found_per_s_ci": (75.0, 95.0)},
            "fail",
            "found 84.0/s (75.0 to 95.0), truth 140/s: off by -40.0 %, outside the interval",
        ),
        # a wide interval that says so itself is no lie
        ({"found_per_s": 84.0, "found_per_s_ci": (60.0, 145.0)}, "weak", "off by -40.0 %, inside"),
        # one interval in twenty misses
        ({"found_per_s": 130.0, "found_per_s_ci": (122.0, 138.0)}, "weak", "outside the interval"),
        ({"found_per_s": 165.0, "found_per_s_ci": (130.0, 180.0)}, "weak", "off by +17.9 %"),
        ({"found_per_s": 142.0, "found_per_s_ci": None}, "weak", "outside the interval"),
        ({"found_per_s": 142.0, "found_per_s_ci": (125.0, None)}, "pass", "inside the interval"),
        ({"max_kind": "at_least", "found_per_s": 90.0}, "weak", "only a lower bound, 90.0/s"),
        # a lower bound above the truth is as wrong as an estimate
        (
            {"max_kind": "at_least", "found_per_s": 200.0, "found_per_s_ci": (200.0, None)},
            "fail",
            "off by +42.9 %",
        ),
        (
            {
                "verdict": "invalid",
                "found_per_s": None,
                "found_per_s_ci": None,
                "why_not": "the hypervisor took 30 % of the machine's CPU time",
            },
            "weak",
            "no maximum (invalid), truth 140/s: the hypervisor took 30 %",
        ),
        # the server keeps the limit: whoever says that it cannot is wrong
        (
            {"verdict": "limit-unmet", "found_per_s": None, "found_per_s_ci": None},
            "fail",
            "no maximum (limit-unmet), truth 140/s",
        ),
    ],
)
def test_a_known_maximum(changes, judgement, said):
    check = judged(truth(**changes))
    assert check.judgement == judgement
    assert said in check.says


@pytest.mark.parametrize(
    ("figures", "judgement", "said"),
    [
        (stall(p99_ms=575.0), "weak", "off by +5.0 %"),
        # what a tool says that leaves out the requests it did not send in the pause
        (stall(p95_ms=15.0), "fail", "P95 15.0 ms (server's record 430 ms)"),
        (caching(cached_many_p50_ms=0.5), "fail", "the cache was not seen: one body 0.5 ms"),
        (caching(plain_many_p50_ms=6.6), "weak", "5.70 ms and 6.60 ms where they are not"),
        (caching(plain_many_p50_ms=9.0), "fail", "5.70 ms and 9.00 ms where they are not"),
        (caching(failed=2), "fail", "2 requests failed"),
        (
            repeat(latency_ms=(12.0, 20.0), latency_ms_ci=((11.0, 13.0), (18.0, 23.0))),
            "fail",
            "P95 12.0 ms (11.0 to 13.0) and 20.0 ms (18.0 to 23.0): 67 % apart",
        ),
        (
            repeat(latency_ms=(12.0, 16.0), latency_ms_ci=((11.0, 13.0), (15.0, 18.0))),
            "weak",
            "33 % apart, outside each other's interval",
        ),
        (repeat(latency_ms_ci=(None, (9.0, 14.0))), "weak", "too few requests for intervals"),
        (repeat(latency_ms_ci=((9.0, None), (9.0, 14.0))), "pass", "9 % apart"),
        (noise(steal_ratio=0.05), "weak", "stolen by the hypervisor 5 %"),
        # noise is told, and never fails
        (noise(steal_ratio=0.9, run_delay_ratio=0.9), "weak", "worst step 90 %"),
        (noise(suspended_s=3.0), "weak", "stolen"),
        (
            noise(steal_ratio=None, pressure_ratio=None, run_delay_ratio=None, suspended_s=None),
            "pass",
            "this platform does not tell",
        ),
    ],
)
def test_the_rest(figures, judgement, said):
    check = judged(figures)
    assert check.judgement == judgement
    assert said in check.says


def test_a_check_that_could_not_be_run_has_failed_and_says_why():
    check = not_run("stall", "a server that pauses", "the server ended: exit code 1")
    assert check.judgement == "fail"
    assert check.figures is None
    assert check.says == "it could not be run: the server ended: exit code 1"
