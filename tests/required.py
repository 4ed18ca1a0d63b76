"""With RIGHTSIZER_REQUIRE_DOCKER=1, as in CI, a test of Docker that is skipped has failed.

RIGHTSIZER_REQUIRE_BROWSER=1: the same of tests that look at a page in a browser.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

OUTSIDE = {"docker": "Docker", "browser": "a browser"}
"""By mark, what a test of it needs."""


def variable(mark: str) -> str:
    return f"RIGHTSIZER_REQUIRE_{mark.upper()}"


def required() -> list[str]:
    """The marks whose tests must run."""
    return [mark for mark in OUTSIDE if os.environ.get(variable(mark)) == "1"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[pytest.TestReport]:
    """However it came to be skipped: by a fixture, a mark, or as an expected failure."""
    report = yield
    marks = [mark for mark in required() if item.get_closest_marker(mark)]
    if report.skipped and marks:
        _fail(report, marks[0])
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[pytest.CollectReport]:
    """A module skipped as a whole says nothing of its tests: any is too many."""
    report = yield
    if report.skipped and required():
        _fail(report, required()[0])
    return report


def _fail(report: pytest.TestReport | pytest.CollectReport, mark: str) -> None:
    why = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    vars(report).pop("wasxfail", None)
    report.outcome = "failed"
    report.longrepr = f"{variable(mark)}=1 forbids to skip a test of {OUTSIDE[mark]}: {why}"
