"""What a Docker host costs over the process host: ResNet50 on `local.1cpu`, in paired jobs.

    python benchmarks/docker_overhead.py [--rounds 5] [--duration-s 20] [--image NAME] [--json]

Each round measures the same model under the same schedule on both hosts, in turns. Two figures: the
throughput in the container (at least 0.9 of the process's), and the time that a trial takes beside
the server's start, traffic and drain (at most 3 s, of each host). The exit status is 1 where one is
missed. The image is that of containers/savedmodel-server, with this machine's release of
TensorFlow; the engine is DOCKER_HOST's. Six minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import rightsizer
from rightsizer import events

ROOT = Path(__file__).parents[1]
SERVER = ROOT / "containers" / "savedmodel-server" / "serve.py"
MODEL = ROOT / "build" / "resnet50" / "model.tar.gz"
IMAGES = ROOT / "payloads" / "images.tar.gz"

LEAST_THROUGHPUT_RATIO = 0.9
MOST_ENGINE_S = 3.0
KINDS = ("process", "docker")

Figures = dict[str, Any]


def main() -> int:
    """Measure, print, compare with the limits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="%(default)s")
    parser.add_argument("--duration-s", type=float, default=20.0, help="%(default)s")
    parser.add_argument("--image", default="rightsizer/savedmodel-server:cpu", help="%(default)s")
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    options = parser.parse_args()
    if not MODEL.is_file() or not IMAGES.is_file():
        todo = "`make build/resnet50/model.tar.gz payloads/images.tar.gz`"
        print(f"docker_overhead.py: needs {todo}", file=sys.stderr)
        return 2
    try:
        rows = paired(options)
    except rightsizer.RightsizerError as error:
        print(error, file=sys.stderr)
        return 2
    figures = summary(rows)
    print(json.dumps(figures, indent=2) if options.json else as_text(figures))
    return 0 if figures["within_limits"] else 1


def paired(options: argparse.Namespace) -> list[dict[str, Figures]]:
    """Both hosts' figures by round; each goes first in every other: what drifts meets both."""
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["RIGHTSIZER_STORE"] = scratch
        for seed in range(options.rounds):
            turns = KINDS if seed % 2 else KINDS[::-1]
            row = {kind: measured(job_file(Path(scratch), kind, options, seed)) for kind in turns}
            rows.append(row)
            if not options.json:
                print(row, flush=True)
    return rows


def job_file(folder: Path, kind: str, options: argparse.Namespace, seed: int) -> Path:
    """Two users, so that the next request is there when one ends."""
    (folder / f"{kind}.yaml").write_text(json.dumps({"hosts": [{"name": kind, "kind": kind}]}))
    words = ["{python}", str(SERVER), "--port", "{port}", "--model-dir", "{model_dir}"]
    job = {
        "name": f"overhead-{kind}",
        "model": {"name": "resnet50", "archive": str(MODEL)},
        "server": {
            **({"command": words} if kind == "process" else {"image": options.image}),
            "protocol": "sagemaker",
            "environment": {"TF_CPP_MIN_LOG_LEVEL": "2"},
        },
        "payload": {"archive": str(IMAGES), "content_type": "application/x-image", "seed": seed},
        "candidates": [{"instance_type": "local.1cpu"}],
        "traffic": {"type": "users", "users": 2, "duration_s": options.duration_s},
        "hosts": f"{kind}.yaml",
    }
    path = folder / f"job-{kind}.json"
    path.write_text(json.dumps(job))
    return path


def measured(job: Path) -> Figures:
    """Throughput of one trial, and what its time went into."""
    seen: list[tuple[float, events.Event]] = []
    done = rightsizer.run(job, on_event=lambda event: seen.append((time.monotonic(), event)))
    [trial] = done.trials
    if trial.measurement is None or trial.measurement.ready_s is None:
        raise RuntimeError(f"{trial.reason}: {trial.detail}\n{trial.log_tail}")
    began_s, ended_s = at(seen, events.StepStarted), at(seen, events.StepEnded)
    [step] = [event.figures for _, event in seen if isinstance(event, events.StepEnded)]
    wall_s = at(seen, events.TrialEnded) - at(seen, events.TrialStarted)
    probes_s = sum(trial.measurement.probe_latency_ms.values()) / 1e3
    return {
        "per_s": step.achieved_per_s,
        # Of the one CPU; what else runs on the machine hardly changes it.
        "cpu_ms": 10 * float(step.cpu_utilization_percent or 0.0) / step.achieved_per_s,
        "errors": step.error_ratio,
        "ready_s": trial.measurement.ready_s,
        "traffic_s": ended_s - began_s + probes_s,
        "engine_s": wall_s - trial.measurement.ready_s - (ended_s - began_s) - probes_s,
    }


def at(seen: list[tuple[float, events.Event]], kind: type[events.Event]) -> float:
    """When an event of that kind came."""
    return next(at_s for at_s, event in seen if isinstance(event, kind))


def summary(rows: list[dict[str, Figures]]) -> Figures:
    """Medians over the rounds; throughput as the ratio within each."""
    ratios = [row["docker"]["per_s"] / row["process"]["per_s"] for row in rows]
    ratio = statistics.median(ratios)
    hosts = {
        kind: {
            name: round(statistics.median(row[kind][name] for row in rows), 3)
            for name in rows[0][kind]
        }
        for kind in KINDS
    }
    quick = all(hosts[kind]["engine_s"] <= MOST_ENGINE_S for kind in KINDS)
    return {
        "throughput_ratio": round(ratio, 4),
        "throughput_ratio_by_round": [round(value, 3) for value in ratios],
        "cpu_ratio": round(hosts["docker"]["cpu_ms"] / hosts["process"]["cpu_ms"], 4),
        **hosts,
        "within_limits": ratio >= LEAST_THROUGHPUT_RATIO and quick,
    }


def as_text(figures: Figures) -> str:
    """Both figures and their limits, a line each."""
    process, docker = (figures[kind] for kind in KINDS)
    return (
        f"ResNet50 on local.1cpu: {docker['per_s']}/s in a container, {process['per_s']}/s as a "
        f"process: ratio {figures['throughput_ratio']} (at least {LEAST_THROUGHPUT_RATIO}); "
        f"{docker['cpu_ms']} and {process['cpu_ms']} ms of CPU an inference\n"
        f"engine time a trial: {docker['engine_s']} s with a container, {process['engine_s']} s "
        f"with a process (at most {MOST_ENGINE_S})"
    )


if __name__ == "__main__":
    sys.exit(main())
