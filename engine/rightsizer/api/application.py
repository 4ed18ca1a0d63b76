"""The web application: who may ask, what was asked, and the answer or a typed error."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
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
SAID_MOST = 80
"""Characters of what a client sent, in a line of the log."""

log = logging.getLogger("rightsizer.api")

Run = Callable[[Mapping[str, Any]], Mapping[str, Any]]
Scope = MutableMapping[str, Any]


class Application:
    """An ASGI application: `POST /` for operations, `GET /healthz` for whoever looks after it.

    Operations run one at a time, in a thread of their own.
    """

    def __init__(
        self,
        operations: Mapping[str, Run],
        keys: Credentials,
        names: Collection[str],
        port: int,
        *,
        body_s: float = BODY_S,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        """`operations` by target, as `SageMaker.CreateModel`; `names` are those that clients may
        call this server by, beside its port."""
        self._operations, self._keys = operations, keys
        self._hosts = {f"{name.lower()}:{port}" for name in names}
        if port == 80:
            self._hosts |= {name.lower() for name in names}
        self._origins = {f"http://{host}" for host in self._hosts}
        self._body_s, self._now_s = body_s, now_s
        self._thread = ThreadPoolExecutor(1, "operations")

    async def __call__(
        self,
        scope: Scope,
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
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
        target = request.headers.get("x-amz-target", "")
        try:
            self._require_ours(request)
            path = request.scope["raw_path"].decode("latin-1")
            if path == "/healthz" and request.method == "GET":
                return JSONResponse({"status": "ok"})
            if path != "/" or request.url.query:
                raise ApiFault("UnknownOperationException", "there is nothing here but POST /", 404)
            if request.method != "POST":
                raise ApiFault("UnknownOperationException", "only POST is answered here", 405)
            body = await self._body(request)
            answer = await self._operate(request, target, body)
            return Response(answer, 200, _headers(), JSON)
        except ApiFault as fault:
            self._tell(request, target, f"{fault.code}: {fault.message}")
            return _refusal(fault)
        except RightsizerError as error:
            self._tell(request, target, str(error))
            return _refusal(ApiFault("InternalFailure", str(error), 500))
        except ClientDisconnect:
            raise
        except Exception as error:
            log.exception("a bug of ours in %s", _shown(target))
            what = f"a bug of ours: {type(error).__name__}; the server's log has more"
            return _refusal(ApiFault("InternalFailure", what, 500))

    def _require_ours(self, request: Request) -> None:
        """Refuse what a page of somebody else's can have a browser send."""
        host = request.headers.get("host", "").lower()
        if host not in self._hosts:
            todo = "call it by its address, or give the name in `allowed_hosts` of serve.yaml"
            raise ApiFault(
                "AccessDeniedException", f"Host is not a name of this server; {todo}", 403
            )
        origin = request.headers.get("origin")
        if origin is not None and origin.lower() not in self._origins:
            raise ApiFault("AccessDeniedException", "pages of another origin may not ask here", 403)

    async def _body(self, request: Request) -> bytes:
        declared = request.headers.get("content-length", "0")
        if not declared.isdecimal() or int(declared) > BODY_MOST:
            raise _too_large()
        try:
            async with asyncio.timeout(self._body_s):
                parts: list[bytes] = []
                size = 0
                async for part in request.stream():
                    size += len(part)
                    if size > BODY_MOST:
                        raise _too_large()
                    parts.append(part)
                return b"".join(parts)
        except TimeoutError:
            what = f"the body did not come within {self._body_s:g} s"
            raise ApiFault("RequestTimeoutException", what, 408) from None

    async def _operate(self, request: Request, target: str, body: bytes) -> bytes:
        service = shapes.SERVICES.get(target.partition(".")[0])
        if service is None:
            raise ApiFault("UnknownOperationException", "X-Amz-Target names no operation")
        headers = {name: request.headers[name] for name in request.headers}
        signing.verify(self._keys, service, headers, body, self._now_s())
        if shapes.operation_model(target) is None:
            raise ApiFault("UnknownOperationException", f"{_shown(target)} is no operation")
        run = self._operations.get(target)
        if run is None:
            known = ", ".join(sorted(name.partition(".")[2] for name in self._operations))
            name = target.partition(".")[2]
            raise ApiFault(
                "UnknownOperationException", f"{name} is not implemented here; these are: {known}"
            )
        try:
            document = json.loads(body or b"{}")
        except (ValueError, RecursionError):
            raise ApiFault("SerializationException", "the body is not JSON") from None
        asked = shapes.read(target, document)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: shapes.write(target, run(asked)))

    def _tell(self, request: Request, target: str, what: str) -> None:
        client = request.client.host if request.client else "?"
        log.info("%s %s: %s", client, _shown(target) or _shown(request.method), _shown(what, 300))

    def close(self) -> None:
        """End the thread of operations, once nothing is asked any more."""
        self._thread.shutdown()


def _refusal(fault: ApiFault) -> Response:
    headers = _headers()
    if fault.status in (408, 413):
        headers["Connection"] = "close"  # the rest of its body is not waited for
    return Response(json.dumps(fault.body()), fault.status, headers, JSON)


def _headers() -> dict[str, str]:
    return {"x-amzn-RequestId": str(uuid.uuid4())}


def _too_large() -> ApiFault:
    what = f"a body may have {BODY_MOST:,} bytes, and must say how many it has"
    return ApiFault("RequestEntityTooLargeException", what, 413)


def _shown(text: str, most: int = SAID_MOST) -> str:
    """What a client sent, on one line of the log and not longer than that."""
    return text[:most].encode("unicode_escape").decode()
