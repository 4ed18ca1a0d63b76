"""The client that is measured with: HTTP/1.1 over a gevent socket, one connection, no luxuries.

It stands behind `Connection.send`; llhttp (through geventhttpclient) parses the answers. Redirects
are not followed, nothing is decompressed, no cookies are kept, nothing is retried.
"""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

import gevent
from gevent import socket as gsocket
from gevent import ssl as gssl
from geventhttpclient.response import HTTPParseError, HTTPResponse

from rightsizer.samples import Outcome

RECEIVE_BYTES = 65536
MAX_REPLY_BYTES = 64 * 1024 * 1024
"""A longer reply is cut off and counts as unreadable: an endless one must end somewhere."""


@dataclass(slots=True)
class Reply:
    """What came of one send. Times are ns of the monotonic clock, 0 where it did not come to it."""

    outcome: Outcome
    status: int = 0
    sent_ns: int = 0
    first_byte_ns: int = 0
    end_ns: int = 0
    body: bytes = b""


@dataclass(frozen=True)
class Target:
    """Where requests go, taken apart once."""

    host: str
    port: int
    base_path: str
    authority: str
    trust: ssl.SSLContext | None = None
    """For TLS; loading the system's certificates takes tens of milliseconds, so it is done once."""

    @classmethod
    def of(cls, url: str) -> Target:
        """Take a URL apart; a default port stays out of the Host header."""
        parts = urlsplit(url)
        tls = parts.scheme == "https"
        port = parts.port or (443 if tls else 80)
        trust = gssl.create_default_context() if tls else None
        return cls(parts.hostname or "", port, parts.path.rstrip("/"), parts.netloc, trust)


def request_head(
    target: Target, method: str, path: str, headers: dict[str, str], content: bytes, kind: str
) -> bytes:
    """The head of a request, built once for each payload."""
    fields = {
        "Host": target.authority,
        "User-Agent": "rightsizer",
        "Accept": "*/*",
        "Content-Type": kind,
        "Content-Length": str(len(content)),
    }
    # Header names are case-insensitive: a user's `accept` replaces ours.
    given = {name.lower() for name in headers}
    fields = {name: value for name, value in fields.items() if name.lower() not in given}
    lines = [f"{method} {target.base_path}{path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in {**fields, **headers}.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


@dataclass(slots=True)
class Census:
    """Of a generator's connections."""

    connected: int = 0
    reopened: int = 0
    """Opened again after the server had closed them."""


class Connection:
    """One keep-alive connection; reopened when the server has closed it."""

    def __init__(self, target: Target, timeout_s: float, census: Census) -> None:
        self._target = target
        self._timeout_s = timeout_s
        self._census = census
        self._lost = False
        """Closed by the server, and not opened again yet."""
        self._socket: gsocket.socket | None = None

    def open(self) -> None:
        """Connect unless a usable connection stands; raises OSError."""
        if self._socket is not None and _was_closed(self._socket):
            self.close(by_server=True)
        if self._socket is not None:
            return
        sock = gsocket.create_connection((self._target.host, self._target.port), self._timeout_s)
        try:
            sock.setsockopt(gsocket.IPPROTO_TCP, gsocket.TCP_NODELAY, 1)
            if self._target.trust is not None:
                host = self._target.host
                sock = self._target.trust.wrap_socket(sock, server_hostname=host)
        except BaseException:
            sock.close()
            raise
        # From here the request's total deadline rules, not a timeout for each call.
        sock.settimeout(None)
        self._socket = sock
        self._census.connected += 1
        self._census.reopened += self._lost
        self._lost = False

    def close(self, by_server: bool = False) -> None:
        """Drop the connection; `by_server`: it is gone already, or was asked for."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            self._census.connected -= 1
            self._lost = by_server

    def send(self, method: str, head: bytes, content: bytes) -> Reply:
        """One request within the timeout, in all; never raises for what the server does."""
        reply = Reply(Outcome.CONNECT)
        timeout = gevent.Timeout(self._timeout_s)
        timeout.start()
        try:
            self.open()
            self._exchange(method, head, content, reply)
        except gevent.Timeout as error:
            if error is not timeout:
                raise
            reply.outcome = Outcome.TIMED_OUT
        except (HTTPParseError, ssl.SSLError):
            reply.outcome = Outcome.PROTOCOL
        except OSError:
            reply.outcome = Outcome.CONNECT if self._socket is None else Outcome.RESET
        finally:
            timeout.close()
            reply.end_ns = reply.end_ns or time.monotonic_ns()
            if reply.outcome is not Outcome.SUCCEEDED and reply.outcome is not Outcome.STATUS:
                self.close(by_server=reply.outcome is Outcome.RESET)
        return reply

    def _exchange(self, method: str, head: bytes, content: bytes, reply: Reply) -> None:
        sock = self._socket
        assert sock is not None
        _send_all(sock, head, content)
        reply.sent_ns = time.monotonic_ns()
        parser = _Answer(method)
        received = 0
        while not (parser.message_complete and parser.get_code() >= 200):
            data = sock.recv(RECEIVE_BYTES)
            reply.first_byte_ns = reply.first_byte_ns or time.monotonic_ns()
            if not data and not received:
                raise ConnectionResetError("closed without an answer")
            received += len(data)
            # No data is the end of the stream: it completes a body without a length, or fails.
            parser.feed(data)
            if received > MAX_REPLY_BYTES:
                raise HTTPParseError("endless reply")
            if not data and not parser.message_complete:
                raise ConnectionResetError("closed in the middle of an answer")
        reply.end_ns = time.monotonic_ns()
        reply.status = parser.get_code()
        reply.body = bytes(parser.body)
        ok = 200 <= reply.status < 300
        reply.outcome = Outcome.SUCCEEDED if ok else Outcome.STATUS
        if not parser.should_keep_alive():
            self.close(by_server=True)


class _Answer(HTTPResponse):
    """A response being parsed; llhttp hands over the body as it comes."""

    def __init__(self, method: str) -> None:
        super().__init__(method)
        self.body = bytearray()

    def _on_body(self, buf: bytearray) -> None:
        self.body += buf


def _send_all(sock: gsocket.socket, head: bytes, content: bytes) -> None:
    """Head and body in as few calls as the kernel takes, the body never copied."""
    if not content:
        sock.sendall(head)
        return
    if isinstance(sock, gssl.SSLSocket):
        sock.sendall(head)
        sock.sendall(content)
        return
    sent = sock.sendmsg([head, content])
    if sent < len(head):
        sock.sendall(head[sent:])
        sent = len(head)
    if sent < len(head) + len(content):
        sock.sendall(memoryview(content)[sent - len(head) :])


def _was_closed(sock: gsocket.socket) -> bool:
    """Whether the server has closed an idle connection. Over TLS only the send will tell."""
    if isinstance(sock, gssl.SSLSocket):
        return False
    sock.settimeout(0.0)
    try:
        return not sock.recv(1, gsocket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        sock.settimeout(None)
