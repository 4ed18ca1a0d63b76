"""What the network to a far server adds to each request, measured before any traffic."""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
import time
from urllib.parse import urlsplit

from rightsizer.hosts.base import Endpoint
from rightsizer.protocols import Request
from rightsizer.traffic.outgoing import Target, build
from rightsizer.traffic.records import Reach

CONNECTS = 5
ACKNOWLEDGED_POLL_S = 0.0002
OUTQ = 0x5411
"""TIOCOUTQ, which is SIOCOUTQ for a socket: bytes sent and not acknowledged yet (tcp(7))."""


def reach_of(endpoint: Endpoint, request: Request) -> Reach | None:
    """The round trip, and how long the largest body takes on its way; None over TLS, or where
    nobody answers: the probe knows why.

    The round trip is the shortest of a few connects, which one answer of the far kernel ends. The
    body is sent once more, and has arrived when the far kernel has acknowledged all of it.
    """
    parts = urlsplit(endpoint.url)
    if parts.scheme != "http" or parts.hostname is None:
        return None
    address = (parts.hostname, parts.port or 80)
    try:
        round_trip_s = min(_connect_s(address, request.timeout_s) for _ in range(CONNECTS))
        if request.grpc:  # what is to be sent depends on what the server says
            return Reach(round_trip_s * 1e3, None)
        largest = max(request.bodies, key=lambda body: len(body.content))
        outgoing = build(
            Target.of(endpoint.url),
            request.method,
            request.path,
            request.headers,
            largest.content,
            largest.content_type,
        )
        send_s = _send_s(address, bytes(outgoing.buffer), request.timeout_s)
    except OSError:
        return None
    send_ms = None if send_s is None else max(0.0, send_s - round_trip_s) * 1e3
    return Reach(round_trip_s * 1e3, send_ms)


def _connect_s(address: tuple[str, int], timeout_s: float) -> float:
    begin_s = time.perf_counter()
    with socket.create_connection(address, timeout_s):
        return time.perf_counter() - begin_s


def _send_s(address: tuple[str, int], data: bytes, timeout_s: float) -> float | None:
    """Until all of it is acknowledged; None where this system does not tell."""
    with socket.create_connection(address, timeout_s) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begin_s = time.perf_counter()
        sock.sendall(data)
        while (waiting := _unacknowledged(sock)) and time.perf_counter() - begin_s < timeout_s:
            time.sleep(ACKNOWLEDGED_POLL_S)
        took_s = time.perf_counter() - begin_s
        with contextlib.suppress(OSError):
            sock.recv(1)  # a server that is cut off in the middle might mind
        return took_s if waiting == 0 else None


def _unacknowledged(sock: socket.socket) -> int | None:
    try:
        return int(struct.unpack("i", fcntl.ioctl(sock.fileno(), OUTQ, b"\0" * 4))[0])
    except OSError:
        return None
