"""What every operation has at hand."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rightsizer.api.settings import Settings
from rightsizer.hosts.probe import this_machine
from rightsizer.machines import Machine
from rightsizer.registry import Registry
from rightsizer.store import Store

Request = Mapping[str, Any]
"""An operation's input as its shape says, checked; times are seconds since the epoch."""
Answer = dict[str, Any]
"""Its output as its shape says; a member that is None is left out."""


@dataclass(frozen=True)
class Context:
    """The parts that operations work with, one operation at a time."""

    store: Store
    registry: Registry
    settings: Settings
    base_dir: Path
    """What paths in the settings are relative to: serve.yaml's folder."""
    machine: Machine = field(default_factory=this_machine)
    """Where jobs are measured: with all its CPUs, while the server keeps to some of them."""
    time_scale: float = 1.0
    """The reference's phase lengths are multiplied by it."""
    now_s: Callable[[], float] = time.time
    """Seconds since the epoch."""
    wake: Callable[[], None] = lambda: None
    """Called when a job was queued or asked to stop."""


Operation = Callable[[Context, Request], Answer]
