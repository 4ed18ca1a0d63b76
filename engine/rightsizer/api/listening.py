"""An application behind uvicorn, on a socket that is bound already; slow clients are cut off."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADERS_S = 10.0
"""What a client has to send the headers of a request in, from its connection on."""
HEADER_BYTES = 16 * 1024
IDLE_S = 30.0
"""A connection that asks nothing for so long is closed."""
CONNECTIONS = 200
END_S = 5
"""What is being answered when the server ends has so long."""


class _Hasty(H11Protocol):
    """Uvicorn's own has no deadline for the headers of a request."""

    within_s = HEADERS_S
    _due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._due = self.loop.call_later(self.within_s, transport.close)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._forget()
        elif self._due is None and not self.transport.is_closing():  # some of a next request's
            self._due = self.loop.call_later(self.within_s, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def _forget(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None


class Listener:
    """Serves an application until it is told to stop."""

    def __init__(
        self, application: Any, bound: socket.socket, *, headers_s: float = HEADERS_S
    ) -> None:
        self._bound = bound

        class Hasty(_Hasty):
            within_s = headers_s

        config = uvicorn.Config(
            application,
            http=Hasty,
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=True,
            proxy_headers=False,
            limit_concurrency=CONNECTIONS,
            timeout_keep_alive=int(IDLE_S),
            timeout_graceful_shutdown=END_S,
            h11_max_incomplete_event_size=HEADER_BYTES,
        )
        self._server = _Server(config)

    def serve(self, on_ready: Callable[[], None]) -> None:
        """Listen, say so, and answer until `stop`."""
        self._server.on_ready = on_ready
        self._bound.listen()
        asyncio.run(self._server.serve([self._bound]))

    def stop(self) -> None:
        """Take no more requests and return from `serve` soon; from a signal handler or a thread."""
        self._server.should_exit = True


class _Server(uvicorn.Server):
    """Without handlers for signals: they are its caller's."""

    on_ready: Callable[[], None]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.on_ready()

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        await self._serve(sockets)
