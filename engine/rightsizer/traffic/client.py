"""The client that is measured with: HTTP/1.1 over one connection, no luxuries.

It stands behind `Connection.send`. Redirects are not followed, nothing is decompressed, no cookies
are kept, nothing is retried.
"""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass

from greenlet import getcurrent
from httptools import HttpParserError

from rightsizer.samples import Outcome
from rightsizer.traffic.answer import Answer
from rightsizer.traffic.deadlines import Deadlines, Expired
from rightsizer.traffic.lines import PlainLine, TlsLine, connect
from rightsizer.traffic.outgoing import Outgoing, Target


@dataclass(slots=True)
class Reply:
    """What came of one send. Times are ns of the monotonic clock, 0 where it did not come to it."""

    outcome: Outcome
    status: int = 0
    sent_ns: int = 0
    first_byte_ns: int = 0
    end_ns: int = 0
    body: bytes = b""


@dataclass(slots=True)
class Census:
    """Of a generator's connections."""

    connected: int = 0
    reopened: int = 0
    """Opened again after the server had closed them."""


class Connection:
    """One keep-alive connection; reopened when the server has closed it."""

    def __init__(self, target: Target, deadlines: Deadlines, census: Census) -> None:
        self._target = target
        self._deadlines = deadlines
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
            if not self._line.is_stale():
                return
            self.close(by_server=True)
        self._line = connect(self._target, self._deadlines.timeout_s)
        self._answer = Answer()
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

    def send(self, request: Outgoing, request_id: int, start_ns: int) -> Reply:
        """One request within the timeout from its start, in all; never raises for the server."""
        reply = Reply(Outcome.CONNECT)
        me = getcurrent()
        self._deadlines.enter(me, start_ns)
        try:
            if self._line is None or not self._looked_at:
                self.open()
            self._looked_at = False
            self._exchange(request, request_id, reply)
        except Expired:
            reply.outcome = Outcome.TIMED_OUT
        except (HttpParserError, ssl.SSLError):
            reply.outcome = Outcome.PROTOCOL
        except OSError:
            reply.outcome = Outcome.CONNECT if self._line is None else Outcome.RESET
        finally:
            self._deadlines.leave(me)
            if reply.outcome is not Outcome.SUCCEEDED and reply.outcome is not Outcome.STATUS:
                reply.end_ns = time.monotonic_ns()
                self.close(by_server=reply.outcome is Outcome.RESET)
        return reply

    def _exchange(self, request: Outgoing, request_id: int, reply: Reply) -> None:
        line, answer = self._line, self._answer
        assert line is not None
        answer.begin()
        line.send(request, request_id)
        reply.sent_ns = time.monotonic_ns()
        data = line.receive()
        reply.first_byte_ns = reply.end_ns = time.monotonic_ns()
        complete = bool(data) and answer.feed(data)
        while not complete:
            if not data:
                answer.end_of_stream()
                break
            data = line.receive()
            reply.end_ns = time.monotonic_ns()
            complete = bool(data) and answer.feed(data)
        reply.status = answer.status
        reply.body = answer.body
        ok = 200 <= answer.status < 300
        reply.outcome = Outcome.SUCCEEDED if ok else Outcome.STATUS
        if not answer.keeps_alive:
            self.close(by_server=True)
