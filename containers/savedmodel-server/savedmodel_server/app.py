"""The ASGI application: which request goes where, and how many there were."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from savedmodel_server import sagemaker, tfs_rest
from savedmodel_server.counts import ANSWERED, INVOCATIONS, PREDICTIONS, Counts
from savedmodel_server.reply import Reply, error_reply
from savedmodel_server.sagemaker import Invocation
from savedmodel_server.signature import ServedModel
from savedmodel_server.workers import Workers

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_READY = Reply(200, b"")


@dataclass(frozen=True)
class Identity:
    """Which of the serving processes this is, and what /stats tells besides the counts."""

    process: int = 0
    counts: Counts = field(default_factory=Counts)
    chosen: Mapping[str, object] = field(default_factory=dict)


class App:
    """Routes requests to a model. Only complete requests reach a worker thread."""

    def __init__(
        self,
        model: ServedModel,
        workers: Workers,
        invoke: Callable[[Invocation], Reply] | None = None,
        invoke_workers: Workers | None = None,
        identity: Identity | None = None,
    ) -> None:
        """Args:
        invoke: what answers /invocations; default: the model itself.
        invoke_workers: where it runs. A script that posts to this server waits for one of
            `workers`, so it must not hold one itself.
        """
        self._model = model
        self._workers = workers
        self._invoke = invoke or (lambda invocation: sagemaker.answer(model, invocation))
        self._invoke_workers = invoke_workers or workers
        self._identity = identity or Identity()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["raw_path"].decode("ascii")
        counted = self._count(method, path)
        try:
            reply = await self._reply(scope, method, path, receive)
        except ConnectionAbortedError:
            reply = None
        except Exception as error:
            print(f"bug: {method} {path}: {error!r}", file=sys.stderr, flush=True)
            reply = error_reply(500, repr(error))
        finally:
            if counted:
                self._identity.counts.add(self._identity.process, ANSWERED)
        if reply:
            await _send(send, reply)

    def _count(self, method: str, path: str) -> bool:
        """Count a request whose head was read, whether or not its body ever arrives."""
        if method == "POST" and path == "/invocations":
            kind = INVOCATIONS
        elif method == "POST" and tfs_rest.is_prediction(path):
            kind = PREDICTIONS
        else:
            return False
        self._identity.counts.add(self._identity.process, kind)
        return True

    async def _reply(self, scope: Message, method: str, path: str, receive: Receive) -> Reply:
        if path == "/invocations":
            if method != "POST":
                return error_reply(405, f"Method Not Allowed: {method} {path}")
            invocation = _invocation(scope, await _body(receive))
            return await self._invoke_workers.run(self._invoke, invocation)
        if path == "/ping" and method in ("GET", "HEAD"):
            return _READY
        if path == "/stats" and method == "GET":
            return Reply(200, json.dumps(self._stats()).encode())
        if path[: len(tfs_rest.PREFIX)].lower() != tfs_rest.PREFIX:
            return error_reply(404, "Not Found")
        body = await _body(receive)
        if method == "POST":
            return await self._workers.run(tfs_rest.answer, self._model, method, path, body)
        return tfs_rest.answer(self._model, method, path, body)

    def _stats(self) -> dict[str, object]:
        identity = self._identity
        return {**identity.counts.totals(), "pid": os.getpid(), **identity.chosen}


async def _body(receive: Receive) -> bytes:
    """The whole body.

    Raises:
        ConnectionAbortedError: the client went away first.
    """
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        return bytes(message.get("body", b""))
    chunks: list[bytes] = []
    while message["type"] == "http.request":
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(chunks)
        message = await receive()
    raise ConnectionAbortedError("the client went away before its request was complete")


def _invocation(scope: Message, body: bytes) -> Invocation:
    headers: dict[bytes, bytes] = dict(scope["headers"])

    def header(name: bytes) -> str | None:
        value = headers.get(name)
        return None if value is None else value.decode("latin-1")

    return Invocation(
        body=body,
        content_type=header(b"content-type"),
        accept=header(b"accept"),
        custom_attributes=header(sagemaker.ATTRIBUTES_HEADER.encode()),
    )


async def _send(send: Send, reply: Reply) -> None:
    headers = [
        (b"content-type", reply.content_type.encode("latin-1", "replace")),
        (b"content-length", str(len(reply.body)).encode()),
    ]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})
