"""Fixtures that several parts of the suite share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.required import pytest_make_collect_report, pytest_runtest_makereport

__all__ = ["pytest_make_collect_report", "pytest_runtest_makereport"]


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in its own
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of tests that run beside others (`--dist loadgroup`), those of a file take turns, for they
    share its servers; all of TensorFlow, for the models; and all of Docker, for they look at
    whatever is in its engine."""
    for item in items:
        marks = [mark for mark in ("docker", "tensorflow") if item.get_closest_marker(mark)]
        group = marks[0] if marks else item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test touches the user's store, nor the machine's leases."""
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    monkeypatch.setenv("RIGHTSIZER_STORE", str(tmp_path / "store"))
