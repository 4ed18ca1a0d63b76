"""Steps of a search that speak of two servers: one slow for a while, and one that was not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rightsizer.analysis.consistency import unsteady_doubts
from rightsizer.analysis.figures import Doubt, Maximum, StepFigures
from rightsizer.analysis.maximum import open_maximum
from rightsizer.spec import LimitSpec
from truth_servers import SERVERS
from virtual_traffic import Case, search

LIMIT = LimitSpec(latency_ms=50.0)
DRIFT = Doubt("no-steady-state", "weakens", "it rose")


@pytest.fixture(scope="module")
def found() -> tuple[Maximum, list[StepFigures]]:
    # Were its last step slow, it would move the maximum by 30 %; not so in every search.
    maximum, steps = search(Case(SERVERS["exponential"], 0.005, LIMIT, seed=2), 60.0)
    assert maximum is not None
    return maximum, steps


def doubts_on(steps: list[StepFigures]) -> list[Doubt]:
    maximum, _ = open_maximum(steps, LIMIT)
    assert maximum is not None
    return unsteady_doubts(steps, maximum, LIMIT)


def slow(step: StepFigures, *doubts: Doubt) -> StepFigures:
    """The step as it would be, were nearly all its requests over the limit."""
    return replace(
        step, over_limit_ratio=0.9, design_effect=20.0, verdict="over-latency", doubts=doubts
    )


def test_steps_of_one_steady_server_agree(found):
    assert unsteady_doubts(found[1], found[0], LIMIT) == []


def test_an_unsteady_step_that_agrees_with_the_others_takes_nothing_from_the_maximum(found):
    steps = list(found[1])
    steps[-2] = replace(steps[-2], doubts=(DRIFT,))
    assert doubts_on(steps) == []


def test_a_maximum_that_an_unsteady_step_decides_does_not_stand(found):
    steps = list(found[1])
    steps[-1] = slow(steps[-1], DRIFT)
    [doubt] = doubts_on(steps)
    assert (doubt.code, doubt.severity) == ("no-steady-state", "blocks")
    assert steps[-1].label in doubt.message


def test_a_step_slower_than_others_at_higher_rates_is_unsteady_though_it_looks_steady(found):
    steps = list(found[1])
    steps[-1] = replace(slow(steps[-1]), rate_per_s=min(s.rate_per_s for s in steps[-4:]) - 5)
    assert [doubt.code for doubt in doubts_on(steps)] == ["no-steady-state"]


def test_where_all_steps_are_unsteady_there_is_no_maximum(found):
    maximum, steps = found
    steps = [replace(step, doubts=(DRIFT,)) for step in steps]
    [doubt] = unsteady_doubts(steps, maximum, LIMIT)
    assert doubt.figures["value"] is None


def test_the_upper_end_of_a_cliff_is_overloaded_by_right(found):
    maximum, steps = found
    steps = [replace(step, doubts=(DRIFT,)) for step in steps]
    assert unsteady_doubts(steps, replace(maximum, kind="bracket"), LIMIT) == []


def test_without_a_maximum_there_is_nothing_to_doubt(found):
    assert unsteady_doubts([slow(step, DRIFT) for step in found[1]], None, LIMIT) == []
