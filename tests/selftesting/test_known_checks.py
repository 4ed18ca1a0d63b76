"""The server's own record beside the schedule: what it makes of the latency."""

from __future__ import annotations

import numpy as np
import pytest
from rightsizer.samples import DTYPE
from rightsizer.schedule import Step, arrivals
from rightsizer.selftesting.bench import SEED, Driven
from rightsizer.selftesting.known_checks import _true_latency_ms
from rightsizer.traffic.records import StepRecord

BEGIN_NS = 5_000_000_000


def test_true_latency_is_from_the_schedules_instant_to_the_servers_answer():
    step = Step(3, "open", 2.0, rate_per_s=50.0)
    record = StepRecord(step, BEGIN_NS, BEGIN_NS + 2 * 10**9, 0, 0, True, (), 0.1)
    driven = Driven(record, np.empty(0, dtype=DTYPE))
    instants_ns = [BEGIN_NS + int(at_s * 1e9) for at_s in arrivals(step, SEED)]
    # ids count the arrivals from 1, below the step's number; the log is in the order of answers
    rows = [(at, at + 7_000_000 * (i + 1), (3 << 40) + i + 1) for i, at in enumerate(instants_ns)]
    recorded = np.array(rows[::-1], dtype=np.int64)
    expected_ms = [7.0 * (i + 1) for i in range(len(rows))][::-1]
    assert _true_latency_ms(driven, recorded) == pytest.approx(expected_ms, abs=1e-3)
