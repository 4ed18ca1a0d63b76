"""The main job on the real thing: ResNet50, real JPEGs, the server of the repository."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import wait_until_none

pytestmark = [pytest.mark.server, pytest.mark.tensorflow]

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "build" / "resnet50" / "model.tar.gz"
IMAGES = ROOT / "payloads" / "images.tar.gz"


@pytest.fixture(scope="module")
def built() -> None:
    """What `make test` has made before; else made now."""
    if not MODEL.exists():
        export = ROOT / "containers" / "resnet50" / "export.py"
        arguments = ["--out", str(MODEL.parent), "--weights", "random"]
        subprocess.run([sys.executable, str(export), *arguments], check=True)
    if not IMAGES.exists():
        maker = ROOT / "payloads" / "make_images.py"
        subprocess.run([sys.executable, str(maker), "--out", str(IMAGES)], check=True)


@pytest.mark.usefixtures("built")
def test_the_demos_job_measures_resnet50_and_recommends(tmp_path: Path, rightsizer):
    text = (ROOT / "containers" / "demo.yaml").read_text()
    for old, new in (
        ("../", f"{ROOT}/"),
        ("savedmodel-server/", f"{ROOT}/containers/savedmodel-server/"),
        ("demo-prices.csv", f"{ROOT}/containers/demo-prices.csv"),
        ('OMP_NUM_THREADS: ["1", "2"], TF_ENABLE_ONEDNN_OPTS: ["0", "1"]', "OMP_NUM_THREADS: 4"),
        ("limit: {percentile: P95, latency_ms: 500}\n", ""),
        # Closed steps: how long a search takes to say anything depends on the machine.
        ("type: search, budget_s: 60", "type: saturate, budget_s: 24"),
    ):
        assert old in text
        text = text.replace(old, new)
    job = tmp_path / "demo.yaml"
    job.write_text(text)
    done = rightsizer("run", job, "--json", tmp_path / "out.json", timeout_s=240)
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "out.json").read_text())
    [row] = document["recommendations"]
    assert row["basis"] == "closed"
    assert row["provenance"] == "native"
    assert 30 < row["max_invocations_per_min"] < 6000
    assert row["model_latency_ms"] > row["curve"][0]["p50_ms"] > 10
    assert row["cpu_utilization_percent"] > 70
    # TensorFlow starts as many threads as it is told, on its one CPU.
    assert row["bottleneck"]["code"] == "oversubscribed"
    assert "threads at once wanted 1 CPU" in row["bottleneck"]["evidence"]
    assert 0 < row["memory_utilization_percent"] < 100
    assert row["price_per_hour_usd"] > 0
    assert row["fleet"]["instance_count"] >= 1
    [trial] = document["trials"]
    requests = trial["requests"]
    assert requests["succeeded"] == requests["attempted"] > 30
    assert set(trial["steps"][0]["by_payload"]) == {
        "1600x1200.jpg",
        "1920x1280.jpg",
        "2400x1600.jpg",
        "4000x3000.jpg",
    }
    assert "a month" in done.stdout.splitlines()[-1]
    assert wait_until_none(tmp_path, 5.0) == []
