"""The gRPC server, in the event loop that serves HTTP."""

from __future__ import annotations

import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from savedmodel_server import grpc_calls
from savedmodel_server.app import Identity
from savedmodel_server.counts import ANSWERED, PREDICTIONS
from savedmodel_server.errors import Code, ServingError
from savedmodel_server.signature import ServedModel
from savedmodel_server.workers import Workers

OPTIONS = (
    # As TensorFlow Serving's: a tensor may be large.
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 1),
)


class GrpcServer:
    """Answers calls on a port that `reserved` holds; several processes may share it."""

    def __init__(
        self, model: ServedModel, workers: Workers, identity: Identity, reserved: socket.socket
    ) -> None:
        self._model = model
        self._workers = workers
        self._identity = identity
        self._reserved = reserved
        self._server: Any = None

    async def start(self) -> None:
        """Accept connections."""
        from grpc import aio, method_handlers_generic_handler, unary_unary_rpc_method_handler

        self._server = aio.server(options=OPTIONS)
        services: dict[str, dict[str, Any]] = {}
        for path, answer in grpc_calls.ANSWERS.items():
            service, method = path.strip("/").split("/")
            handler = unary_unary_rpc_method_handler(self._handler(path, answer))
            services.setdefault(service, {})[method] = handler
        self._server.add_generic_rpc_handlers(
            [method_handlers_generic_handler(name, methods) for name, methods in services.items()]
        )
        host, port = self._reserved.getsockname()[:2]
        self._server.add_insecure_port(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        await self._server.start()

    async def stop(self, grace_s: float) -> None:
        """Take no further call; those at work have so long."""
        await self._server.stop(grace_s)

    def _handler(
        self, path: str, answer: grpc_calls.Answer
    ) -> Callable[[bytes, Any], Awaitable[bytes]]:
        async def handle(content: bytes, context: Any) -> bytes:
            if path != grpc_calls.PREDICT:
                return await self._guarded(path, context, answer, content)
            self._identity.counts.add(self._identity.process, PREDICTIONS)
            try:
                return await self._guarded(path, context, answer, content)
            finally:
                self._identity.counts.add(self._identity.process, ANSWERED)

        return handle

    async def _guarded(
        self, path: str, context: Any, answer: grpc_calls.Answer, content: bytes
    ) -> bytes:
        try:
            if path != grpc_calls.PREDICT:
                return answer(self._model, content)
            return await self._workers.run(answer, self._model, content)
        except ServingError as error:
            code, said = error.code, error.message
        except Exception as error:
            print(f"bug: {path}: {error!r}", file=sys.stderr, flush=True)
            code, said = Code.INTERNAL, repr(error)
        await context.abort(_status(code), said)
        raise AssertionError  # abort has raised


def _status(code: Code) -> Any:
    from grpc import StatusCode

    return StatusCode[code.name]
