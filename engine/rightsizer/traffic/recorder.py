"""Samples to a file, in blocks; and the little that a live view needs."""

from __future__ import annotations

import contextlib
import math
from collections import deque
from pathlib import Path

from rightsizer.samples import RECORD, Outcome

BLOCK_BYTES = 64 * 1024
LIVE_SPAN_NS = 5_000_000_000
LIVE_SAMPLES = 2000
"""The live view looks back this far: it must cost nothing that shows in a latency."""


class Recorder:
    """Appends fixed-size records to a file; owns the file."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)
        self._block = bytearray()
        self.written = 0
        self.attempted = self.succeeded = self.errors = 0
        self._recent: deque[tuple[int, int, bool]] = deque(maxlen=LIVE_SAMPLES)

    def record(
        self,
        *,
        intended_ns: int,
        start_ns: int,
        sent_ns: int,
        first_byte_ns: int,
        end_ns: int,
        bytes_out: int,
        bytes_in: int,
        user: int,
        payload: int,
        step: int,
        status: int,
        outcome: Outcome,
    ) -> None:
        """Add one sample; goes to the disk when a block is full. Never raises: see `commit`."""
        self._block += RECORD.pack(
            intended_ns,
            start_ns,
            sent_ns,
            first_byte_ns,
            end_ns,
            bytes_out,
            bytes_in,
            user,
            payload,
            step,
            status,
            outcome,
        )
        self.written += 1
        self.attempted += outcome is not Outcome.DROPPED
        self.succeeded += outcome is Outcome.SUCCEEDED
        self.errors += outcome is not Outcome.SUCCEEDED
        self._recent.append((end_ns, end_ns - intended_ns, outcome is Outcome.SUCCEEDED))
        if len(self._block) >= BLOCK_BYTES:
            # A full disk must not end the user that happened to fill the block.
            with contextlib.suppress(OSError):
                self._flush()

    def commit(self) -> int:
        """Everything recorded so far is in the file; returns how many samples that are.

        Raises OSError where the disk does not take them.
        """
        self._flush()
        return self.written

    def in_file(self) -> int:
        """Flush what the disk takes; returns how many whole samples the file now holds."""
        with contextlib.suppress(OSError):
            self._flush()
        return self.written - math.ceil(len(self._block) / RECORD.size)

    def close(self) -> None:
        """Commit and close."""
        self._flush()
        self._file.close()

    def begin_step(self) -> None:
        """Counters of the live view start anew."""
        self.attempted = self.succeeded = self.errors = 0
        self._recent.clear()

    def live(self, now_ns: int, begin_ns: int) -> tuple[float, float | None]:
        """(invocations per second, P95 in ms) over the last five seconds, roughly."""
        span_ns = min(LIVE_SPAN_NS, max(1, now_ns - begin_ns))
        recent = [item for item in self._recent if item[0] >= now_ns - span_ns]
        if not recent:
            return 0.0, None
        if len(self._recent) == LIVE_SAMPLES:
            span_ns = max(1, now_ns - recent[0][0])
        latencies = sorted(item[1] for item in recent)
        p95_ns = latencies[math.ceil(0.95 * len(latencies)) - 1]
        return sum(item[2] for item in recent) * 1e9 / span_ns, p95_ns / 1e6

    def _flush(self) -> None:
        while self._block:
            written = self._file.write(self._block)
            del self._block[:written]
