"""Every benchmark in turn, into one file with the machine's description: `make bench`.

    python benchmarks/run_all.py [--only NAME] [--again] [--out benchmarks/results.json]

The file is written after each benchmark, and one that stands in it is not run again without
`--again`, so that an interrupted run goes on. SEEDS in the environment sets the number of seeds of
those that simulate: the default takes minutes, a thousand takes hours.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BENCHES = (
    "server_overhead",
    "docker_overhead",
    "api_load",
    "answers",
    "analysis_speed",
    "generator_ceiling",
    "server_record",
    "delivery",
    "starved",
    "real_truth",
    "step_rule",
    "validity_matrix",
    "search_truth",
    "against_mlrsearch",
    "race_truth",
)
PACKAGES = ("rightsizer", "locust", "gevent", "numpy", "pandas")


def main() -> int:
    """Run what is missing; 1 where a benchmark failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="the one of this name")
    parser.add_argument("--again", action="store_true", help="also what stands in the file")
    parser.add_argument("--out", type=Path, default=HERE / "results.json")
    options = parser.parse_args()
    results: dict[str, Any] = {}
    if options.out.exists():
        results = json.loads(options.out.read_text())
    failed = []
    for name in BENCHES:
        if options.only not in (None, name) or (name in results and not options.again):
            continue
        print(f"{name} ...", flush=True)
        found = run(name)
        if found is None:
            failed.append(name)
            continue
        results[name] = found
        options.out.write_text(json.dumps(results, indent=1) + "\n")
    if failed:
        print(f"without a result: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def run(name: str) -> dict[str, Any] | None:
    """One benchmark's figures, where and when they were taken; None where it gave none.

    A benchmark ends with 1 where a limit of its own is missed: that is a result too.
    """
    began_s = time.monotonic()
    command = [sys.executable, str(HERE / f"{name}.py"), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    figures = parsed(done.stdout)
    if done.returncode not in (0, 1) or figures is None:
        return None
    return {
        "command": f"python benchmarks/{name}.py --json",
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "wall_s": round(time.monotonic() - began_s, 1),
        "machine": machine(),
        "figures": figures,
    }


def parsed(text: str) -> Any:
    """A document of JSON, or the list of its lines."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return [json.loads(line) for line in text.splitlines() if line.strip()] or None
    except ValueError:
        return None


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "processor": processor(),
        "cpus": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
    }


def processor() -> str:
    """As the kernel names it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    sys.exit(main())
