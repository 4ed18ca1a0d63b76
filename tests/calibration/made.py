"""Figures of a good machine, with what a test changes of them."""

from __future__ import annotations

from rightsizer.calibration.figures import Caching, Ceiling, Floor, Noise, Repeat, Stall, Truth


def ceiling(**changes) -> Ceiling:
    values = {
        "body_bytes": 200,
        "connections": 8,
        "per_s": 30_000.0,
        "cpu_ms_per_request": 0.033,
        "generator_cpu_ratio": 0.99,
        "run_delay_ratio": 0.001,
        "failed": 0,
    }
    return Ceiling(**{**values, **changes})


def floor(**changes) -> Floor:
    values = {
        "body_bytes": 200,
        "rate_per_s": 200.0,
        "n": 500,
        "p50_ms": 0.3,
        "p99_ms": 1.2,
        "slip_p99_ms": 0.4,
        "generator_cpu_ratio": 0.05,
        "run_delay_ratio": 0.001,
        "dropped": 0,
        "failed": 0,
    }
    return Floor(**{**values, **changes})


def truth(**changes) -> Truth:
    values = {
        "law": "exponential",
        "service_ms": 5.0,
        "percentile": "P95",
        "limit_ms": 50.0,
        "budget_s": 18.0,
        "true_per_s": 140.0,
        "verdict": "valid",
        "max_kind": "estimate",
        "found_per_s": 142.0,
        "found_per_s_ci": (125.0, 155.0),
    }
    return Truth(**{**values, **changes})


def stall(**changes) -> Stall:
    values = {
        "rate_per_s": 100.0,
        "pause_ms": 500.0,
        "every_s": 5.0,
        "n": 1000,
        "p95_ms": 431.0,
        "true_p95_ms": 430.5,
        "p99_ms": 548.0,
        "true_p99_ms": 547.5,
        "failed": 0,
    }
    return Stall(**{**values, **changes})


def caching(**changes) -> Caching:
    values = {
        "bodies": 256,
        "cached_one_p50_ms": 0.5,
        "cached_many_p50_ms": 5.7,
        "plain_one_p50_ms": 5.7,
        "plain_many_p50_ms": 5.7,
        "failed": 0,
    }
    return Caching(**{**values, **changes})


def repeat(**changes) -> Repeat:
    values = {
        "rate_per_s": 250.0,
        "percentile": "P95",
        "latency_ms": (12.0, 11.0),
        "latency_ms_ci": ((10.0, 15.0), (9.5, 14.0)),
    }
    return Repeat(**{**values, **changes})


def noise(**changes) -> Noise:
    values = {
        "steal_ratio": 0.001,
        "pressure_ratio": 0.02,
        "run_delay_ratio": 0.01,
        "suspended_s": 0.0,
    }
    return Noise(**{**values, **changes})
