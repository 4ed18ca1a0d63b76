"""Faults planted in a step are found through the whole engine, from the schedule to the verdict."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults import KINDS, Kind
from rightsizer.spec import LimitSpec
from truth_servers import SERVERS
from validity_matrix import Bench, faulty
from virtual_session import Fault
from virtual_traffic import Case


@pytest.mark.parametrize("kind", [k for k in KINDS if k.shows], ids=lambda kind: kind.name)
def test_the_step_that_a_fault_befell_tells_of_it(kind: Kind, tmp_path: Path):
    measured, struck = faulty(Bench(tmp_path), kind, seed=0, lasting=False)
    assert struck
    found = {doubt.code: doubt for step in struck for doubt in step.doubts}
    assert found[kind.code].figures
    assert found[kind.code].next_step
    assert measured.verdict in ("valid", "limit-unmet")


@pytest.mark.parametrize("law", ["exponential", "pause"])
def test_a_clean_measurement_is_valid(law: str, tmp_path: Path):
    case = Case(SERVERS[law], 0.005, LimitSpec(latency_ms=150.0), seed=1)
    measured, _ = Bench(tmp_path).run(case, "search", Fault())
    assert measured.verdict == "valid"
    doubts = [doubt for step in measured.steps for doubt in step.doubts]
    assert {doubt.code for doubt in doubts} <= {"too-few-samples"}


def test_a_machine_that_ails_throughout_leaves_no_maximum(tmp_path: Path):
    kind = next(kind for kind in KINDS if kind.code == "generator-throttled")
    measured, _ = faulty(Bench(tmp_path), kind, seed=0, lasting=True)
    assert measured.verdict == "generator-limited"
    assert measured.max_invocations_per_min is None
