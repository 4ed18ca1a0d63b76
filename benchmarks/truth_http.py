"""An HTTP server whose queue is known: requests wait for one of its servers, first come, first
served, and take a drawn service time.

    python benchmarks/truth_http.py PORT [--law exponential] [--service-ms 5] [--servers 1]
        [--pause-ms 0] [--every-s 20] [--seed 1] [--log FILE]

It computes when each request is done the moment it arrives, and answers then: time.sleep is exact
to tens of microseconds, where the timers of an event loop round to a millisecond. GET answers how
many POSTs there were. The log gets a line for each: arrival and answer, ns of the monotonic clock.
"""

from __future__ import annotations

import argparse
import heapq
import socket
import threading
import time
from pathlib import Path

import numpy as np
from truth_servers import bimodal, exponential, fixed, four_payloads, lognormal

LAWS = {
    "exponential": exponential,
    "fixed": fixed,
    "bimodal": bimodal,
    "lognormal": lognormal,
    "four payloads": four_payloads,
}
REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s"


class Clock:
    """When each request is done; the queue itself is never run."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._random = np.random.default_rng(options.seed)
        self._law = LAWS[options.law]
        self._service_s = options.service_ms / 1e3
        self._free = [0.0] * options.servers
        self._pause_s, self._every_s = options.pause_ms / 1e3, options.every_s
        self._times: list[float] = []
        self._lock = threading.Lock()
        self._began_s = time.monotonic()
        self.log: list[tuple[float, float]] = []

    def arrive(self) -> float:
        """The monotonic instant, s, at which the request that comes now is done."""
        with self._lock:
            now = time.monotonic()
            if not self._times:
                self._times = (self._service_s * self._law(self._random, 1000)).tolist()
            done = self._worked_until(max(now, self._free[0]), self._times.pop())
            heapq.heapreplace(self._free, done)
            self.log.append((now, done))
            return done

    def _worked_until(self, begin: float, work_s: float) -> float:
        """The end of so much work, the pauses left out; one comes at the end of every period."""
        while self._pause_s:
            into = (begin - self._began_s) % self._every_s
            left = self._every_s - self._pause_s - into
            if left > 0 and work_s <= left:
                break
            work_s -= max(0.0, left)
            begin += self._every_s - into
        return begin + work_s


def serve(connection: socket.socket, clock: Clock) -> None:
    """Answer one keep-alive connection until it closes."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    buffer = b""
    with connection:
        while True:
            while b"\r\n\r\n" not in buffer:
                chunk = connection.recv(1 << 18)
                if not chunk:
                    return
                buffer += chunk
            head, _, buffer = buffer.partition(b"\r\n\r\n")
            fields = head.lower().split(b"content-length:")
            length = int(fields[1].split(b"\r\n")[0]) if len(fields) > 1 else 0
            while len(buffer) < length:
                buffer += connection.recv(1 << 18)
            buffer = buffer[length:]
            body = b"ok"
            if head.startswith(b"POST"):
                wait_s = clock.arrive() - time.monotonic()
                if wait_s > 0:
                    time.sleep(wait_s)
            else:
                body = str(len(clock.log)).encode()
            connection.sendall(REPLY % (len(body), body))


def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("port", type=int)
    parser.add_argument("--law", default="exponential", choices=LAWS)
    parser.add_argument("--service-ms", type=float, default=5.0)
    parser.add_argument("--servers", type=int, default=1)
    parser.add_argument("--pause-ms", type=float, default=0.0)
    parser.add_argument("--every-s", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log", type=Path)
    options = parser.parse_args()
    clock = Clock(options)
    with socket.create_server(("127.0.0.1", options.port), backlog=1024) as listener:
        if options.log:
            threading.Thread(target=keep_log, args=(options.log, clock), daemon=True).start()
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection, clock), daemon=True).start()


def keep_log(path: Path, clock: Clock) -> None:
    """Append what is new, once a second."""
    written = 0
    with path.open("w") as file:
        while True:
            time.sleep(1.0)
            lines = clock.log[written:]
            file.writelines(f"{int(a * 1e9)} {int(b * 1e9)}\n" for a, b in lines)
            file.flush()
            written += len(lines)


if __name__ == "__main__":
    main()
