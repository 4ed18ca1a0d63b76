"""The client that is measured with, for gRPC: one call at a time over a connection of its own."""

from __future__ import annotations

import ssl
import time

import gevent

from rightsizer.samples import Outcome
from rightsizer.traffic.client import Connection
from rightsizer.traffic.deadlines import Attempt
from rightsizer.traffic.grpc_channel import OK, Channel, H2Error, Message
from rightsizer.traffic.lines import PlainLine, TlsLine


class GrpcConnection(Connection):
    """A `Connection` that sends a `Message`; a refusal's words are its attempt's body."""

    unreadable = (H2Error, ssl.SSLError)

    def _greet(self, line: PlainLine | TlsLine) -> None:
        """Wait for how the server wants to be sent to: large calls would wait for it later."""
        self._channel = Channel()
        line.send_bytes(self._channel.take())
        try:
            with gevent.Timeout(self._timeout_s, TimeoutError("no HTTP/2 settings came")):
                while not self._channel.settled:
                    self._read(line)
        except H2Error as error:
            raise ConnectionAbortedError(f"it does not speak HTTP/2: {error}") from None
        line.send_bytes(self._channel.take())

    def _is_usable(self, line: PlainLine | TlsLine) -> bool:
        """Reads what came meanwhile; a ping is answered."""
        try:
            while (data := line.arrived()) is not None:
                if not data:
                    return False
                self._channel.feed(data)
                line.send_bytes(self._channel.take())
        except (H2Error, OSError):
            return False
        return not self._channel.closing

    def _exchange(self, request: Message, request_id: int, attempt: Attempt) -> None:
        line, channel = self._line, self._channel
        assert line is not None
        channel.begin(request, request_id)
        while not channel.sent and not channel.complete:
            if data := channel.take():
                line.send_bytes(data)
            else:
                self._read(line)
        attempt.sent_ns = attempt.end_ns = time.monotonic_ns()
        while not channel.complete:
            self._read(line)
            attempt.end_ns = time.monotonic_ns()
            if channel.headed and not attempt.first_byte_ns:
                attempt.first_byte_ns = attempt.end_ns
            if data := channel.take():
                line.send_bytes(data)
        attempt.status = channel.status
        if channel.status == OK:
            attempt.body = channel.body()
            attempt.outcome = Outcome.SUCCEEDED
        else:
            attempt.body = channel.said
            attempt.outcome = Outcome.STATUS
        if channel.closing or not channel.sent:
            self.close(by_server=True)

    def _read(self, line: PlainLine | TlsLine) -> None:
        data = line.receive()
        if not data:
            raise ConnectionResetError("closed before the answer was complete")
        self._channel.feed(data)
        if self._channel.broken:
            raise ConnectionResetError("the server broke the call off")
