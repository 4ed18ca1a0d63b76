"""The cheapest client there is: one keep-alive connection, one request at a time."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def connect(port: int) -> Iterator[socket.socket]:
    """A keep-alive connection."""
    with socket.create_connection(("127.0.0.1", port), 30) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield line


def saturate(port: int, bodies: list[bytes], connections: int = 2) -> float:
    """Seconds until all bodies are answered."""
    waiting = iter(bodies)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            with connect(port) as line:
                for body in waiting:  # a list's iterator may be shared between threads
                    post(line, body, "application/x-image")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(connections)]
    began_s = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return time.perf_counter() - began_s


def post(line: socket.socket, body: bytes, content_type: str) -> float:
    """Seconds from the first byte sent to the last one read of an answer that must be 200."""
    head = (
        f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode()
    began_s = time.perf_counter()
    line.sendall(head + body)
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += _read(line)
    head_text, _, content = answer.partition(b"\r\n\r\n")
    length = int(head_text.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    while len(content) < length:
        content += _read(line)
    took_s = time.perf_counter() - began_s
    if not head_text.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"the server answered {head_text[:40]!r}: {content[:200]!r}")
    return took_s


def _read(line: socket.socket) -> bytes:
    chunk = line.recv(65536)
    if not chunk:
        raise RuntimeError("the server closed the connection")
    return chunk
