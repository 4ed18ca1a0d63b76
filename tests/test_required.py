"""In CI a test of Docker, or in a browser, runs, whatever would skip it elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.hosts import images

VARIABLES = ("RIGHTSIZER_REQUIRE_DOCKER", "RIGHTSIZER_REQUIRE_BROWSER")
MARKED = "import pytest\npytestmark = pytest.mark.docker\n"
WAYS = {
    "a fixture": MARKED
    + "@pytest.fixture\ndef client():\n    pytest.skip('no engine')\ndef test_it(client): pass",
    "its body": MARKED + "def test_it():\n    pytest.skip('no engine')",
    "a mark": MARKED + "@pytest.mark.skip(reason='no engine')\ndef test_it(): pass",
    "a condition": MARKED + "@pytest.mark.skipif(True, reason='no engine')\ndef test_it(): pass",
    "a missing package": MARKED
    + "def test_it():\n    pytest.importorskip('no_such_package', reason='no engine')",
    "an expected failure": MARKED + "@pytest.mark.xfail(reason='no engine')\n"
    "def test_it():\n    raise AssertionError",
}


def pytest_on(
    folder: Path, tests: Mapping[str, str], *, required: bool
) -> subprocess.CompletedProcess[str]:
    for number, test in enumerate(tests.values()):
        (folder / f"test_{number}.py").write_text(test)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n docker\n browser\n")
    options = ["-q", "-rs", "-p", "no:cacheprovider", "-p", "tests.required"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(folder)],
        env={**os.environ, **dict.fromkeys(VARIABLES, "1" if required else "")},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_skip_by_any_way_fails_the_run_where_docker_is_required(tmp_path):
    done = pytest_on(tmp_path, WAYS, required=True)
    assert done.returncode == 1, done.stdout
    assert done.stdout.count("forbids to skip a test of Docker") == len(WAYS)


def test_a_module_that_is_skipped_fails_the_run_where_docker_is_required(tmp_path):
    module = "import pytest\npytest.skip('no engine', allow_module_level=True)"
    done = pytest_on(tmp_path, {"": module}, required=True)
    assert done.returncode != 0
    assert "forbids to skip a test of Docker: Skipped: no engine" in done.stdout


def test_a_test_in_a_browser_is_required_as_well(tmp_path):
    tests = {"": WAYS["its body"].replace("mark.docker", "mark.browser")}
    done = pytest_on(tmp_path, tests, required=True)
    assert done.returncode == 1
    assert "RIGHTSIZER_REQUIRE_BROWSER=1 forbids to skip a test of a browser" in done.stdout


def test_elsewhere_it_is_skipped_with_the_reason(tmp_path):
    done = pytest_on(tmp_path, WAYS, required=False)
    assert done.returncode == 0
    assert done.stdout.count("no engine") == len(WAYS) - 1  # the expected failure did fail


def test_a_test_of_something_else_may_be_skipped(tmp_path):
    test = "import pytest\ndef test_it():\n    pytest.skip('no such terminal')"
    assert pytest_on(tmp_path, {"": test}, required=True).returncode == 0


def test_without_an_engine_the_reason_names_its_address(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    why = images.why_no_engine.__wrapped__()
    assert (
        why == f"no Docker engine answers at unix://{tmp_path}/none.sock: No such file or directory"
    )
