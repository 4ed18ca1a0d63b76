"""What a network adds to a request, measured on servers that take their time to read."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from rightsizer.hosts.base import Endpoint
from rightsizer.protocols import Body, Request, ResponseCheck
from rightsizer.traffic.reach import reach_of

BODY_BYTES = 4_000_000
SMALL_BUFFER = 16384
PAUSE_S = 1.0


def request(*sizes: int) -> Request:
    bodies = [Body(str(size), b"x" * size, "a/b") for size in sizes]
    return Request("POST", "/", {}, bodies, 10.0, ResponseCheck())


@contextmanager
def reading(serve: Callable[[socket.socket], None]) -> Iterator[Endpoint]:
    """A server that treats each connection so, one after the other."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # Few bytes fit between the two: what is not read is not acknowledged.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    serve(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield Endpoint(f"http://127.0.0.1:{listener.getsockname()[1]}")
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def all_of(connection: socket.socket) -> None:
    """Read to the body's end, and answer."""
    left = 1
    head = b""
    while b"\r\n\r\n" not in head:
        data = connection.recv(65536)
        if not data:
            return
        head += data
    head, _, begun = head.partition(b"\r\n\r\n")
    left = BODY_BYTES - len(begun)
    while left > 0:
        left -= len(connection.recv(65536))
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def after_a_pause(connection: socket.socket) -> None:
    connection.settimeout(PAUSE_S)
    if connection.recv(1, socket.MSG_PEEK):
        time.sleep(PAUSE_S)
        connection.settimeout(None)
        all_of(connection)


def test_the_time_to_send_the_largest_payload_is_until_the_server_has_taken_it():
    with reading(all_of) as endpoint:
        quick = reach_of(endpoint, request(200, BODY_BYTES))
    with reading(after_a_pause) as endpoint:
        slow = reach_of(endpoint, request(200, BODY_BYTES))
    assert quick is not None
    assert slow is not None
    assert 0 < quick.round_trip_ms < PAUSE_S * 1e3
    assert slow.send_ms >= PAUSE_S * 1e3 - slow.round_trip_ms > quick.send_ms


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "https://127.0.0.1:9"])
def test_where_nobody_answers_and_over_tls_it_is_not_told(url):
    assert reach_of(Endpoint(url), request(200)) is None
