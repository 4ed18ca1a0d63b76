"""Waiting for a server to become ready."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

from rightsizer.errors import Reason, TrialFailed
from rightsizer.hosts.base import Launch
from rightsizer.hosts.control import why_not_ready
from rightsizer.hosts.trust import Tls

REPLY_S = 5.0
"""What one question may take: a server that is loading answers late."""
POLL_S = 0.05
POLL_MAX_S = 0.25


def until_ready(
    launch: Launch,
    url: str,
    begin_s: float,
    look: Callable[[], None],
    log_tail: Callable[[], str],
    poll_s: float = POLL_S,
) -> float:
    """Wait for a server that began at `begin_s` (monotonic clock); seconds until it was ready.

    `look` is called every `poll_s`; what it raises ends the wait.

    Raises:
        TrialFailed: it takes longer than it may.
    """
    with Readiness(url, launch.ready_path, launch.tls) as readiness:
        while True:
            look()
            if readiness.wait(poll_s):
                return readiness.since_s - begin_s
            if time.monotonic() - begin_s > launch.ready_timeout_s:
                detail = _too_late(launch, url, readiness.why_not)
                raise TrialFailed(Reason.NEVER_READY, detail, log_tail())


def _too_late(launch: Launch, url: str, why_not: str) -> str:
    wanted = f"GET {launch.ready_path} did not turn 200"
    if launch.ready_path is None:
        wanted = f"{url} accepted no connection"
    # A server at a URL runs already: more time would bring nothing.
    todo = "" if launch.url else "; raise server.ready_timeout_s if it needs longer"
    return f"{wanted} within {launch.ready_timeout_s:g} s; last: {why_not}{todo}"


class Readiness:
    """Asks a server whether it is ready, again and again, in a thread of its own.

    So neither a slow answer nor a slow name server holds up whoever waits.
    """

    def __init__(self, url: str, path: str | None, tls: Tls | None = None) -> None:
        """`path` must answer 200; without one, a connection must be accepted."""
        self._url, self._path, self._tls = url, path, tls
        self._ready, self._left = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True, name="readiness")
        self.since_s = 0.0
        """When it turned ready (monotonic clock)."""
        self.why_not = "not asked yet"
        """What kept it from being ready when last asked."""

    def __enter__(self) -> Readiness:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._left.set()

    def wait(self, timeout_s: float) -> bool:
        """Whether the server is ready, as soon as it is known, or after the timeout."""
        return self._ready.wait(timeout_s)

    def _ask(self) -> None:
        wait_s = POLL_S
        while not self._left.is_set():
            why_not = why_not_ready(self._url, self._path, REPLY_S, self._tls)
            if why_not is None:
                self.since_s = time.monotonic()
                self._ready.set()
                return
            self.why_not = why_not
            self._left.wait(wait_s)
            wait_s = min(POLL_MAX_S, wait_s * 1.2)
