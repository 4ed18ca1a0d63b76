"""Holding the engine itself to some CPUs, off those of the servers."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


@contextmanager
def kept_to(cpus: Sequence[int]) -> Iterator[None]:
    """Hold this process to some CPUs; to none given, or where there are no CPU sets, nothing."""
    if not cpus or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
