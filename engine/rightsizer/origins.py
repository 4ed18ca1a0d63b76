"""What a job is made with, and on: kept with it, so that it can be repeated."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from rightsizer import __version__
from rightsizer.machines import Machine
from rightsizer.units import BYTES_PER_GIB

PACKAGES = (
    "locust", "gevent", "greenlet", "httptools", "h2", "httpx", "docker",
    "numpy", "pandas", "psutil", "pydantic",
)  # fmt: skip
"""Those that measure and judge."""


def made_with() -> dict[str, str]:
    """Versions by name: ours, Python's, and those of the packages that are installed."""
    found = {"rightsizer": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # an extra's
            continue
    return found


def made_on(machine: Machine) -> dict[str, str]:
    """The engine's machine, in words."""
    return {
        "host": platform.node(),
        "system": platform.platform(),
        "processor": machine.processor,
        "architecture": machine.architecture,
        "logical CPUs": str(machine.cpu_count),
        "CPUs used": ", ".join(map(str, machine.cpus)),
        "memory": f"{machine.memory_bytes / BYTES_PER_GIB:.1f} GiB",
    }
