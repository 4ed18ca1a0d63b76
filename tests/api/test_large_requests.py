"""Clients that send too much, over real sockets: each gets to read why."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from rightsizer.api.application import BODY_MOST, HEADERS_MOST, LINGER_S, Application
from rightsizer.api.listening import Listener

from tests.api.wire import KEYS

pytestmark = [pytest.mark.server, pytest.mark.shared_cpus]

CHUNK = b"10000\r\n" + b"x" * 65536 + b"\r\n"
ANSWERED_S = 10.0


@contextmanager
def served(body_s: float = 20.0) -> Iterator[int]:
    """The application behind its listener, in a thread; its port."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port = bound.getsockname()[1]
        operations = {"SageMaker.ListModels": lambda _: {"Models": []}}
        application = Application(operations, KEYS, [f"127.0.0.1:{port}"], body_s=body_s)
        listener = Listener(application, bound)
        ready = threading.Event()
        thread = threading.Thread(target=listener.serve, args=(ready.set,))
        thread.start()
        try:
            assert ready.wait(10)
            yield port
            assert sent(port, head(port, "GET /healthz", "Connection: close")).startswith(b"200")
        finally:
            listener.stop()
            thread.join(20)
            application.close()
        assert not thread.is_alive()


def head(port: int, asked: str, *lines: str) -> bytes:
    said = (f"{asked} HTTP/1.1", f"Host: 127.0.0.1:{port}", *lines)
    return "".join(f"{line}\r\n" for line in (*said, "")).encode()


def sent(port: int, *parts: bytes) -> bytes:
    """All that comes back, from the status on, to a client that first sends all that it has."""
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWERED_S) as client:
        for part in parts:
            client.sendall(part)
        found = b""
        while more := client.recv(65536):
            found += more
    return found.removeprefix(b"HTTP/1.1 ")


def test_a_client_that_sends_far_too_much_in_chunks_reads_that_it_did():
    with served() as port:
        chunked = head(port, "POST /", "Transfer-Encoding: chunked")
        answer = sent(port, chunked, *[CHUNK] * 200, b"0\r\n\r\n")
    assert answer.startswith(b"413")
    assert b"RequestEntityTooLargeException" in answer


def test_a_client_that_sends_what_it_declared_reads_that_it_is_too_much():
    size = 16 * BODY_MOST
    with served() as port:
        answer = sent(port, head(port, "POST /", f"Content-Length: {size}"), b"x" * size)
    assert answer.startswith(b"413")


def test_a_real_client_is_told_that_its_request_is_too_large():
    with served() as port:
        client = boto3.client(
            "sagemaker",
            endpoint_url=f"http://127.0.0.1:{port}",
            region_name=KEYS.region,
            aws_access_key_id=KEYS.access_key_id,
            aws_secret_access_key=KEYS.secret_access_key,
            config=Config(retries={"total_max_attempts": 1}),
        )
        with pytest.raises(ClientError, match="RequestEntityTooLargeException"):
            client.list_models(NameContains="x" * 4 * BODY_MOST)
        assert client.list_models()["Models"] == []
        client.close()


def test_the_rest_of_what_was_refused_is_not_read_for_ever():
    with served(body_s=0.2) as port:
        begun = time.monotonic()
        with socket.create_connection(("127.0.0.1", port), timeout=ANSWERED_S) as client:
            client.sendall(head(port, "POST /", "Transfer-Encoding: chunked"))
            with suppress(ConnectionError):
                while time.monotonic() < begun + 4 * LINGER_S:
                    client.sendall(b"1\r\nx\r\n")
                    time.sleep(0.05)
        assert time.monotonic() - begun < 2 * LINGER_S


@pytest.mark.parametrize(
    "lines",
    [[f"X-Long: {'x' * HEADERS_MOST}"], ["X-Many: x"] * (HEADERS_MOST // 7)],
    ids=["long", "many"],
)
def test_headers_that_come_at_once_are_bounded_too(lines):
    with served() as port:
        answer = sent(port, head(port, "GET /healthz", "Connection: close", *lines))
    assert answer.startswith(b"431")
    assert b"RequestHeaderFieldsTooLargeException" in answer


def test_a_target_counts_among_them():
    with served() as port:
        asked = f"GET /healthz?{'x' * HEADERS_MOST}"
        assert sent(port, head(port, asked, "Connection: close")).startswith(b"431")


def test_headers_without_an_end_are_refused():
    with served() as port:
        answer = sent(port, head(port, "GET /healthz")[:-2], b"X: " + b"x" * (HEADERS_MOST + 1))
    assert answer.startswith(b"400")
