"""Signals as something that a selector can wait for."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable

WATCHED = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def wake_on_signals(handler: Callable[[int, object], None]) -> int:
    """Handle the end of a child and requests to end; a descriptor that each makes readable."""
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    for number in WATCHED:
        signal.signal(number, handler)
    return wake_read


def forget_signals(wake_read: int) -> None:
    """Make the descriptor wait for the next signal."""
    with contextlib.suppress(BlockingIOError):
        while os.read(wake_read, 4096):
            pass
