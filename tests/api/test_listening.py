"""The listener over real connections: whatever a client does, the next good one is answered."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from rightsizer.api.application import BODY_MOST, Application
from rightsizer.api.faults import in_use, not_found
from rightsizer.api.listening import HEADER_BYTES, Listener

from tests.api.wire import KEYS, signed

pytestmark = pytest.mark.server

SOON_S = 0.5
"""A client's deadline in these tests."""
ARN = "arn:aws:sagemaker:us-east-1:000000000000:model/"


class Listening:
    """A listener in a thread of its own, and what its operations do."""

    def __init__(self, **settings: Any) -> None:
        self.bound = socket.create_server(("127.0.0.1", 0))
        self.port = self.bound.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        self.created: list[str] = []
        self.go = threading.Event()
        """What `CreateModel` of "slow" waits for."""
        self.begun = threading.Event()
        operations = {"SageMaker.CreateModel": self._create, "SageMaker.ListModels": self._list}
        self.application = Application(operations, KEYS, (self.host,), body_s=SOON_S)
        self.listener = Listener(self.application, self.bound, **{"headers_s": SOON_S, **settings})
        ready = threading.Event()
        self.thread = threading.Thread(target=self.listener.serve, args=(ready.set,))
        self.thread.start()
        assert ready.wait(10)

    def _create(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        name = asked["ModelName"]
        if name == "slow":
            self.begun.set()
            assert self.go.wait(20)
        if name in FAULTS:
            raise FAULTS[name]
        self.created.append(name)
        return {"ModelArn": ARN + name}

    def _list(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"Models": [], "NextToken": "x" * 20_000_000}

    def close(self) -> None:
        self.go.set()
        self.listener.stop()
        self.thread.join(20)
        assert not self.thread.is_alive()
        self.application.close()

    def client(self) -> Any:
        return boto3.client(
            "sagemaker",
            endpoint_url=f"http://{self.host}",
            region_name=KEYS.region,
            aws_access_key_id=KEYS.access_key_id,
            aws_secret_access_key=KEYS.secret_access_key,
            config=Config(retries={"max_attempts": 0}, connect_timeout=5, read_timeout=10),
        )

    def request(self, name: str = "m", operation: str = "CreateModel", **more: str) -> bytes:
        """A good request as bytes; `more` are headers besides."""
        document = {"ModelName": name} if operation == "CreateModel" else {}
        headers, body = signed(operation, document, self.host)
        headers |= {"content-length": str(len(body)), **more}
        return head("POST / HTTP/1.1", headers) + body

    @contextmanager
    def connection(self, receive_bytes: int = 0) -> Iterator[socket.socket]:
        with socket.socket() as made:
            if receive_bytes:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
            made.settimeout(10)
            made.connect(("127.0.0.1", self.port))
            yield made

    def sent(self, *parts: bytes, pause_s: float = 0.0) -> bytes:
        """All that comes back for these bytes until the server closes the connection."""
        with self.connection() as made:
            for part in parts:
                made.sendall(part)
                time.sleep(pause_s)
            return rest_of(made)

    def is_well(self) -> bool:
        """Whether a good request is answered at once."""
        before = len(self.created)
        started_s = time.monotonic()
        reply = self.sent(self.request(connection="close"))
        assert time.monotonic() - started_s < 3
        return reply.startswith(b"HTTP/1.1 200 ") and len(self.created) == before + 1


FAULTS = {"gone": not_found("there is no such"), "taken": in_use("taken"), "bug": KeyError("x")}


def head(line: str, headers: Mapping[str, str]) -> bytes:
    lines = [line, *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def rest_of(connection: socket.socket) -> bytes:
    """What comes until the other end closes, or breaks off."""
    found = b""
    try:
        while part := connection.recv(65536):
            found += part
    except ConnectionError:
        pass
    return found


def answer_of(connection: socket.socket) -> bytes:
    """One whole answer; the connection stays open."""
    found = b""
    while b"\r\n\r\n" not in found:
        found += connection.recv(65536)
    start, _, body = found.partition(b"\r\n\r\n")
    length = int(start.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return found


def ended_within(connection: socket.socket, seconds: float) -> bool:
    connection.settimeout(seconds)
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


@pytest.fixture
def listening() -> Iterator[Callable[..., Listening]]:
    made: list[Listening] = []

    def make(**settings: Any) -> Listening:
        made.append(Listening(**settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def server(listening) -> Listening:
    return listening()


# -- clients -----------------------------------------------------------------------------------


def test_boto3_calls_it_and_gets_typed_errors(server):
    client = server.client()
    assert client.create_model(ModelName="m")["ModelArn"] == ARN + "m"
    with pytest.raises(client.exceptions.ResourceNotFound, match="there is no such"):
        client.create_model(ModelName="gone")
    with pytest.raises(client.exceptions.ResourceInUse):
        client.create_model(ModelName="taken")
    with pytest.raises(ClientError) as caught:
        client.create_model(ModelName="bug")
    assert caught.value.response["Error"]["Code"] == "InternalFailure"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    with pytest.raises(ClientError, match="CreateEndpoint is not implemented here"):
        client.create_endpoint(EndpointName="e", EndpointConfigName="c")
    with pytest.raises(ClientError, match="Member must satisfy regular expression pattern"):
        client.create_model(ModelName="no spaces")
    assert client.create_model(ModelName="n")["ModelArn"] == ARN + "n"


def test_a_connection_carries_many_requests_also_sent_at_once(server):
    with server.connection() as made:
        made.sendall(b"".join(server.request(f"m{i}") for i in range(5)))
        made.sendall(server.request("last", connection="close"))
        assert rest_of(made).count(b"HTTP/1.1 200 ") == 6
    assert server.created == ["m0", "m1", "m2", "m3", "m4", "last"]


def test_the_health_check_is_answered_while_an_operation_runs(server):
    with server.connection() as made:
        made.sendall(server.request("slow"))
        assert server.begun.wait(5)
        get = head("GET /healthz HTTP/1.1", {"Host": server.host, "Connection": "close"})
        assert server.sent(get).endswith(b'{"status":"ok"}')
        server.go.set()
        assert made.recv(15) == b"HTTP/1.1 200 OK"


# -- what is no request ------------------------------------------------------------------------

ATTACKS: dict[str, tuple[bytes, bytes]] = {
    "garbage": (b"\x00\xff\xfe garbage \r\n\r\n", b"400"),
    "tls": (bytes.fromhex("16030100c8010000c40303") + b"\x00" * 200 + b"\r\n\r\n", b"400"),
    "http/2": (b"PRI * HTTP/2.0\r\nConnection: close\r\n\r\n", b"403"),
    "no version": (b"GET /healthz\r\n\r\n", b"400"),
    "no host": (b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n", b"400"),
    "no host, http/1.0": (b"GET /healthz HTTP/1.0\r\n\r\n", b"403"),
    "two hosts": (b"GET /healthz HTTP/1.1\r\nHost: HOST\r\nHost: evil\r\n\r\n", b"400"),
    "space in name": (b"GET /healthz HTTP/1.1\r\nHost : HOST\r\n\r\n", b"400"),
    "two lengths": (
        b"POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"400",
    ),
    "negative length": (b"POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: -1\r\n\r\n", b"400"),
    "endless length": (
        b"POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"400",
    ),
    "other transfer": (
        b"POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"400",
    ),
    "bad chunk": (
        b"POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\nnot hex\r\n",
        b"400",
    ),
    "large header": (
        b"GET /healthz HTTP/1.1\r\nHost: HOST\r\nX: " + b"x" * 2 * HEADER_BYTES,
        b"400",
    ),
    "many headers": (
        b"GET /healthz HTTP/1.1\r\nHost: HOST\r\n" + b"X: y\r\n" * HEADER_BYTES,
        b"400",
    ),
    "declared too large": (
        b"POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: %d\r\n\r\n" % (BODY_MOST + 1),
        b"413",
    ),
    "chunks too large": (
        b"POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"%x\r\n%s" % (2 * BODY_MOST, b"x" * (BODY_MOST + 1)),
        b"413",
    ),
    "slow body": (b"POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 9\r\n\r\nx", b"408"),
    "slow chunks": (
        b"POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nx",
        b"408",
    ),
    "foreign host": (b"GET /healthz HTTP/1.1\r\nHost: evil\r\nConnection: close\r\n\r\n", b"403"),
    "foreign origin": (
        b"OPTIONS / HTTP/1.1\r\nHost: HOST\r\nOrigin: http://e\r\nConnection: close\r\n\r\n",
        b"403",
    ),
    "absolute form": (
        b"GET http://HOST/healthz HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n",
        b"404",
    ),
    "proxy": (b"CONNECT evil:443 HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n", b"404"),
    "up": (b"GET /../etc/passwd HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n", b"404"),
    "asterisk": (b"OPTIONS * HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n", b"404"),
    "web socket": (
        b"GET / HTTP/1.1\r\nHost: HOST\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        b"405",
    ),
    "head": (b"HEAD / HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n", b"405"),
}


def test_whatever_is_sent_is_refused_in_one_line_and_the_server_goes_on(server, caplog):
    caplog.set_level(logging.INFO, "rightsizer")
    for name, (sent, status) in ATTACKS.items():
        caplog.clear()
        started_s = time.monotonic()
        reply = server.sent(sent.replace(b"HOST", server.host.encode()))
        assert reply.startswith(b"HTTP/1.1 " + status + b" "), (name, reply[:200])
        assert time.monotonic() - started_s < 3, name
        assert len(caplog.messages) == 1, (name, caplog.messages)
        assert "\n" not in caplog.text.rstrip("\n"), name
        assert server.is_well(), name
    assert len(server.created) == len(ATTACKS)


def test_garbage_after_a_good_request_spoils_only_itself(server):
    reply = server.sent(server.request("first") + b"\x00garbage\r\n\r\n" + server.request("never"))
    assert reply.count(b"HTTP/1.1 200 ") == 1
    assert reply.count(b"HTTP/1.1 400 ") == 1
    assert server.created == ["first"]
    assert server.is_well()


def test_a_body_longer_than_declared_is_no_second_request_of_the_signers(server):
    reply = server.sent(server.request("m") + b'{"ModelName":"n"}\r\n\r\n')
    assert server.created == ["m"]
    assert reply.count(b"HTTP/1.1 200 ") == 1


def test_a_client_that_goes_in_the_middle_is_forgotten(server, caplog):
    caplog.set_level(logging.INFO)
    request = server.request()
    for length in (1, 20, len(request) - 5, len(request)):
        with server.connection() as made:
            made.sendall(request[:length])
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    time.sleep(0.1)
    assert server.is_well()
    assert caplog.messages == []


# -- slow clients ------------------------------------------------------------------------------


def test_a_connection_that_asks_nothing_is_closed(server):
    with server.connection() as made:
        assert ended_within(made, 3 * SOON_S)


def test_headers_that_drip_are_cut_off_also_those_of_a_second_request(server):
    for before in (b"", server.request()):
        with server.connection() as made:
            made.sendall(before)
            if before:
                assert answer_of(made).startswith(b"HTTP/1.1 200 ")
                time.sleep(0.1)
            started_s = time.monotonic()
            made.settimeout(0.1)
            ended = False
            while not ended and time.monotonic() - started_s < 5:
                try:
                    made.sendall(b"G")
                    ended = made.recv(1) == b""
                except TimeoutError:
                    pass
                except ConnectionError:
                    ended = True
            assert ended
            assert time.monotonic() - started_s < 3 * SOON_S


def test_a_connection_between_requests_is_kept_longer(server):
    with server.connection() as made:
        for _ in range(2):
            made.sendall(server.request())
            assert answer_of(made).startswith(b"HTTP/1.1 200 ")
            time.sleep(2 * SOON_S)
    assert server.created == ["m", "m"]


def test_an_operation_may_take_longer_than_a_client(server):
    with server.connection() as made:
        made.sendall(server.request("slow"))
        time.sleep(3 * SOON_S)
        server.go.set()
        assert made.recv(15) == b"HTTP/1.1 200 OK"


def test_a_client_that_does_not_take_its_answer_is_cut_off(server):
    with server.connection(receive_bytes=4096) as made:
        made.sendall(server.request(operation="ListModels"))
        assert made.recv(15) == b"HTTP/1.1 200 OK"
        time.sleep(3 * SOON_S)
        assert len(rest_of(made)) < 15_000_000
    assert server.is_well()


def test_a_client_that_takes_its_answer_slowly_gets_it(listening):
    server = listening(headers_s=10)
    with server.connection() as made:
        made.sendall(server.request(operation="ListModels", connection="close"))
        time.sleep(SOON_S)
        assert len(rest_of(made)) > 20_000_000


def test_many_idle_connections_keep_nobody_out(server):
    with_asked = server.connection()
    made: list[socket.socket] = []
    with with_asked as asking:
        asking.sendall(server.request("slow"))
        assert server.begun.wait(5)
        try:
            for number in range(300):
                made.append(socket.create_connection(("127.0.0.1", server.port), timeout=10))
                made[-1].sendall(b"POST / HTTP/1.1\r\n"[: number % 17])
            get = head("GET /healthz HTTP/1.1", {"Host": server.host, "Connection": "close"})
            started_s = time.monotonic()
            assert server.sent(get).startswith(b"HTTP/1.1 200 ")
            assert time.monotonic() - started_s < SOON_S
        finally:
            for one in made:
                one.close()
        server.go.set()
        assert asking.recv(15) == b"HTTP/1.1 200 OK"  # who was being answered was not closed


def test_of_too_many_connections_the_one_that_waits_longest_is_closed(listening):
    server = listening(connections=3)
    made = []
    try:
        for _ in range(3):
            made.append(socket.create_connection(("127.0.0.1", server.port), timeout=10))
            made[-1].sendall(server.request())
            assert answer_of(made[-1]).startswith(b"HTTP/1.1 200 ")
        made[0].sendall(server.request())  # now the second waits longest
        assert answer_of(made[0]).startswith(b"HTTP/1.1 200 ")
        made.append(socket.create_connection(("127.0.0.1", server.port), timeout=10))
        assert ended_within(made[1], 2)
        for other in (made[0], made[2], made[3]):
            other.sendall(server.request())
            other.settimeout(10)
            assert answer_of(other).startswith(b"HTTP/1.1 200 ")
    finally:
        for one in made:
            one.close()


# -- the end -----------------------------------------------------------------------------------


def test_what_is_being_answered_is_answered_before_the_end(server):
    with server.connection() as made:
        made.sendall(server.request("slow"))
        assert server.begun.wait(5)
        server.listener.stop()
        time.sleep(0.5)
        server.go.set()
        reply = rest_of(made)
    assert reply.startswith(b"HTTP/1.1 200 ")
    assert json.loads(reply.partition(b"\r\n\r\n")[2]) == {"ModelArn": ARN + "slow"}
    server.thread.join(5)
    assert not server.thread.is_alive()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port))


def test_who_is_slow_is_not_waited_for_at_the_end(server):
    with server.connection() as idle, server.connection() as header, server.connection() as body:
        header.sendall(b"POST / HTTP/1.1\r\nHos")
        body.sendall(server.request()[:-3])
        with server.connection() as kept:
            kept.sendall(server.request())
            assert answer_of(kept).startswith(b"HTTP/1.1 200 ")
            started_s = time.monotonic()
            server.listener.stop()
            server.thread.join(5)
            assert time.monotonic() - started_s < 2
            assert not server.thread.is_alive()
            for one in (idle, header, body, kept):
                assert rest_of(one) == b""


def test_one_that_is_stopped_before_it_began_ends_at_once():
    bound = socket.create_server(("127.0.0.1", 0))
    listener = Listener(None, bound)
    listener.stop()
    began: list[bool] = []
    listener.serve(lambda: began.append(True))
    assert began == [True]
