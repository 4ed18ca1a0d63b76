"""The engine's end of the pipes to one generator process."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rightsizer.errors import EnvironmentFault, Reason, TrialInvalid
from rightsizer.traffic import wire

LAST_WORDS_S = 1.0
"""A pipe closes a moment before the word comes of how its process ended."""
LOG_TAIL = 2000


class LinkLost(Exception):
    """The process is gone, or its pipe; says why in words."""


@dataclass(eq=False)
class Link:
    """One generator process; whoever made the pipes closes them."""

    down: int
    up: int
    samples: Path
    log: Path
    exited: Callable[[], str | None]
    """How the process ended; None while it runs."""
    heard_s: float = field(default_factory=time.monotonic)
    """When it spoke last (monotonic clock)."""
    _buffer: bytes = b""

    def send(self, kind: str, **values: Any) -> None:
        """One command; raises LinkLost."""
        try:
            os.write(self.down, wire.line(kind, **values))
        except OSError as error:
            raise LinkLost(f"its pipe is closed ({error.strerror})") from None

    def read(self) -> list[dict[str, Any]]:
        """The reports that have come, once `up` can be read; raises LinkLost at the pipe's end."""
        chunk = os.read(self.up, 65536)
        if not chunk:
            raise LinkLost("it ended in the middle of its work")
        self.heard_s = time.monotonic()
        *lines, self._buffer = (self._buffer + chunk).split(b"\n")
        return [json.loads(line) for line in lines]

    def wait_for_exit(self, timeout_s: float) -> str | None:
        """How the process ended; None if it has not within the time."""
        deadline_s = time.monotonic() + timeout_s
        while (ended := self.exited()) is None and time.monotonic() < deadline_s:
            time.sleep(0.01)
        return ended

    def failure(self, why: str) -> Exception:
        """What to raise for a process that failed: it or the disk was at fault."""
        if "No space left" in why or "Errno 28" in why:
            return EnvironmentFault("the samples cannot be written", why, "free space and resume")
        ended = self.wait_for_exit(LAST_WORDS_S)
        how = f" ({ended})" if ended else ""
        tail = self.log.read_text("utf-8", "replace")[-LOG_TAIL:] if self.log.exists() else ""
        return TrialInvalid(Reason.GENERATOR_LOST, f"the generator was lost: {why}{how}", tail)
