"""The web application: who may ask, what was asked, and the answer or a typed error."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import traceback
import uuid
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from rightsizer.api import shapes, signing
from rightsizer.api.credentials import Credentials
from rightsizer.api.faults import ApiFault
from rightsizer.errors import RightsizerError

JSON = "application/x-amz-json-1.1"
BODY_MOST = 1024 * 1024
BODY_S = 20.0
"""What a client has to send its body in."""
HEADERS_MOST = 16 * 1024
"""Bytes of a request's target and headers. The listener's bound is of those that come in parts."""
LINGER_S = 2.0
"""For so long the rest of a body that was refused is read, and thrown away."""
ONCE = ("host", "origin", "authorization", "content-length", "content-type")
"""Headers that may not be repeated; nor may Amazon's own. Of two, a part that reads the first and a
part that reads the last would each see another request."""
LIST = "; these are: "
"""Before the operations that there are."""
SAID_MOST = 80
"""Characters of what a client sent, in a line of the log."""

log = logging.getLogger("rightsizer.api")

Run = Callable[[Mapping[str, Any]], Mapping[str, Any]]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class Application:
    """An ASGI application: `POST /` for operations, `GET /healthz` for whoever looks after it.

    Operations run one at a time, in a thread of their own.
    """

    def __init__(
        self,
        operations: Mapping[str, Run],
        keys: Credentials,
        hosts: Collection[str],
        *,
        body_s: float = BODY_S,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        """`operations` by target, as `SageMaker.CreateModel`; `hosts` are what clients may say in
        Host: names with ports, in lower case."""
        # Also so that the first request does not wait for the service models.
        if unknown := [target for target in operations if shapes.operation_model(target) is None]:
            raise ValueError(f"{', '.join(unknown)}: no such operations")
        self._operations, self._keys = operations, keys
        self._hosts = frozenset(hosts)
        self._origins = frozenset(f"http://{host}" for host in hosts)
        self._body_s, self._now_s = body_s, now_s
        self._thread = ThreadPoolExecutor(1, "operations")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; a WebSocket or anything else but HTTP is left unanswered."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        try:
            # First of all, so that the connection is at a request's end, whatever the answer.
            body = await self._body(request)
            _require_short(request.scope)
            headers = _headers_of(request)
            self._require_ours(headers)
            if request.method == "GET" and request.scope["raw_path"] == b"/healthz":
                return JSONResponse({"status": "ok"})
            target = _target(request, headers)
            self._require_signed(target, headers, body)
            run = self._operation(target)
        except ApiFault as fault:
            # Not the list of what there is, which is the caller's alone.
            told = fault.message.partition(LIST)[0]
            return _refused(request, fault, f"{fault.code}: {told}")
        loop = asyncio.get_running_loop()
        try:
            answer = await loop.run_in_executor(self._thread, _operate, target, run, body)
            return Response(answer, 200, _request_id(), JSON)
        except ApiFault as fault:
            # Its message may quote the body, which is not for the log.
            return _refused(request, fault, fault.code)
        except RightsizerError as error:
            return _refused(request, ApiFault("InternalFailure", str(error), 500), str(error))
        except Exception as error:
            kind, frames = type(error).__name__, traceback.format_tb(error.__traceback__)
            what = f"a bug of ours: {kind}; the server's log has more"
            refusal = _refused(request, ApiFault("InternalFailure", what, 500), what)
            log.error("%s", "".join(frames).rstrip())  # not its message: the same
            return refusal

    async def _body(self, request: Request) -> bytes:
        declared = request.headers.get("content-length", "0")
        if not declared.isdecimal() or len(declared) > 19 or int(declared) > BODY_MOST:
            raise _too_large()
        try:
            async with asyncio.timeout(self._body_s):
                body = bytearray()
                async for part in request.stream():
                    body += part
                    if len(body) > BODY_MOST:
                        raise _too_large()
                return bytes(body)
        except TimeoutError:
            what = f"the body did not come within {self._body_s:g} s"
            raise ApiFault("RequestTimeoutException", what, 408) from None

    def _require_ours(self, headers: Mapping[str, str]) -> None:
        """Refuse what a page of somebody else's can have a browser send."""
        if headers.get("host", "").lower() not in self._hosts:
            todo = "call it by its address, or give the name in `allowed_hosts` of serve.yaml"
            what = f"Host is not a name of this server; {todo}"
            raise ApiFault("AccessDeniedException", what, 403)
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in self._origins:
            raise ApiFault("AccessDeniedException", "pages of another origin may not ask here", 403)

    def _require_signed(self, target: str, headers: Mapping[str, str], body: bytes) -> None:
        service = shapes.SERVICES.get(target.partition(".")[0])
        if service is None:
            raise ApiFault("UnknownOperationException", "X-Amz-Target names no operation")
        signing.verify(self._keys, service, headers, body, self._now_s())

    def _operation(self, target: str) -> Run:
        run = self._operations.get(target)
        if run is not None:
            return run
        if shapes.operation_model(target) is None:
            raise ApiFault("UnknownOperationException", f"{_shown(target)} is no operation")
        known = ", ".join(sorted(name.partition(".")[2] for name in self._operations))
        name = target.partition(".")[2]
        what = f"{name} is not implemented here{LIST}{known}"
        raise ApiFault("UnknownOperationException", what)

    def close(self) -> None:
        """End the thread of operations, once nothing is asked any more."""
        self._thread.shutdown()


def _require_short(scope: Scope) -> None:
    size = len(scope["raw_path"]) + len(scope["query_string"])
    size += sum(len(name) + len(value) for name, value in scope["headers"])
    if size > HEADERS_MOST:
        what = f"a request's target and headers have {HEADERS_MOST:,} bytes at most"
        raise ApiFault("RequestHeaderFieldsTooLargeException", what, 431)


def _headers_of(request: Request) -> dict[str, str]:
    """By names in lower case; repeated ones joined, as signatures have them."""
    found: dict[str, str] = {}
    for name, value in request.headers.items():
        if name in found and (name in ONCE or name.startswith("x-amz-")):
            raise ApiFault("BadRequestException", f"more than one header {_shown(name)}")
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def _target(request: Request, headers: Mapping[str, str]) -> str:
    """What a `POST /` asks for; raises ApiFault where it is none, or not of this protocol."""
    if request.scope["raw_path"] != b"/" or request.scope["query_string"]:
        raise ApiFault("UnknownOperationException", "there is nothing here but POST /", 404)
    if request.method != "POST":
        raise ApiFault("UnknownOperationException", "only POST is answered here", 405)
    # A page can have a browser send other types without asking first.
    if headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
        raise ApiFault("UnsupportedMediaTypeException", f"Content-Type is not {JSON}", 415)
    return headers.get("x-amz-target", "")


def _operate(target: str, run: Run, body: bytes) -> bytes:
    try:
        document = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise ApiFault("SerializationException", "the body is not JSON") from None
    return shapes.write(target, run(shapes.read(target, document)))


def _refused(request: Request, fault: ApiFault, told: str) -> Response:
    """A typed error, told in the log in one line."""
    client = request.client.host if request.client else "?"
    asked = _shown(request.headers.get("x-amz-target", "") or request.method)
    log.info("%s %s: %s", client, asked, _shown(told, 300))
    kind = _LastResponse if fault.status in (408, 413) else Response
    return kind(json.dumps(fault.body()), fault.status, _request_id(), JSON)


class _LastResponse(Response):
    """Ends a connection whose request was not read to its end.

    Closed at once, it would be reset under a client that still sends, which then never sees why.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [*self.raw_headers, (b"connection", b"close")]
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while (await receive()).get("more_body"):
                    pass
        await send({"type": "http.response.body", "body": b""})


def _request_id() -> dict[str, str]:
    return {"x-amzn-RequestId": str(uuid.uuid4())}


def _too_large() -> ApiFault:
    return ApiFault(
        "RequestEntityTooLargeException", f"a body has {BODY_MOST:,} bytes at most", 413
    )


def _shown(text: str, most: int = SAID_MOST) -> str:
    """What a client sent, on one line of the log and not longer than that."""
    return text[:most].encode("unicode_escape").decode()
