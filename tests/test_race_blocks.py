"""What a race asks for next, on records made by hand: a begun block's rest, and at which levels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from rightsizer.errors import TrialState
from rightsizer.inventory import HostSpec
from rightsizer.plan import FINAL_SHARE, START_S, Plan, PlannedTrial
from rightsizer.racing import Race
from rightsizer.spec import JobSpec
from rightsizer.trials import TrialRecord

from .report.jobs import PLACEMENT, measured, step

BUDGET_S = 60.0
LONG_S = 1e6
EXPECTED_S = START_S + FINAL_SHARE * BUDGET_S
"""Of a final, before any was measured."""


def scouts(count: int) -> list[TrialRecord]:
    """So many candidates that nobody can tell apart."""
    return [measured(number, {"N": str(number)}, 600.0) for number in range(count)]


def race(scouted: Iterable[TrialRecord], most: int, at_once: int = 1) -> Race:
    """Of saturated throughput, among the scouts' candidates."""
    spec = JobSpec.model_validate(
        {
            "name": "race",
            "server": {"url": "http://127.0.0.1:1/", "protocol": "raw"},
            "payload": {"archive": "x"},
            "candidates": [{"instance_type": "local.1cpu"}],
            "traffic": {"type": "saturate", "budget_s": BUDGET_S},
            "limits": {"max_trials": most},
        }
    )
    planned = (PlannedTrial(s.id, s.candidate, HostSpec(name="local"), PLACEMENT) for s in scouted)
    return Race(Plan(tuple(planned), (), (), BUDGET_S, at_once), spec, lambda name: 1.0)


def by_id(*records: TrialRecord) -> dict[str, TrialRecord]:
    return {record.id: record for record in records}


def ended(trial: PlannedTrial, wall_s: float) -> TrialRecord:
    """The final, which saw what the scout of its candidate saw."""
    scout = measured(0, {}, 600.0)
    return replace(
        scout,
        id=trial.id,
        candidate=trial.candidate,
        stage=trial.stage,
        block=trial.block,
        steps=scout.steps[:2],
        wall_s=wall_s,
    )


def blocks(trials: Iterable[PlannedTrial]) -> list[int]:
    return [trial.block for trial in trials]


@pytest.mark.parametrize(("left_s", "more"), [(LONG_S, 2), (39.0, 1), (19.0, 0)])
def test_what_is_left_of_a_begun_block_runs_as_far_as_the_time_allows(left_s, more):
    three = scouts(3)
    racing = race(three, most=40)
    block = racing.next_trials(by_id(*three), LONG_S)
    records = by_id(*three, ended(block[0], wall_s=20.0))
    assert racing.next_trials(records, left_s) == block[1:][:more]


def test_what_is_left_of_begun_blocks_runs_as_far_as_trials_allow():
    three = scouts(3)
    racing = race(three, most=3 + 5, at_once=2)
    # Time seemed to be too short for the third of each block, and then it was not.
    begun = racing.next_trials(by_id(*three), 2 * EXPECTED_S)
    assert blocks(begun) == [1, 1, 2, 2]
    records = by_id(*three, *(ended(trial, wall_s=1.0) for trial in begun))
    [last] = racing.next_trials(records, LONG_S)
    assert last.id not in records
    assert racing.next_trials(records | by_id(ended(last, wall_s=1.0)), LONG_S) == []


def test_a_final_that_was_stopped_runs_again_though_no_new_trial_is_allowed():
    three = scouts(3)
    racing = race(three, most=3 + 3)
    block = racing.next_trials(by_id(*three), LONG_S)
    first, second, third = (ended(trial, wall_s=20.0) for trial in block)
    stopped = replace(second, state=TrialState.STOPPED, steps=())
    assert racing.next_trials(by_id(*three, first, stopped, third), LONG_S) == [block[1]]


def test_finals_of_throughput_run_at_no_level_that_was_over_its_errors():
    """Such a level may answer more, but a final there is over its errors too and tells nothing."""
    failing = step(8, 14.0, 300.0, "over-errors")
    two = [
        replace(s, steps=(step(2, 8.0, 200.0), step(4, 10.0, 210.0), failing)) for s in scouts(2)
    ]
    finals = race(two, most=40).next_trials(by_id(*two), LONG_S)
    assert [trial.steps[-1].users for trial in finals] == [4, 4]
