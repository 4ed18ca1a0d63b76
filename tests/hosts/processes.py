"""What tests of real processes share: a launch of the small server, and who is still alive."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rightsizer.hosts.base import Launch
from rightsizer.machines import Placement

SERVER = Path(__file__).parent / "servers" / "ready.py"
CPUS = tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else (0,)
GENERATOR_CPU, SERVER_CPU = CPUS[0], CPUS[-1]


def launch_of(folder: Path, *words: str, **changes: object) -> Launch:
    """A launch of `servers/ready.py` with these words, in `folder`."""
    given = {
        "trial_id": "t1",
        "command": ("{python}", str(SERVER), "{port}", *words),
        "url": None,
        "port": None,
        "environment": {"PIDS": str(folder / "pids")},
        "secrets": frozenset[str](),
        "working_dir": folder,
        "model_dir": None,
        "ready_path": "/ping",
        "ready_timeout_s": 20.0,
        "placement": Placement((SERVER_CPU,), (GENERATOR_CPU,), "native", 1 << 33),
        "trial_dir": folder / "trial",
    }
    return Launch(**{**given, **changes})  # type: ignore[arg-type]


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state not in ("Z", "X")


def noted(folder: Path) -> dict[str, int]:
    """Pids by name that the servers of this folder wrote down."""
    path = folder / "pids"
    lines = path.read_text().splitlines() if path.exists() else []
    return {name: int(pid) for pid, name in (line.split() for line in lines)}


def eventually(what: Callable[[], object], within_s: float = 10.0) -> bool:
    """Whether it comes true in time."""
    deadline_s = time.monotonic() + within_s
    while not what():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.02)
    return True


PYTHON = sys.executable


def of_folder(folder: Path) -> list[int]:
    """Living processes whose environment names this folder: servers, and all they started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            named = f"PIDS={folder}/".encode() in path.read_bytes()
        except OSError:
            continue
        if named and is_alive(int(path.parent.name)):
            found.append(int(path.parent.name))
    return found
