"""Real jobs: a real server, a real generator, the real command line."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from rightsizer.errors import ExitCode

from tests.noise import ADVICE, until_quiet

SCRIPTED = Path(__file__).parents[1] / "traffic" / "servers" / "scripted.py"

JOB = """\
name: e2e
server:
  command: ["{{python}}", "{server}", "{{port}}"]
  protocol: raw
  request: {{path: "{path}"}}
  ready_path: /count
  request_timeout_s: 2
  ready_timeout_s: 20
payload: {{archive: body.txt, content_type: text/plain}}
candidates:
  - instance_type: local.1cpu
    environment: {{N: [{values}]}}
traffic: {traffic}
limit: {{latency_ms: 500}}
"""


@pytest.fixture
def write_job(tmp_path: Path) -> Callable[..., Path]:
    """A job file around the scripted server."""

    def write(
        path: str = "/slow?ms=10",
        values: str = '"1"',
        traffic: str = "{type: users, users: 2, duration_s: 3}",
        server: Path = SCRIPTED,
    ) -> Path:
        (tmp_path / "body.txt").write_text("hello")
        file = tmp_path / "job.yaml"
        text = JOB.format(path=path, values=values, traffic=traffic, server=server)
        file.write_text(text)
        return file

    return write


TOLD = ('"state": "failed"', '"state": "interrupted"')
"""What happened to a candidate or its host, on a machine that was noisy too."""


@pytest.fixture
def rightsizer() -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command line, to its end; again where it says that the machine spoilt a measurement.

    Not where a candidate failed or its host was lost: what a test does to them it does once.
    """

    def run(*arguments: object, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
        def once() -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [*command(), *map(str, arguments)],
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )

        return until_quiet(once, _is_spoilt)

    return run


def _is_spoilt(done: subprocess.CompletedProcess[str]) -> bool:
    said = done.stdout + done.stderr
    spoilt = done.returncode == ExitCode.NO_VALID_MEASUREMENT and ADVICE in said
    return spoilt and not any(state in said for state in TOLD)


def command() -> list[str]:
    """How the command line is started."""
    return [str(Path(sys.executable).parent / "rightsizer")]


def started_for(folder: Path) -> list[psutil.Process]:
    """Living processes of ours that belong to the test with this folder: by environment."""
    mark = str(folder)
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            words = " ".join(process.cmdline()) + process.cwd()
            inherits = process.environ().get("RIGHTSIZER_STORE", "")
        except (psutil.Error, OSError):
            continue
        if mark in words or mark in inherits:
            found.append(process)
    return found


def wait_until_none(folder: Path, within_s: float) -> list[psutil.Process]:
    """What is still alive when the time is up; empty as soon as nothing is."""
    deadline_s = time.monotonic() + within_s
    while (left := started_for(folder)) and time.monotonic() < deadline_s:
        time.sleep(0.1)
    return left
