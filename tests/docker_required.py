"""With RIGHTSIZER_REQUIRE_DOCKER=1, as in CI, a test of Docker that is skipped has failed."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


def is_required() -> bool:
    return os.environ.get("RIGHTSIZER_REQUIRE_DOCKER") == "1"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[pytest.TestReport]:
    """However it came to be skipped: by a fixture, a mark, or as an expected failure."""
    report = yield
    if report.skipped and is_required() and item.get_closest_marker("docker"):
        _fail(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[pytest.CollectReport]:
    """A module skipped as a whole says nothing of its tests: any is too many."""
    report = yield
    if report.skipped and is_required():
        _fail(report)
    return report


def _fail(report: pytest.TestReport | pytest.CollectReport) -> None:
    why = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    vars(report).pop("wasxfail", None)
    report.outcome = "failed"
    report.longrepr = f"RIGHTSIZER_REQUIRE_DOCKER=1 forbids to skip a test of Docker: {why}"
