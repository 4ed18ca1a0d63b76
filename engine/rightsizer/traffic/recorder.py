"""Samples to a file, in blocks; and the little that a live view needs.

Recording one costs a few hundred nanoseconds; counting is done a block at a time.
"""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

import numpy as np

from rightsizer.samples import DTYPE, RECORD, Outcome, Samples

BLOCK_BYTES = 64 * 1024
LIVE_SPAN_NS = 5_000_000_000
LIVE_SAMPLES = 2000
"""The live view looks back this far: it must cost nothing that shows in a latency."""


class Recorder:
    """Appends fixed-size records to a file; owns the file."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)
        self._block = bytearray()
        """On its way to the file."""
        self._fresh = bytearray()
        """Not counted yet."""
        self._written = 0
        self.attempted = self.succeeded = self.errors = 0
        self._recent: Samples = np.empty(0, dtype=DTYPE)

    def record(
        self,
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
        self._fresh += RECORD.pack(
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
        if len(self._fresh) >= BLOCK_BYTES:
            # A full disk must not end the user that happened to fill the block.
            with contextlib.suppress(OSError):
                self._flush()

    def commit(self) -> int:
        """Everything recorded so far is in the file; returns how many samples that are.

        Raises OSError where the disk does not take them.
        """
        self._flush()
        return self._written

    def in_file(self) -> int:
        """Flush what the disk takes; returns how many whole samples the file now holds."""
        with contextlib.suppress(OSError):
            self._flush()
        return self._written - math.ceil(len(self._block) / RECORD.size)

    def close(self) -> None:
        """Commit and close."""
        self._flush()
        self._file.close()

    def begin_step(self) -> None:
        """Counters of the live view start anew."""
        self._count()
        self.attempted = self.succeeded = self.errors = 0
        self._recent = np.empty(0, dtype=DTYPE)

    def live(self, now_ns: int, begin_ns: int) -> tuple[float, float | None]:
        """(invocations per second, P95 in ms) over the last five seconds, roughly.

        Brings the counters `attempted`, `succeeded` and `errors` of the step up to date, too.
        """
        self._count()
        span_ns = min(LIVE_SPAN_NS, max(1, now_ns - begin_ns))
        recent = self._recent[self._recent["end_ns"] >= now_ns - span_ns]
        if not len(recent):
            return 0.0, None
        if len(self._recent) == LIVE_SAMPLES:
            span_ns = max(1, now_ns - int(recent["end_ns"].min()))
        latencies = np.sort(recent["end_ns"] - recent["intended_ns"])
        p95_ns = int(latencies[math.ceil(0.95 * len(latencies)) - 1])
        succeeded = np.count_nonzero(recent["outcome"] == Outcome.SUCCEEDED)
        return succeeded * 1e9 / span_ns, p95_ns / 1e6

    def _count(self) -> None:
        """Count what is fresh, and pass it on to be written."""
        if not self._fresh:
            return
        fresh = np.frombuffer(bytes(self._fresh), dtype=DTYPE)
        self._block += self._fresh
        self._fresh.clear()
        self._written += len(fresh)
        dropped = int(np.count_nonzero(fresh["outcome"] == Outcome.DROPPED))
        succeeded = int(np.count_nonzero(fresh["outcome"] == Outcome.SUCCEEDED))
        self.attempted += len(fresh) - dropped
        self.succeeded += succeeded
        self.errors += len(fresh) - succeeded
        self._recent = np.concatenate([self._recent, fresh])[-LIVE_SAMPLES:]

    def _flush(self) -> None:
        self._count()
        while self._block:
            written = self._file.write(self._block)
            del self._block[:written]
