"""Bytes to and from a server, in a greenlet: plain at the cost of the system calls, or over TLS."""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Callable

import gevent
from gevent import monkey
from gevent import socket as gsocket
from gevent import ssl as gssl
from greenlet import getcurrent, greenlet

from rightsizer.traffic.outgoing import Outgoing, Target

RECEIVE_BYTES = 65536
READ = 1
NOW = 0
# Locust has patched the modules' own; the interpreter's wait for nobody when told not to.
PlainSocket: type[socket.socket] = monkey.get_original("socket", "socket")
new_poll: Callable[[], select.poll] = monkey.get_original("select", "poll")


def connect(target: Target, timeout_s: float) -> PlainLine | TlsLine:
    """Open a line; raises OSError, ssl.SSLError among them."""
    sock = gsocket.create_connection((target.host, target.port), timeout_s)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if target.trust is not None:
            sock = target.trust.wrap_socket(sock, server_hostname=target.host)
            # From here the request's total deadline rules, not a timeout for each call.
            sock.settimeout(None)
            return TlsLine(sock)
        return PlainLine(PlainSocket(fileno=sock.detach()))
    except BaseException:
        sock.close()
        raise


class PlainLine:
    """A TCP connection. One watcher for its whole life also tells when the server hangs up."""

    __slots__ = ("_hub", "_poll", "_readable", "_socket", "_waiting", "_watcher")

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._hub = gevent.get_hub()
        self._readable = False
        self._waiting: greenlet | None = None
        self._watcher = self._hub.loop.io(sock.fileno(), READ)
        self._watcher.start(self._can_read)
        self._poll = new_poll()
        self._poll.register(sock.fileno(), select.POLLIN)

    def is_stale(self) -> bool:
        """Whether something came while nothing was asked: the end, or what nobody wants."""
        # The end may have come since the loop looked last, right behind an answer.
        return self._readable or bool(self._poll.poll(NOW))

    def arrived(self) -> bytes | None:
        """What came while nothing was asked, empty at the stream's end; None: nothing did."""
        return self.receive() if self.is_stale() else None

    def send(self, request: Outgoing, request_id: int) -> None:
        """Send the request whole; raises OSError."""
        try:
            sent = self._socket.send(request.number(request_id))
        except BlockingIOError:
            sent = 0
        if sent < len(request.buffer):
            self._send_rest(request.rest(sent))

    def send_bytes(self, data: bytes) -> None:
        """Send all of it; raises OSError."""
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self._send_rest(memoryview(data)[sent:])

    def _send_rest(self, rest: bytes | memoryview) -> None:
        while len(rest):
            gsocket.wait_write(self._socket.fileno())
            rest = rest[self._socket.send(rest) :]

    def receive(self) -> bytes:
        """Whatever comes next; empty at the stream's end. Raises OSError."""
        while True:
            if self._readable:
                self._readable = False
                self._watcher.start(self._can_read)
            else:
                self._waiting = getcurrent()
                try:
                    self._hub.switch()
                finally:
                    self._waiting = None
            try:
                return self._socket.recv(RECEIVE_BYTES)
            except BlockingIOError:
                continue

    def close(self) -> None:
        """Close."""
        self._watcher.stop()
        self._watcher.close()
        self._socket.close()

    def _can_read(self) -> None:
        if self._waiting is not None:
            self._waiting.switch()
        else:
            # Nobody waits: an answer before the request is sent, or the end of an idle line.
            self._readable = True
            self._watcher.stop()


class TlsLine:
    """A TLS connection; gevent's own, for encryption costs more than what could be saved."""

    __slots__ = ("_socket",)

    def __init__(self, sock: gssl.SSLSocket) -> None:
        self._socket = sock

    def is_stale(self) -> bool:
        """Whether the server has hung up; reads what else it may have sent, session tickets."""
        try:
            return self.arrived() is not None
        except OSError:
            return True

    def arrived(self) -> bytes | None:
        """As a plain line's; raises OSError."""
        self._socket.settimeout(0.0)
        try:
            return self.receive()
        except (BlockingIOError, ssl.SSLWantReadError):
            return None
        finally:
            self._socket.settimeout(None)

    def send(self, request: Outgoing, request_id: int) -> None:
        """Send the request whole; raises OSError."""
        # Another request may take the buffer while this one waits: heads are small.
        buffer = request.number(request_id)
        self._socket.sendall(bytes(buffer[: request.head_bytes]))
        if request.content_bytes:
            self._socket.sendall(memoryview(buffer)[request.head_bytes :])

    def send_bytes(self, data: bytes) -> None:
        """Send all of it; raises OSError."""
        self._socket.sendall(data)

    def receive(self) -> bytes:
        """Whatever comes next; empty at the stream's end. Raises OSError."""
        data: bytes = self._socket.recv(RECEIVE_BYTES)
        return data

    def close(self) -> None:
        """Close."""
        self._socket.close()
