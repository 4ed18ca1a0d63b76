"""A step over its time: slices that hold all of it, and nothing twice."""

from __future__ import annotations

import numpy as np
import pytest
from rightsizer.analysis.history import histories
from rightsizer.samples import DTYPE, Outcome, Samples
from rightsizer.schedule import Level, Step
from rightsizer.traffic.records import StepRecord

S = 1_000_000_000
BEGIN_S = 1000.0


def samples(
    starts_s: list[float], latency_s: list[float], outcomes: list[Outcome], step: int = 0
) -> Samples:
    found = np.zeros(len(starts_s), dtype=DTYPE)
    starts = np.round((np.array(starts_s) + BEGIN_S) * S)
    found["start_ns"] = found["intended_ns"] = starts
    found["end_ns"] = starts + np.round(np.array(latency_s) * S)
    found["outcome"], found["step"] = outcomes, step
    return found


def record(index: int, begin_s: float, end_s: float) -> StepRecord:
    step = Step(index, "closed", end_s - begin_s, (Level(0.0, 1),), cut_s=1.0)
    begin_ns, end_ns = int((BEGIN_S + begin_s) * S), int((BEGIN_S + end_s) * S)
    return StepRecord(step, begin_ns, end_ns, end_ns, 0, True, (), 0.1)


def test_each_slice_has_what_completed_and_the_latency_of_what_started_in_it():
    found = samples([0.1, 0.5, 2.1, 2.6], [0.1, 0.3, 0.2, 0.4], [Outcome.SUCCEEDED] * 4)
    [step] = histories(found, [record(0, 0, 4)], 0.95, 10.0, slices=2)
    assert [m.at_s for m in step.moments] == pytest.approx([1.0, 3.0])
    assert [m.per_s for m in step.moments] == [1.0, 1.0]
    assert [m.latency_ms for m in step.moments] == pytest.approx([300.0, 400.0])
    assert (step.begin_s, step.measured_s, step.end_s) == (0.0, 1.0, 4.0)


def test_failures_have_no_latency_and_what_was_cut_off_counts_at_the_timeout():
    outcomes = [Outcome.STATUS, Outcome.SUCCEEDED, Outcome.TIMED_OUT]
    found = samples([0.1, 0.2, 2.5], [5.0, 0.1, 1.0], outcomes)
    [step] = histories(found, [record(0, 0, 4)], 0.95, 10.0, slices=2)
    assert [m.latency_ms for m in step.moments] == pytest.approx([100.0, 10_000.0])
    assert [m.wrong for m in step.moments] == [1, 1]
    assert [m.per_s for m in step.moments] == [0.5, 0.0]


def test_where_nothing_started_there_is_no_latency():
    found = samples([0.1], [0.1], [Outcome.SUCCEEDED])
    [step] = histories(found, [record(0, 0, 4)], 0.95, 10.0, slices=2)
    assert [m.latency_ms for m in step.moments] == [pytest.approx(100.0), None]


def test_steps_stand_after_one_another_each_with_its_own_samples():
    one = samples([0.1, 1.1], [0.1, 0.1], [Outcome.SUCCEEDED] * 2, step=0)
    two = samples([3.1], [0.2], [Outcome.SUCCEEDED], step=1)
    records = [record(0, 0, 2), record(1, 3, 5)]
    first, second = histories(np.concatenate([one, two]), records, 0.5, 10.0, slices=1)
    assert [first.moments[0].per_s, second.moments[0].per_s] == [1.0, 0.5]
    assert second.begin_s == 3.0
    assert second.moments[0].at_s == 4.0


def test_a_short_step_gets_fewer_slices_and_one_of_no_length_none():
    found = samples([0.1], [0.1], [Outcome.SUCCEEDED])
    assert len(histories(found, [record(0, 0, 2)], 0.95, 10.0, slices=60)[0].moments) == 4
    assert histories(found, [record(0, 0, 0)], 0.95, 10.0, slices=60)[0].moments == ()
    assert histories(found, [], 0.95, 10.0, slices=60) == ()
