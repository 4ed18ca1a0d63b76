"""The client that is measured with: HTTP/1.1 over one connection, no luxuries.

It stands behind `Connection.send`. Redirects are not followed, nothing is decompressed, no cookies
are kept, nothing is retried.
"""

from __future__ import annotations

import errno
import ssl
import time
from dataclasses import dataclass
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade

from rightsizer.samples import Outcome
from rightsizer.traffic.answer import Answer
from rightsizer.traffic.deadlines import Attempt, Deadlines, Expired
from rightsizer.traffic.lines import PlainLine, TlsLine, connect
from rightsizer.traffic.outgoing import Target

OUT_OF_FILES = (errno.EMFILE, errno.ENFILE)
"""Ours, not the server's."""


@dataclass(slots=True)
class Census:
    """Of a generator's connections."""

    connected: int = 0
    reopened: int = 0
    """Opened again after the server had closed them."""


class Connection:
    """One keep-alive connection; reopened when the server has closed it."""

    unreadable: tuple[type[Exception], ...] = (
        HttpParserError,
        HttpParserUpgrade,
        ssl.SSLError,
    )
    """Raised for an answer that makes no sense."""

    def __init__(self, target: Target, deadlines: Deadlines, census: Census) -> None:
        self._target = target
        self._timeout_s = deadlines.timeout_s
        self._census = census
        self._line: PlainLine | TlsLine | None = None
        self._answer = Answer()
        self._lost = False
        """Closed by the server, and not opened again yet."""
        self._looked_at = False
        """Found usable, and not used since."""

    def open(self) -> None:
        """Connect unless a usable connection stands; raises OSError."""
        self._looked_at = True
        if self._line is not None:
            if self._is_usable(self._line):
                return
            self.close(by_server=True)
        line = connect(self._target, self._timeout_s)
        try:
            self._greet(line)
        except BaseException:
            line.close()
            raise
        self._line = line
        self._census.connected += 1
        self._census.reopened += self._lost
        self._lost = False

    def close(self, by_server: bool = False) -> None:
        """Drop the connection; `by_server`: it is gone already, or was asked for."""
        if self._line is not None:
            self._line.close()
            self._line = None
            self._answer.close()
            self._census.connected -= 1
            self._lost = by_server

    def send(self, request: Any, request_id: int, attempt: Attempt) -> None:
        """One request, and what comes of it into the attempt; never raises for the server.

        The attempt is in flight: `Expired` ends it.
        """
        try:
            if self._line is None or not self._looked_at:
                self.open()
            self._looked_at = False
            self._exchange(request, request_id, attempt)
            return
        except Expired:
            outcome = Outcome.TIMED_OUT
        except self.unreadable:
            outcome = Outcome.CONNECT if self._line is None else Outcome.PROTOCOL
        except OSError as error:
            if error.errno in OUT_OF_FILES:
                raise
            outcome = Outcome.CONNECT if self._line is None else Outcome.RESET
        attempt.outcome = outcome
        attempt.end_ns = time.monotonic_ns()
        self.close(by_server=outcome is Outcome.RESET)

    # -- what a protocol does its own way ------------------------------------------------------

    def _greet(self, line: PlainLine | TlsLine) -> None:
        """Begin on a new line; raises OSError."""
        self._answer = Answer()

    def _is_usable(self, line: PlainLine | TlsLine) -> bool:
        """Whether the server takes another request on the line."""
        return not line.is_stale()

    def _exchange(self, request: Any, request_id: int, attempt: Attempt) -> None:
        """Send and read; raises OSError, or one of `unreadable`."""
        line, answer = self._line, self._answer
        assert line is not None
        line.send(request, request_id)
        attempt.sent_ns = time.monotonic_ns()
        data = line.receive()
        end_ns = time.monotonic_ns()
        if data:
            attempt.first_byte_ns = end_ns
        complete = answer.begin(data)
        while not complete:
            if not data:
                answer.end_of_stream()
                break
            data = line.receive()
            end_ns = time.monotonic_ns()
            complete = bool(data) and answer.feed(data)
        attempt.end_ns = end_ns
        attempt.status = answer.status
        attempt.body = answer.body
        attempt.outcome = Outcome.SUCCEEDED if 200 <= answer.status < 300 else Outcome.STATUS
        if not answer.keeps_alive:
            self.close(by_server=True)
