"""`rightsizer selftest` with its real servers, to its end and ended from outside."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from .conftest import command, wait_until_none

pytestmark = pytest.mark.server


def test_the_quick_one_measures_this_machine(rightsizer, tmp_path):
    done = rightsizer("selftest", "--quick", "--json", "-")
    document = json.loads(done.stdout)
    assert document["schema"] == "rightsizer/selftest/1"
    assert document["stopped"] is False
    assert done.returncode == (6 if document["judgement"] == "fail" else 0)
    found: dict[str, list[dict]] = {}
    for check in document["checks"]:
        assert check["judgement"] in ("pass", "weak", "fail")
        assert check["says"]
        found.setdefault(check["name"], []).append(check["figures"])
    assert list(found) == ["ceiling", "floor", "truth", "stall", "caching", "noise"]
    # what no noise changes: answers come, a pause is seen, so is a cache
    assert all(figures["per_s"] > 100 for figures in found["ceiling"])
    assert all(figures["failed"] == 0 for figures in (*found["ceiling"], *found["floor"]))
    assert [figures["body_bytes"] for figures in found["ceiling"]] == [200, 250_000]
    [stall] = found["stall"]
    assert stall["p99_ms"] > 0.5 * stall["pause_ms"]
    assert stall["p99_ms"] == pytest.approx(stall["true_p99_ms"], rel=0.2)
    [caching] = found["caching"]
    assert caching["cached_ratio"] > 2
    [truth] = found["truth"]
    assert truth["true_per_s"] == pytest.approx(140.1, rel=0.01)
    assert {"rates", "latencies", "maxima"} <= {claim["about"] for claim in document["claims"]}
    assert list(Path(document["samples"]).rglob("samples-0.bin"))
    assert "1/5  ceiling and floor: small bodies" in done.stderr
    assert wait_until_none(tmp_path / "store", 2.0) == []


@pytest.mark.shared_cpus
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_a_signal_ends_it_and_leaves_nothing_running(tmp_path, number, code):
    process = subprocess.Popen(
        [*command(), "selftest", "--quick", "--json", "-"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr is not None
        for line in process.stderr:
            if re.search("(pass|weak|fail)  ceiling", line):
                break
        # in the middle of the next server's traffic
        os.kill(process.pid, number)
        out, _ = process.communicate(timeout=30)
    assert process.returncode == code
    if number != signal.SIGKILL:
        document = json.loads(out)
        assert document["stopped"] is True
        assert document["checks"][0]["name"] == "ceiling"
    assert wait_until_none(tmp_path / "store", 10.0) == []
