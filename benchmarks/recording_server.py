"""A server that answers after exact times and records when: what a client says can be held to it.

    python benchmarks/recording_server.py RECORD [--mean-ms M] [--stall-every-s S --stall-s T]

Prints its port. Each request is answered after a time of its own (exponential, seeded), beside all
others; in a stall nothing is answered, nor read. SIGTERM ends it and leaves in RECORD an array of
(request id, ns when the head was read, ns when the answer was sent), monotonic clock.
"""

from __future__ import annotations

import argparse
import heapq
import re
import select
import signal
import socket
import time
from pathlib import Path

import numpy as np

HEAD = re.compile(rb"(?is)content-length: *(\d+).*?x-request-id: *([0-9a-f]{16})")
REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
BUFFER_BYTES = 1 << 20
SPIN_NS = 60_000
"""select is exact to some ten microseconds; the rest is waited for awake."""


class RecordingServer:
    """One thread; select, whose time-outs are not rounded to a millisecond as epoll's are."""

    def __init__(self, mean_ms: float, stall_every_s: float, stall_s: float) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.listener.setblocking(False)
        draws = np.random.default_rng(1).exponential(mean_ms * 1e6, 1 << 16)
        self.service_ns = [int(draw) for draw in draws]
        self.stall_every_ns, self.stall_ns = int(stall_every_s * 1e9), int(stall_s * 1e9)
        self.stall_at_ns = time.monotonic_ns() + self.stall_every_ns
        self.missing: dict[socket.socket, int] = {}
        self.asked: dict[socket.socket, tuple[int, int]] = {}
        self.due: list[tuple[int, int, socket.socket]] = []
        self.record: list[tuple[int, int, int]] = []
        self.buffer = bytearray(BUFFER_BYTES)
        self.count = 0

    def serve(self) -> None:
        """Until the process is told to end."""
        while True:
            now_ns = time.monotonic_ns()
            if self.stall_ns and now_ns >= self.stall_at_ns and self.record:
                time.sleep(self.stall_ns / 1e9)
                self.stall_at_ns = time.monotonic_ns() + self.stall_every_ns
            wait_s = 1.0
            if self.due:
                wait_s = max(0.0, (self.due[0][0] - SPIN_NS - now_ns) / 1e9)
            for sock in select.select([self.listener, *self.missing], [], [], wait_s)[0]:
                self._read(sock)
            while self.due and self.due[0][0] <= time.monotonic_ns():
                self._answer(heapq.heappop(self.due)[2])

    def _read(self, sock: socket.socket) -> None:
        if sock is self.listener:
            connection, _ = self.listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.missing[connection] = 0
            return
        count = sock.recv_into(self.buffer)
        if not count:
            del self.missing[sock]
            sock.close()
            return
        if self.missing[sock]:
            self.missing[sock] -= count
        else:
            now_ns = time.monotonic_ns()
            head = bytes(self.buffer[: min(count, 4096)])
            found = HEAD.search(head)
            assert found is not None, "a head comes whole"
            came = count - head.index(b"\r\n\r\n") - 4
            self.asked[sock] = int(found[2], 16), now_ns
            self.missing[sock] = int(found[1]) - came
        if not self.missing[sock]:
            self.count += 1
            due_ns = time.monotonic_ns() + self.service_ns[self.count % len(self.service_ns)]
            heapq.heappush(self.due, (due_ns, self.count, sock))

    def _answer(self, sock: socket.socket) -> None:
        request_id, read_ns = self.asked.pop(sock)
        # Taken before: once it is sent, the client may run before this thread does.
        self.record.append((request_id, read_ns, time.monotonic_ns()))
        sock.send(REPLY)


def main() -> None:
    """Serve, and leave the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("record", type=Path)
    parser.add_argument("--mean-ms", type=float, default=5.0)
    parser.add_argument("--stall-every-s", type=float, default=0.0)
    parser.add_argument("--stall-s", type=float, default=0.0)
    given = parser.parse_args()
    server = RecordingServer(given.mean_ms, given.stall_every_s, given.stall_s)

    def end(number: int, frame: object) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, end)
    print(server.listener.getsockname()[1], flush=True)
    try:
        server.serve()
    finally:
        np.save(given.record, np.array(server.record, dtype=np.int64).reshape(-1, 3))


if __name__ == "__main__":
    main()
