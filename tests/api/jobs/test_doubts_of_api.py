"""What the API made otherwise than it was asked: every result says so, wherever it is read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rightsizer.comparisons import compare
from rightsizer.loading import load
from rightsizer.report.table import result_table
from rightsizer.what_ifs import what_if

from tests.api.calls import Api
from tests.api.jobs.made import ask, opened, work_on


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    """Its phases are a tenth as long."""
    with opened(tmp_path) as made:
        made.context = replace(made.context, time_scale=0.1)
        yield made


@pytest.fixture
def store(api: Api, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("short", "again"):
        ask(api, name)
        work_on(api, name, monkeypatch)
    return api.context.store.folder


def test_every_row_of_another_question_bears_them_too(store: Path):
    answer = what_if("short", invocations_per_min=50.0, store=store)
    assert answer.recommendations
    for row in answer.recommendations:
        assert [doubt.code for doubt in row.doubts].count("time-scaled") == 1
    assert "time-scaled" not in {doubt.code for doubt in answer.doubts}


def test_they_are_shown_once(store: Path):
    shown = result_table(load("short", store=store), 200)
    assert shown.count("users joined as much faster") == 1


def test_a_comparison_notes_them_of_either_job(store: Path):
    notes = compare("short", "again", store=store).notes
    said = "phases and the time of Default jobs were 0.1 times"
    assert [note[:15] for note in notes if said in note] == ["A is time-scale", "B is time-scale"]


def test_a_job_without_rows_has_them_itself(api: Api, monkeypatch: pytest.MonkeyPatch):
    limit = {"Percentile": "P95", "ValueInMilliseconds": 10}
    ask(api, "slow", stopping={"ModelLatencyThresholds": [limit]})
    work_on(api, "slow", monkeypatch)
    job = load("slow", store=api.context.store.folder)
    assert not job.recommendations
    assert "time-scaled" in {doubt.code for doubt in job.doubts}
