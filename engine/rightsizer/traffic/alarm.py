"""Waking at an instant: the kernel's timer, for the event loop's own rounds up to a millisecond."""

from __future__ import annotations

import contextlib
import ctypes
import os
import time

import gevent
from greenlet import getcurrent, greenlet

from rightsizer.units import NS_PER_S

TFD_TIMER_ABSTIME = 1
READ = 1
USUAL, FIRST = 0, 2
"""Priorities of libev: among all others, or before any."""

_libc = ctypes.CDLL(None, use_errno=True)


class Alarm:
    """Wakes the one greenlet that waits for it; serves a step's whole length without a spin."""

    def __init__(self, priority: int = FIRST) -> None:
        flags = os.O_NONBLOCK | os.O_CLOEXEC
        self._descriptor = _libc.timerfd_create(time.CLOCK_MONOTONIC, flags)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "no timer")
        # Interval (s, ns), then the instant (s, ns).
        self._at = (ctypes.c_long * 4)()
        self._hub = gevent.get_hub()
        self._waiting: greenlet | None = None
        self._watcher = self._hub.loop.io(self._descriptor, READ, priority=priority)
        self._watcher.start(self._ring)

    def wait_until(self, due_ns: int) -> None:
        """Return at an instant of the monotonic clock, or when `wake` is called."""
        self._set(due_ns)
        self._waiting = getcurrent()
        try:
            self._hub.switch()
        finally:
            self._waiting = None

    def wake(self) -> None:
        """Whoever waits goes on at once."""
        self._set(1)

    def close(self) -> None:
        """Give the timer back."""
        self._watcher.stop()
        os.close(self._descriptor)

    def _set(self, due_ns: int) -> None:
        self._at[2], self._at[3] = divmod(due_ns, NS_PER_S)
        _libc.timerfd_settime(self._descriptor, TFD_TIMER_ABSTIME, self._at, None)

    def _ring(self) -> None:
        if self._waiting is not None:
            self._waiting.switch()  # sets the timer anew, most of the time
        if self._waiting is None:
            with contextlib.suppress(BlockingIOError):
                os.read(self._descriptor, 8)
