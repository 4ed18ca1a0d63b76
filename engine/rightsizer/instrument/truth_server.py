"""An HTTP server whose queue is known exactly; see `timetable`.

    python -m rightsizer.instrument.truth_server [PORT] [--law exponential] [--service-ms 5]
        [--servers 1] [--pause-ms 0] [--every-s 20] [--cached-bodies 0] [--seed 1] [--log FILE]

Prints its port. A POST is answered when its turn is over, by time.sleep: that is exact to tens of
microseconds, where the timers of an event loop round to a millisecond. GET answers how many POSTs
there were. SIGTERM ends it and leaves in the log a line for each POST: when it was read, when it
was answered (ns of the monotonic clock), and its X-Request-Id as a decimal, -1 without one.
"""

from __future__ import annotations

import argparse
import re
import signal
import socket
import threading
import time
from collections import OrderedDict
from pathlib import Path

from rightsizer.instrument.laws import LAWS
from rightsizer.instrument.timetable import Timetable

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
REQUEST_ID = re.compile(rb"\r\nx-request-id: *([0-9a-f]{1,16})\b", re.IGNORECASE)
REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s"
CHUNK_BYTES = 1 << 18


class TruthServer:
    """A thread for each connection; what they share is the queue."""

    def __init__(self, timetable: Timetable, cached_bodies: int = 0) -> None:
        """Answers to the last so many different bodies are kept, and given again at once."""
        self._timetable, self._cached_bodies = timetable, cached_bodies
        self._cache: OrderedDict[bytes, None] = OrderedDict()
        self._lock = threading.Lock()
        self.log: list[tuple[int, int, int]] = []

    def serve(self, listener: socket.socket) -> None:
        """Until the process is told to end."""
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        """Answer one keep-alive connection until it closes."""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        buffer = b""
        with connection:
            while True:
                while b"\r\n\r\n" not in buffer:
                    chunk = connection.recv(CHUNK_BYTES)
                    if not chunk:
                        return
                    buffer += chunk
                head, _, buffer = buffer.partition(b"\r\n\r\n")
                found = LENGTH.search(head)
                length = int(found[1]) if found else 0
                while len(buffer) < length:
                    chunk = connection.recv(CHUNK_BYTES)
                    if not chunk:
                        return
                    buffer += chunk
                said = b"ok" if head.startswith(b"POST") else str(len(self.log)).encode()
                if head.startswith(b"POST"):
                    self._take_turn(head, buffer[:length])
                buffer = buffer[length:]
                connection.sendall(REPLY % (len(said), said))

    def _take_turn(self, head: bytes, body: bytes) -> None:
        """Wait until the request is done, and write it down."""
        with self._lock:
            # Read under the lock: the queue takes arrivals in their order.
            read_ns = time.monotonic_ns()
            read_s = read_ns / 1e9
            done_s = read_s if self._is_cached(body) else self._timetable.done_s(read_s)
        wait_s = done_s - time.monotonic()
        if wait_s > 0:
            time.sleep(wait_s)
        found = REQUEST_ID.search(head)
        request_id = int(found[1], 16) if found else -1
        # Taken before: once it is sent, the client may run before this thread does.
        self.log.append((read_ns, time.monotonic_ns(), request_id))

    def _is_cached(self, body: bytes) -> bool:
        """Whether an answer to it is kept; from now on it is."""
        if not self._cached_bodies:
            return False
        known = body in self._cache
        self._cache[body] = None
        self._cache.move_to_end(body)
        if len(self._cache) > self._cached_bodies:
            self._cache.popitem(last=False)
        return known


def main() -> None:
    """Serve, and leave the log."""
    given = _arguments()
    signal.signal(signal.SIGTERM, _end)
    with socket.create_server(("127.0.0.1", given.port), backlog=1024) as listener:
        timetable = Timetable(
            LAWS[given.law],
            given.service_ms / 1e3,
            servers=given.servers,
            pause_s=given.pause_ms / 1e3,
            every_s=given.every_s,
            seed=given.seed,
            begin_s=time.monotonic(),
        )
        server = TruthServer(timetable, given.cached_bodies)
        print(listener.getsockname()[1], flush=True)
        try:
            server.serve(listener)
        finally:
            if given.log:
                lines = [f"{read} {answered} {number}\n" for read, answered, number in server.log]
                given.log.write_text("".join(lines))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("port", type=int, nargs="?", default=0)
    parser.add_argument("--law", default="exponential", choices=LAWS)
    parser.add_argument("--service-ms", type=float, default=5.0)
    parser.add_argument("--servers", type=int, default=1)
    parser.add_argument("--pause-ms", type=float, default=0.0)
    parser.add_argument("--every-s", type=float, default=20.0)
    parser.add_argument("--cached-bodies", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log", type=Path)
    return parser.parse_args()


def _end(number: int, frame: object) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    main()
