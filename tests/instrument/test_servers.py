"""The packaged servers as processes: what they answer, and what the truth server writes down."""

from __future__ import annotations

import http.client
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

pytestmark = [pytest.mark.server, pytest.mark.shared_cpus]

NULL = ["-m", "rightsizer.instrument.null_server"]
WITHOUT_EPOLL = [
    "-c",
    "import select; del select.epoll\n"
    "import selectors; selectors.DefaultSelector = selectors.PollSelector\n"
    "from rightsizer.instrument import null_server; null_server.main()",
]
TRUTH = ["-m", "rightsizer.instrument.truth_server"]


@pytest.fixture
def start() -> Iterator[Callable[..., tuple[subprocess.Popen, http.client.HTTPConnection]]]:
    """Start one; the process, and a connection to it."""
    with ExitStack() as stack:

        def started(*arguments: object):
            command = [sys.executable, *map(str, arguments)]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            stack.enter_context(process)
            stack.callback(process.kill)
            port = int(process.stdout.readline())
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            stack.callback(connection.close)
            return process, connection

        yield started


def ask(connection, method="POST", body=b"", headers=None) -> bytes:
    connection.request(method, "/", body, headers or {})
    reply = connection.getresponse()
    assert reply.status == 200
    return reply.read()


@pytest.mark.parametrize("kind", [NULL, WITHOUT_EPOLL], ids=["epoll", "selectors"])
def test_the_null_server_answers_bodies_of_every_size_on_one_connection(start, kind):
    _, connection = start(*kind, 0, "--reply-bytes", 7)
    for size in (0, 1, 200, 4096, 250_000, 3_000_000):
        assert ask(connection, body=b"b" * size) == b"x" * 7
    assert ask(connection, "GET") == b"x" * 7


def test_the_null_server_takes_a_head_in_pieces(start):
    _, connection = start(*NULL)
    connection.connect()
    for piece in (b"POST / HTTP/1.1\r\nConte", b"nt-Length: 3\r\n", b"\r\n", b"a", b"bc"):
        connection.sock.sendall(piece)
        time.sleep(0.05)
    assert connection.sock.recv(4096).startswith(b"HTTP/1.1 200 OK")


def test_the_truth_server_serves_in_turn_and_writes_down_what_it_did(start, tmp_path: Path):
    log = tmp_path / "log.txt"
    process, connection = start(*TRUTH, "--law", "fixed", "--service-ms", 20, "--log", log)
    begin_ns = time.monotonic_ns()
    for number in (1, 2):
        assert ask(connection, body=b"abc", headers={"X-Request-Id": f"{number:016x}"}) == b"ok"
    assert ask(connection) == b"ok"
    assert ask(connection, "GET") == b"3"
    process.terminate()
    process.wait(10)
    rows = [[int(word) for word in line.split()] for line in log.read_text().splitlines()]
    assert [row[2] for row in rows] == [1, 2, -1]
    for read_ns, answered_ns, _ in rows:
        assert begin_ns < read_ns
        assert answered_ns - read_ns >= 20_000_000


def test_a_kept_answer_takes_no_turn(start):
    _, connection = start(*TRUTH, "--law", "fixed", "--service-ms", 100, "--cached-bodies", 1)

    def took_s(body: bytes) -> float:
        begin_s = time.monotonic()
        ask(connection, body=body)
        return time.monotonic() - begin_s

    assert took_s(b"a") >= 0.1
    assert min(took_s(b"a") for _ in range(5)) < 0.1
    assert took_s(b"b") >= 0.1
    # only the last body is kept
    assert took_s(b"a") >= 0.1
