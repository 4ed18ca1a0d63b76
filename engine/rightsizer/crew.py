"""Threads for trials that run at the same time, and what these share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

from rightsizer.errors import Reason
from rightsizer.trial_run import Control

ABANDON = 3

T = TypeVar("T")
Lock = AbstractContextManager[Any]


class SharedControl:
    """The job's control for all its trials, which all end when one of them has raised."""

    def __init__(self, control: Control, lock: Lock) -> None:
        self._control, self._lock = control, lock
        self._abandoned = False

    def abandon(self) -> None:
        """End every trial at once."""
        self._abandoned = True

    def level(self) -> int:
        """See `trial_run.Control`."""
        with self._lock:
            return ABANDON if self._abandoned else self._control.level()

    def reason(self) -> Reason:
        """See `trial_run.Control`."""
        with self._lock:
            return Reason.ENGINE_LOST if self._abandoned else self._control.reason()


def one_at_a_time(call: Callable[[T], None], lock: Lock) -> Callable[[T], None]:
    """The same call, not entered while another thread holds the lock."""

    def guarded(value: T) -> None:
        with lock:
            call(value)

    return guarded


class _Here(Executor):
    """Runs what it is given at once, in the caller's thread: an interrupt ends it as it should."""

    def submit(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run it; what it raises is raised here."""
        future: Future[T] = Future()
        future.set_result(function(*args, **kwargs))
        return future


@contextmanager
def workers(at_once: int) -> Iterator[Executor]:
    """Who runs trials; when left, none runs any more."""
    if at_once == 1:
        yield _Here()
        return
    with ThreadPoolExecutor(at_once, thread_name_prefix="trial") as threads:
        yield threads
