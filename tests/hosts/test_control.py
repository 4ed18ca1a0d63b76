"""Readiness and probes against servers that answer well, badly, slowly and without end."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable

import pytest
from rightsizer.hosts.control import ProbeError, ProbeReply, send_probe, why_not_ready

pytestmark = [pytest.mark.server, pytest.mark.shared_cpus]

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def is_ready(url: str, path: str | None, timeout_s: float) -> bool:
    return why_not_ready(url, path, timeout_s) is None


def request(connection: socket.socket) -> str:
    """One request whole: what is left unread resets the connection."""
    text = ""
    while more := connection.recv(65536).decode("latin-1"):
        text += more
        head, end, body = text.partition("\r\n\r\n")
        length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
        if end and len(body) >= int(length[1] if length else 0):
            break
    return text


@pytest.fixture
def serve():
    """A server that reads a request's head and does as it is told; its URL, and what it read."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        heads: list[str] = []
        done = threading.Event()
        threads: list[threading.Thread] = []
        behave: list[Callable[[socket.socket, threading.Event], None]] = []

        def answer(connection: socket.socket) -> None:
            with connection:
                connection.settimeout(5)
                try:
                    heads.append(request(connection))
                    behave[0](connection, done)
                except OSError:
                    return

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                if done.is_set():
                    connection.close()
                    return
                threads.append(threading.Thread(target=answer, args=[connection]))
                threads[-1].start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        port = listener.getsockname()[1]

        def start(how: bytes | Callable[[socket.socket, threading.Event], None]) -> str:
            behave[:] = [how if callable(how) else lambda sock, _: sock.sendall(how)]
            return f"http://127.0.0.1:{port}"

        start.heads = heads  # type: ignore[attr-defined]
        yield start
        done.set()
        socket.create_connection(("127.0.0.1", port)).close()
        for thread in [accepting, *threads]:
            thread.join(10)
            assert not thread.is_alive()


def silent(sock: socket.socket, done: threading.Event) -> None:
    done.wait(10)


def endless(sock: socket.socket, done: threading.Event) -> None:
    sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while not done.is_set():
        sock.sendall(b"x" * 65536)


def dripping(sock: socket.socket, done: threading.Event) -> None:
    sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
    while not done.wait(0.05):
        sock.sendall(b"x")


def unused() -> str:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return f"http://127.0.0.1:{sock.getsockname()[1]}"


def probe(url: str, timeout_s: float = 5.0, **more: object) -> ProbeReply:
    given = {"headers": {}, "body": b"body", "content_type": "text/plain", **more}
    return send_probe(url, "POST", "/invocations", timeout_s=timeout_s, **given)  # type: ignore[arg-type]


# -- readiness ---------------------------------------------------------------------------------


def test_a_server_is_ready_when_it_answers_200_and_only_then(serve):
    assert is_ready(serve(OK), "/ping", 5)
    assert why_not_ready(serve(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n"), "/ping", 5) == (
        "status 503"
    )
    assert not is_ready(
        serve(b"HTTP/1.1 302 F\r\nlocation: /\r\ncontent-length: 0\r\n\r\n"), "/", 5
    )
    assert not is_ready(serve(b"SSH-2.0-OpenSSH_9.6\r\n"), "/ping", 5)
    assert serve.heads[0].startswith("GET /ping HTTP/1.1\r\n")


def test_a_server_that_never_answers_is_not_ready_after_the_time_it_is_given(serve):
    begin_s = time.monotonic()
    assert why_not_ready(serve(silent), "/ping", 0.3) == "no answer within 0.3 s"
    assert time.monotonic() - begin_s < 3


def test_a_ready_path_without_end_is_ready_and_not_read(serve):
    begin_s = time.monotonic()
    assert is_ready(serve(endless), "/ping", 5)
    assert is_ready(serve(dripping), "/ping", 5)
    assert time.monotonic() - begin_s < 3


def test_without_a_path_a_connection_is_enough(serve):
    assert why_not_ready(serve(silent), None, 5) is None
    assert why_not_ready(unused(), None, 5)
    assert why_not_ready(unused(), "/ping", 5)


def test_a_base_path_is_kept(serve):
    assert is_ready(serve(OK) + "/base/", "/ping", 5)
    assert serve.heads[0].startswith("GET /base/ping HTTP/1.1\r\n")


# -- probes ------------------------------------------------------------------------------------


def test_a_probe_sends_what_the_job_says_and_tells_what_came(serve):
    found = probe(serve(OK), headers={"X-Key": "1"})
    assert (found.status, found.body, found.size_bytes) == (200, b"ok", 2)
    assert 0 < found.elapsed_s < 5
    (head,) = serve.heads
    assert head.startswith("POST /invocations HTTP/1.1\r\n")
    assert head.endswith("\r\n\r\nbody")
    fields = dict(line.lower().split(": ") for line in head.split("\r\n")[1:-2])
    assert fields["content-type"] == "text/plain"
    assert fields["x-key"] == "1"
    assert fields["content-length"] == "4"


def test_a_jobs_own_content_type_comes_before_the_payloads(serve):
    probe(serve(OK), headers={"Content-Type": "application/json"})
    (head,) = serve.heads
    assert head.lower().count("content-type") == 1
    assert "application/json" in head


def test_an_error_status_is_an_answer(serve):
    found = probe(serve(b"HTTP/1.1 415 No\r\ncontent-length: 3\r\n\r\nwhy"))
    assert (found.status, found.body) == (415, b"why")


def test_a_redirect_is_not_followed_and_says_where_it_points(serve):
    url = serve(b"HTTP/1.1 307 Go\r\nlocation: /else\r\ncontent-length: 0\r\n\r\n")
    found = probe(url)
    assert (found.status, found.location) == (307, f"{url}/else")
    assert len(serve.heads) == 1


def test_a_proxy_of_the_users_environment_is_not_used(serve, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, unused())
    assert probe(serve(OK)).status == 200
    assert is_ready(serve(OK), "/ping", 5)


def test_of_a_large_answer_the_beginning_is_kept_and_the_size_told(serve):
    body = b"x" * 300_000
    head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body)
    found = probe(serve(head + body))
    assert (len(found.body), found.size_bytes) == (65536, 300_000)


@pytest.mark.parametrize(
    ("how", "why"),
    [
        (silent, "within 0.4 s"),
        (dripping, "within 0.4 s"),
        (endless, "within 0.4 s"),
    ],
)
def test_a_probe_ends_with_its_time_whatever_the_server_does(serve, how, why):
    begin_s = time.monotonic()
    with pytest.raises(ProbeError, match=why):
        probe(serve(how), 0.4)
    assert time.monotonic() - begin_s < 3


@pytest.mark.parametrize(
    "how",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nonly",
        b"",
    ],
)
def test_what_is_not_http_or_cut_off_is_no_answer(serve, how):
    with pytest.raises(ProbeError, match="not HTTP, or was cut off"):
        probe(serve(how))


def test_nobody_listening_is_no_answer():
    with pytest.raises(ProbeError, match="no connection"):
        probe(unused())
