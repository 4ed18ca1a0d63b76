"""An application behind uvicorn, on a socket that listens already; slow clients are cut off."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADERS_S = 10.0
"""What a client has to send the headers of a request in, from its connection on, and to take a
large answer in."""
HEADER_BYTES = 16 * 1024
IDLE_S = 30
"""A connection that asks nothing for so long is closed."""
CONNECTIONS = 200
"""Of more, the one that has asked nothing for longest is closed: who waits keeps nobody out."""
END_S = 5
"""What is being answered when the server ends has so long."""

log = logging.getLogger("rightsizer.api")


class _Hasty(H11Protocol):
    """Uvicorn's own has no deadlines but between requests."""

    within_s = HEADERS_S
    most = CONNECTIONS
    _due: asyncio.TimerHandle | None = None
    _since_s = 0.0
    """When it was last answered, or made."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._since_s = self.loop.time()
        self._within(transport.close)
        if len(self.connections) > self.most:
            waiting = [c for c in self.connections if isinstance(c, _Hasty) and c.is_waiting]
            oldest = min(waiting, key=lambda c: c._since_s)
            self.connections.discard(oldest)
            oldest.transport.abort()

    @property
    def is_waiting(self) -> bool:
        """It has asked nothing, or not all of it."""
        return self.cycle is None or self.cycle.response_complete or self.cycle.more_body

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.flow.write_paused:  # it is to take its answer
            return
        if self.conn.their_state is not h11.IDLE:
            self._forget()
        elif self._due is None:  # some of a next request's headers
            self._within(self.transport.close)

    def on_response_complete(self) -> None:
        self._since_s = self.loop.time()
        super().on_response_complete()

    def shutdown(self) -> None:
        """The server ends: only what is being answered is waited for."""
        if self.is_waiting:
            self.transport.abort()
        else:
            super().shutdown()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._within(self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._forget()

    def send_400_response(self, msg: str) -> None:
        log.info("%s: %s", self.client[0] if self.client else "?", msg)
        super().send_400_response(msg)

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def _within(self, end: Callable[[], None]) -> None:
        self._forget()
        self._due = self.loop.call_later(self.within_s, end)

    def _forget(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None


class Listener:
    """Serves an application until it is told to stop."""

    def __init__(
        self,
        application: Any,
        bound: socket.socket,
        *,
        headers_s: float = HEADERS_S,
        connections: int = CONNECTIONS,
    ) -> None:
        self._bound = bound
        # Connections inherit it. asyncio sets it only where a socket names its protocol; without it
        # the second part of an answer waits for the client's delayed acknowledgement: 40 ms.
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        class Hasty(_Hasty):
            within_s = headers_s
            most = connections

        # What it warns of is said by us, in one line each.
        logging.getLogger("uvicorn").setLevel(logging.ERROR)
        config = uvicorn.Config(
            application,
            http=Hasty,
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=IDLE_S,
            timeout_graceful_shutdown=END_S,
            h11_max_incomplete_event_size=HEADER_BYTES,
        )
        self._server = _Server(config)

    def serve(self, on_ready: Callable[[], None]) -> None:
        """Answer until `stop`, and say when that begins."""
        self._server.on_ready = on_ready
        asyncio.run(self._server.serve([self._bound]))

    def stop(self) -> None:
        """Take no more requests and return from `serve` soon; from a signal handler or a thread."""
        self._server.should_exit = True


class _Server(uvicorn.Server):
    on_ready: Callable[[], None]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.on_ready()

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        """None: they are its caller's."""
        return nullcontext()
