"""A search on a real server whose queue is known, by the command line."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

pytestmark = pytest.mark.server

JOB = """\
name: truth
server:
  command: ["{python}", "-m", "rightsizer.instrument.truth_server", "{port}", "--service-ms", "10"]
  protocol: raw
  request: {path: /}
  ready_path: /
payload: {archive: body.txt, content_type: text/plain}
candidates: [{instance_type: local.1cpu}]
traffic: {type: search, budget_s: 30}
limit: {percentile: P95, latency_ms: 100}
"""
MAXIMUM_PER_MIN = 60 * (100 - math.log(20) / 0.1)
"""M/M/1: P95 = ln 20 / (mu - lambda)."""


def test_a_search_finds_the_maximum_of_a_real_server(tmp_path: Path, rightsizer):
    (tmp_path / "body.txt").write_text("hello")
    job = tmp_path / "job.yaml"
    job.write_text(JOB)
    done = rightsizer("run", job, "--store", tmp_path / "store", "--json", "-")
    assert done.returncode == 0, done.stderr
    [best] = json.loads(done.stdout)["recommendations"]
    assert best["basis"] == "open"
    assert best["max_kind"] == "estimate"
    low, high = best["max_invocations_per_min_ci"]
    assert low < best["max_invocations_per_min"] < high
    assert best["max_invocations_per_min"] == pytest.approx(MAXIMUM_PER_MIN, rel=0.3)
    assert best["model_latency_ms"] == pytest.approx(100, rel=0.6)
    assert "not-soaked" in {doubt["code"] for doubt in best["doubts"]}
