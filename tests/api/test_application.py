"""Who may ask, what was asked, and what the log keeps of it: the application without a server."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.parsers import ResponseParserFactory
from rightsizer.api import shapes
from rightsizer.api.application import BODY_MOST, Application
from rightsizer.api.faults import ApiFault, in_use, not_found
from rightsizer.errors import EnvironmentFault

from tests.api.wire import JSON, KEYS, signed

HOST = "127.0.0.1:8717"
HOSTS = (HOST, "localhost:8717", "[::1]:8717")
ARN = "arn:aws:sagemaker:us-east-1:000000000000:model/"
SECRET = "hunter2-of-the-body"

Headers = dict[str, str]


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def fault(self) -> tuple[int, str, str]:
        """Status, code and message."""
        document = json.loads(self.body)
        assert document["Message"] == document["message"]
        return self.status, document["__type"], document["Message"]


@dataclass
class Caller:
    """`call(headers, body)` sends a request to the application; None where it does not answer."""

    application: Application
    called: list[Mapping[str, Any]] = field(default_factory=list)

    def __call__(
        self,
        headers: Headers | list[tuple[str, str]],
        body: bytes | Iterable[bytes] = b"",
        *,
        method: str = "POST",
        path: str = "/",
        query: str = "",
        stays: bool = True,
    ) -> Reply | None:
        parts = [body] if isinstance(body, bytes) else list(body)
        return asyncio.run(self._sent(headers, parts, method, path, query, stays))

    def ask(self, operation: str, document: Any, **more: Any) -> Reply:
        reply = self(*signed(operation, document, HOST), **more)
        assert reply is not None
        return reply

    async def _sent(self, headers, parts, method, path, query, stays) -> Reply | None:
        pairs = headers.items() if isinstance(headers, dict) else headers
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(n.lower().encode("latin-1"), v.encode("latin-1")) for n, v in pairs],
            "client": ("10.1.2.3", 4711),
        }
        last = len(parts) - 1
        messages = [
            {"type": "http.request", "body": part, "more_body": i < last or not stays}
            for i, part in enumerate(parts)
        ]
        if not stays:
            messages.append({"type": "http.disconnect"})
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            if messages:
                return messages.pop(0)
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self.application(scope, receive, send)
        if not sent:
            return None
        start, *rest = sent
        found = {name.decode(): value.decode() for name, value in start["headers"]}
        return Reply(start["status"], found, b"".join(m.get("body", b"") for m in rest))


@pytest.fixture
def call() -> Iterator[Caller]:
    with_calls: list[Mapping[str, Any]] = []

    def create(asked: Mapping[str, Any]) -> Mapping[str, Any]:
        with_calls.append(asked)
        return {"ModelArn": ARN + asked["ModelName"]}

    def delete(asked: Mapping[str, Any]) -> Mapping[str, Any]:
        with_calls.append(asked)
        return {}

    operations = {"SageMaker.CreateModel": create, "SageMaker.DeleteModel": delete}
    application = Application(operations, KEYS, HOSTS, body_s=0.3)
    yield Caller(application, with_calls)
    application.close()


@pytest.fixture(autouse=True)
def _info(caplog):
    caplog.set_level(logging.DEBUG, "rightsizer.api")


@pytest.fixture
def running() -> Iterator[Callable[[Callable[..., Any]], Caller]]:
    """`running(run)` is an application whose CreateModel is that."""
    made: list[Application] = []

    def make(run: Callable[..., Any]) -> Caller:
        made.append(Application({"SageMaker.CreateModel": run}, KEYS, HOSTS))
        return Caller(made[-1])

    yield make
    for application in made:
        application.close()


@pytest.fixture
def raising(running) -> Callable[[Exception], Caller]:
    """`raising(error)` is an application whose CreateModel does that."""

    def make(error: Exception) -> Caller:
        def run(asked: Mapping[str, Any]) -> Mapping[str, Any]:
            raise error

        return running(run)

    return make


CREATE = {"ModelName": "m"}


# -- answers -----------------------------------------------------------------------------------


def test_an_operation_is_answered(call, caplog):
    reply = call.ask("CreateModel", CREATE)
    assert reply.status == 200
    assert json.loads(reply.body) == {"ModelArn": ARN + "m"}
    assert reply.headers["content-type"] == JSON
    assert len(reply.headers["x-amzn-requestid"]) == 36
    assert call.called == [CREATE]
    assert caplog.records == []


def test_an_operation_without_an_answer_has_an_empty_body(call):
    assert call.ask("DeleteModel", CREATE).body == b""


def test_an_operation_gets_what_its_shape_says(call):
    call.ask("CreateModel", {**CREATE, "Unknown": 1, "ExecutionRoleArn": None})
    assert call.called == [CREATE]


def test_a_body_in_pieces_is_one_body(call):
    headers, body = signed("CreateModel", CREATE, HOST)
    reply = call(headers, [body[:1], b"", body[1:7], body[7:]])
    assert reply.status == 200


@pytest.mark.parametrize("host", [*HOSTS, "LocalHost:8717"])
def test_every_name_of_the_server_is_answered(call, host):
    assert call(*signed("CreateModel", CREATE, host)).status == 200


def test_the_health_check_needs_no_credentials(call, caplog):
    for query in ("", "x=1"):
        reply = call({"host": HOST}, method="GET", path="/healthz", query=query)
        assert (reply.status, json.loads(reply.body)) == (200, {"status": "ok"})
    assert caplog.records == []


def test_operations_run_one_at_a_time(running):
    now, most, lock = 0, 0, threading.Lock()

    def run(asked: Mapping[str, Any]) -> Mapping[str, Any]:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.02)
        with lock:
            now -= 1
        return {"ModelArn": ARN + "m"}

    caller = running(run)
    headers, body = signed("CreateModel", CREATE, HOST)

    async def all_of_them() -> None:
        sent = (caller._sent(headers, [body], "POST", "/", "", True) for _ in range(5))
        replies = await asyncio.gather(*sent)
        assert [reply.status for reply in replies] == [200] * 5

    asyncio.run(all_of_them())
    assert most == 1


# -- refusals ----------------------------------------------------------------------------------


def good(**more: str) -> Headers:
    return {**signed("CreateModel", CREATE, HOST)[0], **more}


def without(*names: str) -> Headers:
    return {name: value for name, value in good().items() if name not in names}


BODY = signed("CreateModel", CREATE, HOST)[1]
DENIED = (403, "AccessDeniedException")
METHODS = ("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "POST")


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8717",
        "127.0.0.1",
        "127.0.0.1:80",
        "127.0.0.1:8717.evil.example",
        "user@127.0.0.1:8717",
        "127.0.0.1:8717,evil.example",
        "127.1:8717",
        "::1:8717",
        "",
        " ",
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_a_foreign_host_is_refused_whatever_is_asked(call, host, method):
    for path in ("/", "/healthz"):
        reply = call({**good(), "host": host}, BODY, method=method, path=path)
        assert reply.fault[:2] == DENIED
        assert "`allowed_hosts` of serve.yaml" in reply.fault[2]
    assert call.called == []


def test_no_host_is_a_foreign_one(call):
    assert call(without("host"), BODY).fault[:2] == DENIED
    assert call({}, method="GET", path="/healthz").fault[:2] == DENIED


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "https://127.0.0.1:8717",
        "http://127.0.0.1",
        "http://127.0.0.1:8717.evil.example",
        "http://127.0.0.1:3000",
        "null",
        "file://",
        "",
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_a_page_of_another_origin_is_refused_whatever_it_asks(call, origin, method):
    for path in ("/", "/healthz"):
        reply = call(good(origin=origin), BODY, method=method, path=path)
        assert reply.fault[:2] == DENIED
        assert not [name for name in reply.headers if name.startswith("access-control")]
    assert call.called == []


def test_our_own_origin_is_not_foreign(call):
    assert call(good(origin="http://127.0.0.1:8717"), BODY).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "//", "/../", "/.", "/%2e%2e/", "/healthz/..", "/healthz/../", "//healthz", "/healthz/",
        "/Healthz", "/%68ealthz", "/healthz%00", "http://127.0.0.1:8717/", "*", "", "/index.html",
        "/../../etc/passwd", "/;a=b",
    ],
)  # fmt: skip
def test_any_other_path_is_nowhere(call, path):
    for method in ("POST", "GET"):
        status, code, message = call(good(), BODY, path=path, method=method).fault
        assert (status, code) == (404, "UnknownOperationException")
        assert message == "there is nothing here but POST /"
    assert call.called == []


def test_a_query_is_nowhere_too(call):
    assert call(good(), BODY, query="Action=CreateModel").fault[0] == 404


@pytest.mark.parametrize("method", [m for m in METHODS if m != "POST"])
def test_any_other_method_is_refused(call, method):
    assert call(good(), BODY, method=method).fault[:2] == (405, "UnknownOperationException")
    assert call.called == []


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/json", "application/x-www-form-urlencoded", "", JSON + "x"]
)
def test_another_content_type_is_refused(call, kind):
    more = {"Content-Type": kind}
    headers, body = signed("CreateModel", CREATE, HOST, **more)
    assert call(headers, body).fault[:2] == (415, "UnsupportedMediaTypeException")
    assert call.called == []


def test_no_content_type_is_refused_and_one_with_a_charset_is_not(call):
    assert call(without("content-type"), BODY).fault[0] == 415
    more = {"Content-Type": "Application/X-Amz-Json-1.1; charset=UTF-8"}
    assert call(*signed("CreateModel", CREATE, HOST, **more)).status == 200


@pytest.mark.parametrize(
    "name",
    ["host", "origin", "authorization", "content-type", "content-length", "x-amz-target",
     "x-amz-date", "x-amz-security-token"],
)  # fmt: skip
@pytest.mark.parametrize("first", [True, False])
def test_a_header_that_matters_may_not_be_there_twice(call, name, first):
    headers = good(origin="http://127.0.0.1:8717")
    own = headers.setdefault(name, "7")
    extra = {"x-amz-target": "SageMaker.DeleteModel"}.get(name, own)
    pairs = [*headers.items()]
    pairs.insert(0 if first else len(pairs), (name, extra))
    status, code, message = call(pairs, BODY).fault
    assert (status, code, message) == (400, "BadRequestException", f"more than one header {name}")
    assert call.called == []


def test_other_headers_may_be_there_twice(call):
    assert call([*good().items(), ("via", "a"), ("via", "b")], BODY).status == 200


@pytest.mark.parametrize("target", ["", "CreateModel", "EC2.RunInstances", "sagemaker.CreateModel"])
def test_a_target_of_no_service_is_no_operation(call, target):
    reply = call(good(**{"x-amz-target": target}), BODY)
    assert reply.fault == (400, "UnknownOperationException", "X-Amz-Target names no operation")


def test_an_unknown_operation_and_one_that_is_not_implemented_here_are_told_apart(call):
    unknown = call.ask("DoMagic", {})
    assert unknown.fault == (
        400,
        "UnknownOperationException",
        "SageMaker.DoMagic is no operation",
    )
    missing = call.ask("CreateEndpoint", {})
    assert missing.fault == (
        400,
        "UnknownOperationException",
        "CreateEndpoint is not implemented here; these are: CreateModel, DeleteModel",
    )


def test_only_who_signs_learns_what_there_is(call):
    for target in ("SageMaker.DoMagic", "SageMaker.CreateEndpoint", "SageMaker.CreateModel"):
        reply = call({"host": HOST, "content-type": JSON, "x-amz-target": target})
        assert reply.fault[:2] == (403, "MissingAuthenticationTokenException")


def test_a_body_that_was_changed_is_refused(call):
    assert call(good(), b'{"ModelName":"n"}').fault[:2] == (403, "InvalidSignatureException")
    assert call.called == []


@pytest.mark.parametrize(
    "body",
    [b"{", b"nonsense", b"\xff\xfe\xfd", b'{"ModelName": "m"', b"[" * 100_000, b"[]", b"1" * 5000],
    ids=lambda body: body[:12],
)  # fmt: skip
def test_a_body_that_is_no_json_object_is_refused(call, body):
    assert call.ask("CreateModel", body).fault[:2] == (400, "SerializationException")


def test_an_empty_body_is_an_empty_object(call):
    assert "at 'modelName'" in call.ask("CreateModel", b"").fault[2]


def test_a_body_may_have_a_mebibyte(call):
    body = json.dumps({**CREATE, "Padding": ""}).encode()
    body = body[:-2] + b"x" * (BODY_MOST - len(body)) + body[-2:]
    assert len(body) == BODY_MOST
    headers, _ = signed("CreateModel", body, HOST)
    assert call({**headers, "content-length": str(BODY_MOST)}, body).status == 200
    headers, _ = signed("CreateModel", body + b" ", HOST)
    for declared in ({}, {"content-length": str(BODY_MOST)}):  # as chunks, or as a lie
        reply = call({**headers, **declared}, [body, b" "])
        assert reply.fault[:2] == (413, "RequestEntityTooLargeException")
        assert reply.headers["connection"] == "close"


@pytest.mark.parametrize("declared", [str(BODY_MOST + 1), "9" * 5000, "-1", "1e3", "abc", ""])
def test_a_body_that_is_declared_too_large_is_not_waited_for(call, declared):
    reply = call({**good(), "content-length": declared}, [])
    assert reply.fault[:2] == (413, "RequestEntityTooLargeException")
    assert reply.headers["connection"] == "close"


def test_a_body_that_does_not_come_is_given_up(call):
    started_s = time.monotonic()
    reply = call(good(), [])
    assert 0.2 < time.monotonic() - started_s < 3
    assert reply.fault[:2] == (408, "RequestTimeoutException")
    assert reply.headers["connection"] == "close"


def test_a_client_that_goes_is_not_answered(call, caplog):
    assert call(good(), BODY, stays=False) is None
    assert caplog.records == []
    assert call.called == []


def test_a_web_socket_is_left_unanswered(call):
    sent: list[Any] = []

    async def no(*_: Any) -> None:
        raise AssertionError("asked for more")

    asyncio.run(call.application({"type": "websocket"}, no, sent.append))
    assert sent == []


def test_after_any_of_these_a_good_request_is_answered(call):
    call({**good(), "host": "evil"}, BODY)
    call(good(), b"x" * 100)
    call(good(), [b"x" * BODY_MOST, b"x"])
    call.ask("CreateModel", b"{")
    assert call.ask("CreateModel", CREATE).status == 200


# -- errors of operations ----------------------------------------------------------------------


def as_a_client(reply: Reply) -> dict[str, Any]:
    model = shapes.operation_model("SageMaker.DescribeInferenceRecommendationsJob")
    response = {"status_code": reply.status, "headers": reply.headers, "body": reply.body}
    return ResponseParserFactory().create_parser("json").parse(response, model.output_shape)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (not_found("there is no model 'm'"), "ResourceNotFound"),
        (in_use("'m' is taken"), "ResourceInUse"),
        (ApiFault("ValidationException", "no"), "ValidationException"),
    ],
)
def test_a_fault_is_a_typed_error_of_the_clients(raising, fault, code):
    reply = raising(fault).ask("CreateModel", CREATE)
    assert reply.status == 400
    assert reply.headers["content-type"] == JSON
    assert as_a_client(reply)["Error"] == {"Message": fault.message, "Code": code}


def test_an_error_of_ours_is_an_internal_failure_with_its_line(raising, caplog):
    error = EnvironmentFault("cannot write the store", "the disk is full", "make room")
    reply = raising(error).ask("CreateModel", CREATE)
    line = "cannot write the store: the disk is full; make room"
    assert reply.fault == (500, "InternalFailure", line)
    assert lines(caplog) == [f"10.1.2.3 SageMaker.CreateModel: {line}"]


def test_a_bug_of_ours_is_an_internal_failure_whose_trace_is_in_the_log_alone(raising, caplog):
    reply = raising(KeyError(f"{SECRET}\nforged")).ask("CreateModel", CREATE)
    status, code, message = reply.fault
    assert (status, code) == (500, "InternalFailure")
    assert message == "a bug of ours: KeyError; the server's log has more"
    first, frames = caplog.messages
    assert first == f"10.1.2.3 SageMaker.CreateModel: {message}"
    assert "in run" in frames
    assert SECRET not in caplog.text


def test_an_answer_of_another_shape_is_a_bug_too(running):
    caller = running(lambda asked: {"No": 1})
    assert caller.ask("CreateModel", CREATE).fault[:2] == (500, "InternalFailure")


# -- the log -----------------------------------------------------------------------------------


def lines(caplog) -> list[str]:
    return [line for message in caplog.messages for line in message.splitlines()]


SAID: dict[str, tuple[Callable[[], tuple[Headers, bytes]], str]] = {
    "host": (lambda: (good(host="evil\nforged"), BODY), "AccessDeniedException: Host is not"),
    "origin": (lambda: (good(origin="http://evil"), BODY), "AccessDeniedException: pages of"),
    "type": (lambda: (good(**{"content-type": "a/b"}), BODY), "UnsupportedMediaTypeException: "),
    "unsigned": (lambda: (without("authorization"), BODY), "MissingAuthenticationTokenException: "),
    "body": (lambda: (good(), SECRET.encode()), "InvalidSignatureException: "),
    "large": (lambda: (good(), b"x" * (BODY_MOST + 1)), "RequestEntityTooLargeException: a body "),
    "unknown": (
        lambda: signed("DoMagic", {SECRET: SECRET}, HOST),
        "UnknownOperationException: SageMaker.DoMagic is no operation",
    ),
    "no json": (lambda: signed("CreateModel", SECRET.encode(), HOST), "SerializationException"),
    "constraint": (
        lambda: signed("CreateModel", {"ModelName": f"{SECRET}\nforged!"}, HOST),
        "ValidationException",
    ),
    "type of a member": (
        lambda: signed(
            "CreateModel",
            {**CREATE, "PrimaryContainer": {"Environment": {f"{SECRET}\nforged": 1}}},
            HOST,
        ),
        "SerializationException",
    ),
}


@pytest.mark.parametrize("name", SAID)
def test_a_refusal_is_one_line_of_the_log_without_secrets(call, caplog, name):
    make, words = SAID[name]
    assert call(*make()).status >= 400
    (line,) = lines(caplog)
    target = "SageMaker.DoMagic" if name == "unknown" else "SageMaker.CreateModel"
    assert line.startswith(f"10.1.2.3 {target}: {words}")
    for secret in (SECRET, KEYS.secret_access_key, good()["authorization"][-64:]):
        assert secret not in caplog.text


def test_the_log_names_an_operation_that_is_not_here_without_the_list_of_those_that_are(
    call, caplog
):
    assert "DeleteModel" in call.ask("CreateEndpoint", {}).fault[2]
    (line,) = lines(caplog)
    assert line.endswith("UnknownOperationException: CreateEndpoint is not implemented here")


def test_the_log_has_no_line_of_a_clients_making(call, caplog):
    target = "SageMaker.X\r\n2026-01-01 127.0.0.1 all is well\x1b[2J" + "y" * 1000
    assert call(good(**{"x-amz-target": target}), BODY).status == 403
    assert call({"host": HOST}, method="FO\nO", path="/x").status == 404
    assert len(lines(caplog)) == 2
    assert "\x1b" not in caplog.text
    assert all(len(line) < 500 for line in lines(caplog))
