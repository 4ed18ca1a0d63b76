"""Recorded load: arrival times, or requests per minute, one a line, read into the spec itself.

So a stored job holds its trace, and replays it when the file is gone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from rightsizer.archives import regular_file_bytes
from rightsizer.errors import InputError
from rightsizer.spec import JobSpec, RateTraffic
from rightsizer.trace_numbers import MAX_TRACE_LINES, counts_per_min, instants_s

MAX_TRACE_BYTES = 32 * MAX_TRACE_LINES
S_PER_MIN = 60.0
Number = TypeVar("Number", int, float)


def with_trace(spec: JobSpec, base_dir: Path) -> JobSpec:
    """The spec with the numbers of its trace in place of the file's name.

    Without `duration_s` the traffic lasts as long as the trace.

    Raises:
        InputError: the file cannot be read, or does not hold what it should.
    """
    traffic = spec.traffic
    if not isinstance(traffic, RateTraffic) or traffic.per_s is not None:
        return spec
    changed: dict[str, object] = {}
    length_s = 0.0
    if traffic.times_s is not None:
        times = traffic.times_s
        if isinstance(times, str):
            times = _read(base_dir / times, float, instants_s)
        changed, length_s = {"times_s": times}, math.floor(times[-1]) + 1.0
    elif traffic.per_min is not None:
        counts = traffic.per_min
        if isinstance(counts, str):
            counts = _read(base_dir / counts, int, counts_per_min)
        changed, length_s = {"per_min": counts}, S_PER_MIN * len(counts)
    if "duration_s" not in traffic.model_fields_set:
        changed["duration_s"] = length_s
    return spec.model_copy(update={"traffic": traffic.model_copy(update=changed)})


def _read(
    path: Path, kind: Callable[[str], Number], check: Callable[[list[Number]], tuple[Number, ...]]
) -> tuple[Number, ...]:
    todo = "give one number a line"
    if regular_file_bytes(path) > MAX_TRACE_BYTES:
        raise InputError(f"{path} is refused", "it is no trace: too long", todo)
    numbers = []
    for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), start=1):
        if line.strip():
            try:
                numbers.append(kind(line))
            except ValueError:
                raise InputError(f"{path}:{number}: not a number", line[:40], todo) from None
    try:
        return check(numbers)
    except ValueError as error:
        raise InputError(f"{path} is refused", str(error), todo) from None
