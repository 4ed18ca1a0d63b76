"""A server that does nothing, as cheaply as Python allows: what is left is the generator.

    python -m rightsizer.instrument.null_server [PORT] [--reply-bytes 20]

Prints its port, then answers every request by a fixed reply, on one thread. It keeps connections,
and never looks at a body.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import select
import selectors
import socket
from collections.abc import Iterable
from typing import Protocol

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
BUFFER_BYTES = 1 << 20
HEAD_BYTES = 4096
READ = 1
"""EPOLLIN, and selectors.EVENT_READ: the same number."""


class Poll(Protocol):
    """What is used of `select.epoll`."""

    def register(self, descriptor: int, events: int, /) -> None: ...
    def unregister(self, descriptor: int, /) -> None: ...
    def poll(self) -> Iterable[tuple[int, int]]: ...


class SelectorPoll:
    """The same for systems without epoll; dearer, since it makes an object for each event."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def register(self, descriptor: int, events: int, /) -> None:
        """Watch a descriptor."""
        self._selector.register(descriptor, events)

    def unregister(self, descriptor: int, /) -> None:
        """Watch it no more."""
        self._selector.unregister(descriptor)

    def poll(self) -> list[tuple[int, int]]:
        """(descriptor, events) of those with something to read."""
        return [(key.fd, events) for key, events in self._selector.select()]


class NullServer:
    """One thread, one poll."""

    def __init__(self, listener: socket.socket, poll: Poll, reply_bytes: int) -> None:
        listener.setblocking(False)
        self._listener, self._poll = listener, poll
        self._reply = (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            % reply_bytes
        ) + b"x" * reply_bytes
        poll.register(listener.fileno(), READ)
        self._open: dict[int, socket.socket] = {}
        self._missing: dict[int, int] = {}
        """Bytes of the body that are still to come, by connection."""
        self._heads: dict[int, bytes] = {}
        """The beginning of a head that came in pieces."""
        self._buffer = bytearray(BUFFER_BYTES)

    def serve(self) -> None:
        """Until the process ends."""
        listener = self._listener.fileno()
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor == listener:
                    self._accept()
                    continue
                try:
                    self._read(descriptor, self._open[descriptor])
                except OSError:
                    self._drop(descriptor)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):  # whoever knocked may be gone again
            connection, _ = self._listener.accept()
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open[connection.fileno()] = connection
            self._missing[connection.fileno()] = 0
            self._poll.register(connection.fileno(), READ)

    def _drop(self, descriptor: int) -> None:
        with contextlib.suppress(OSError):
            self._poll.unregister(descriptor)
        self._open.pop(descriptor).close()
        self._heads.pop(descriptor, None)

    def _read(self, descriptor: int, connection: socket.socket) -> None:
        count = connection.recv_into(self._buffer)
        if not count:
            self._drop(descriptor)
            return
        missing = self._missing[descriptor]
        if missing:
            self._missing[descriptor] = missing - count
            if missing == count:
                connection.send(self._reply)
            return
        # Heads are short: only the beginning of what came is looked at.
        head = self._heads.pop(descriptor, b"") + bytes(self._buffer[: min(count, HEAD_BYTES)])
        end = head.find(b"\r\n\r\n")
        if end < 0:
            self._heads[descriptor] = head
            return
        found = LENGTH.search(head, 0, end)
        came = len(head) + max(0, count - HEAD_BYTES) - end - 4
        missing = (int(found[1]) if found else 0) - came
        self._missing[descriptor] = missing
        if not missing:
            connection.send(self._reply)


def best_poll() -> Poll:
    """The cheapest that this system has."""
    return select.epoll() if hasattr(select, "epoll") else SelectorPoll()


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("port", type=int, nargs="?", default=0)
    parser.add_argument("--reply-bytes", type=int, default=20)
    given = parser.parse_args()
    with socket.create_server(("127.0.0.1", given.port), backlog=1024) as listener:
        print(listener.getsockname()[1], flush=True)
        NullServer(listener, best_poll(), given.reply_bytes).serve()


if __name__ == "__main__":
    main()
