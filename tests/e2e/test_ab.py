"""Two jobs on real servers of known speeds in turn, by the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.server

JOB = """\
name: {name}
server:
  command: ["{{python}}", "-m", "rightsizer.instrument.truth_server", "{{port}}",
            "--service-ms", "{service_ms}"]
  protocol: raw
  request: {{path: /}}
  ready_path: /
payload: {{archive: body.txt, content_type: text/plain}}
candidates: [{{instance_type: local.1cpu}}]
traffic: {{type: saturate, budget_s: 8}}
"""
SERVICES_MS = {"before": 4, "after": 6}
RATIO = SERVICES_MS["after"] / SERVICES_MS["before"]


def test_a_slower_real_server_is_a_regression_of_the_size_that_its_service_times_have(
    tmp_path: Path, rightsizer
):
    (tmp_path / "body.txt").write_text("hello")
    jobs = []
    for name, service_ms in SERVICES_MS.items():
        jobs.append(tmp_path / f"{name}.yaml")
        jobs[-1].write_text(JOB.format(name=name, service_ms=service_ms))
    store = ("--store", tmp_path / "store")
    done = rightsizer(
        "ab", *jobs, *store, "--fail-on-regression", "10", "--json", "-", timeout_s=400
    )
    assert done.returncode == 8, done.stderr
    found = json.loads(done.stdout)
    assert found["verdict"] == "worse"
    [pair] = found["pairs"]
    low, high = pair["cost_ratio_ci"]
    assert low < pair["cost_ratio"] < high
    assert pair["cost_ratio"] == pytest.approx(RATIO, rel=0.1)
    listed = rightsizer("list", *store).stdout
    assert all(name in listed for name in SERVICES_MS)
