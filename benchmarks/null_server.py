"""A server that does nothing, as cheaply as Python allows: what is left is the generator.

    python benchmarks/null_server.py [--port N] [--reply-bytes N]

Prints its port, then answers every request with a Content-Length by a fixed reply, on one CPU.
It keeps connections, and never looks at a body.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import select
import socket

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
BUFFER_BYTES = 1 << 20


class NullServer:
    """One thread, one epoll."""

    def __init__(self, port: int, reply_bytes: int) -> None:
        self.listener = socket.create_server(("127.0.0.1", port), backlog=1024)
        self.listener.setblocking(False)
        self.reply = (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            % reply_bytes
        ) + b"x" * reply_bytes
        self.poll = select.epoll()
        self.poll.register(self.listener, select.EPOLLIN)
        self.open: dict[int, socket.socket] = {}
        self.missing: dict[int, int] = {}
        """Bytes of the body that are still to come, by connection."""
        self.heads: dict[int, bytes] = {}
        """The beginning of a head that came in pieces."""
        self.buffer = bytearray(BUFFER_BYTES)

    def serve(self) -> None:
        """Until the process ends."""
        while True:
            for descriptor, _ in self.poll.poll():
                if descriptor == self.listener.fileno():
                    self._accept()
                    continue
                try:
                    self._read(descriptor, self.open[descriptor])
                except OSError:
                    self._drop(descriptor)

    def _accept(self) -> None:
        connection, _ = self.listener.accept()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.open[connection.fileno()] = connection
        self.missing[connection.fileno()] = 0
        self.poll.register(connection, select.EPOLLIN)

    def _drop(self, descriptor: int) -> None:
        with contextlib.suppress(OSError):
            self.poll.unregister(descriptor)
        self.open.pop(descriptor).close()
        self.heads.pop(descriptor, None)

    def _read(self, descriptor: int, connection: socket.socket) -> None:
        count = connection.recv_into(self.buffer)
        if not count:
            self._drop(descriptor)
            return
        missing = self.missing[descriptor]
        if missing:
            self.missing[descriptor] = missing - count
            if missing == count:
                connection.send(self.reply)
            return
        # Heads are short: only the beginning of what came is looked at.
        head = self.heads.pop(descriptor, b"") + bytes(self.buffer[: min(count, 4096)])
        end = head.find(b"\r\n\r\n")
        if end < 0:
            self.heads[descriptor] = head
            return
        found = LENGTH.search(head, 0, end)
        came = len(head) + max(0, count - 4096) - end - 4
        missing = (int(found[1]) if found else 0) - came
        self.missing[descriptor] = missing
        if not missing:
            connection.send(self.reply)


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--reply-bytes", type=int, default=20)
    given = parser.parse_args()
    server = NullServer(given.port, given.reply_bytes)
    print(server.listener.getsockname()[1], flush=True)
    server.serve()


if __name__ == "__main__":
    main()
