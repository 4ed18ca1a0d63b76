"""Threads that do blocking work for an event loop."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")


class Workers:
    """A fixed number of threads, fed in order of arrival.

    concurrent.futures would do, but wraps every job in a second future with a lock of its own: at
    80 us twice the cost of this hand-off, which every request pays.
    """

    def __init__(self, count: int, name: str, prepare: Callable[[], None] | None = None) -> None:
        """Start the threads; return once each has run `prepare`."""
        self._jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
        ready = threading.Barrier(count + 1)
        for number in range(count):
            threading.Thread(
                target=self._work, args=(prepare, ready), name=f"{name}-{number}", daemon=True
            ).start()
        ready.wait()

    def run(self, function: Callable[..., T], *arguments: object) -> Awaitable[T]:
        """Call a function in one of the threads. Call this from the event loop's own."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put((loop, future, function, arguments))
        return future

    def _work(self, prepare: Callable[[], None] | None, ready: threading.Barrier) -> None:
        try:
            if prepare:
                prepare()
        finally:
            ready.wait()
        while True:
            loop, future, function, arguments = self._jobs.get()
            try:
                result, error = function(*arguments), None
            except BaseException as raised:
                result, error = None, raised
            try:
                loop.call_soon_threadsafe(_resolve, future, result, error)
            except RuntimeError:
                return  # the loop is closed: the server is going down
            # Otherwise a request's body lives until the next job arrives.
            del loop, future, function, arguments, result, error


def _resolve(future: asyncio.Future[Any], result: object, error: BaseException | None) -> None:
    if future.done():  # cancelled meanwhile
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
