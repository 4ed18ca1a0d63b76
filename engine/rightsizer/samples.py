"""The sample: one attempt, as a fixed-size record.

It is the only thing that crosses from measuring to judging.

Times are nanoseconds of the monotonic clock of the generator's machine; 0 means "did not happen"
(or, for `sent_ns`, that the client cannot tell). Sizes are bytes of the body.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from enum import IntEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt


class Outcome(IntEnum):
    """What became of an attempt."""

    SUCCEEDED = 0
    """An invocation: 2xx, complete, within the timeout, accepted by the response check."""
    STATUS = 1
    """Answered with another status."""
    REJECTED = 2
    """2xx, but refused by the response check."""
    CONNECT = 3
    """No connection could be made."""
    RESET = 4
    """The connection broke before the answer was complete."""
    PROTOCOL = 5
    """The answer was not HTTP, or not readable."""
    TIMED_OUT = 6
    UNFINISHED = 7
    """Still in flight when the generator was told to quit."""
    DROPPED = 8
    """An arrival that was not sent: too many were in flight."""


FAILURES = (Outcome.STATUS, Outcome.REJECTED, Outcome.CONNECT, Outcome.RESET, Outcome.PROTOCOL)

RECORD = struct.Struct("<qqqqqIIIHHHBx4x")
"""One sample on disk, 64 bytes, little endian: the fields of `DTYPE` in order."""

DTYPE = np.dtype(
    [
        ("intended_ns", "<i8"),
        ("start_ns", "<i8"),
        ("sent_ns", "<i8"),
        ("first_byte_ns", "<i8"),
        ("end_ns", "<i8"),
        ("bytes_out", "<u4"),
        ("bytes_in", "<u4"),
        ("user", "<u4"),
        ("payload", "<u2"),
        ("step", "<u2"),
        ("status", "<u2"),
        ("outcome", "u1"),
        ("pad", "V5"),
    ]
)

Samples = npt.NDArray[np.void]
"""A structured array of `DTYPE`, one row an attempt."""

assert RECORD.size == DTYPE.itemsize == 64


def read_samples(paths: Iterable[Path]) -> Samples:
    """All whole records of the given files, one file after the other.

    A record cut short by a crash at the end of a file is left out.
    """
    parts = [
        np.fromfile(path, dtype=DTYPE, count=path.stat().st_size // DTYPE.itemsize)
        for path in paths
    ]
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.empty(0, dtype=DTYPE)
