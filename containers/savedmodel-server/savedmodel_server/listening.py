"""The listening socket and uvicorn around it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any, Protocol

from savedmodel_server.errors import StartError

BACKLOG = 2048
# Longer than any pause of a load generator: a connection closed under it costs it a retry.
KEEP_ALIVE_S = 620
# What requests in flight get when the server is told to stop.
GRACE_S = 2

Serve = Callable[..., None]


def bind(host: str, port: int, option: str = "--port") -> socket.socket:
    """A bound socket that refuses connections until it listens.

    Raises:
        StartError: the address cannot be had.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        bound = socket.socket(family, socket.SOCK_STREAM)
        # A port whose last connections still linger can be had again at once.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted ones inherit it
        bound.bind((host, port))
    except OSError as error:
        raise _refused(host, port, error, option) from None
    return bound


def reserve(host: str, port: int) -> socket.socket:
    """A bound socket that never listens: it keeps a port that gRPC's own sockets share.

    Raises:
        StartError: the address cannot be had.
    """
    with bind(host, port, "--grpc-port") as alone:  # shared ones would join another server's
        host, port = alone.getsockname()[:2]
    kept = socket.socket(alone.family, socket.SOCK_STREAM)
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    kept.bind((host, port))
    return kept


def listen(bound: socket.socket) -> None:
    """Let connections in.

    Raises:
        StartError: another server took the port since it was bound.
    """
    try:
        bound.listen(BACKLOG)
    except OSError as error:
        host, port = bound.getsockname()[:2]
        raise _refused(host, port, error, "--port") from None


def _refused(host: str, port: int, error: OSError, option: str) -> StartError:
    reason = error.strerror or str(error)
    return StartError(f"cannot listen on {host} port {port}: {reason}; choose another {option}")


def base_url(bound: socket.socket) -> str:
    """Where this machine reaches the socket."""
    host, port = bound.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Beside(Protocol):
    """What serves in the same event loop."""

    async def start(self) -> None: ...
    async def stop(self, grace_s: float) -> None: ...


def serve(app: Any, bound: socket.socket, beside: Beside | None = None) -> None:
    """Accept connections until SIGTERM or SIGINT, which end the process after a short grace."""
    _server(app, beside).run(sockets=[bound])


def serve_passed(app: Any, channel: socket.socket, beside: Beside | None = None) -> None:
    """The same for connections that another process accepts and passes over a channel."""
    server = _server(app, beside)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        channel.setblocking(False)
        loop.add_reader(channel.fileno(), _take, server, channel, loop)
        await server.serve(sockets=[])

    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        runner.run(run())


def _server(app: Any, beside: Beside | None) -> Any:
    import uvicorn

    class Server(uvicorn.Server):
        """Begins and ends what stands beside it with itself: it ends the process on a signal."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            if beside is not None:
                await beside.start()
            await super().startup(sockets=sockets)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            ends = [super().shutdown(sockets=sockets)]
            if beside is not None:
                ends.append(beside.stop(GRACE_S))
            await asyncio.gather(*ends)

    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        interface="asgi3",
        access_log=False,
        log_config=None,
        log_level="critical",  # the application reports its own failures, in a line
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
        backlog=BACKLOG,
    )
    return Server(config)


def _take(server: Any, channel: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
    """Adopt the connections that wait in the channel."""
    with contextlib.suppress(BlockingIOError):
        while True:
            content, descriptors, _, _ = socket.recv_fds(channel, 1, 1)
            if not content:  # the parent is gone
                loop.remove_reader(channel.fileno())
                server.should_exit = True
                return
            for descriptor in descriptors:
                connection = socket.socket(fileno=descriptor)
                connection.setblocking(False)
                task = loop.create_task(_adopt(server, connection, loop))
                # The loop itself keeps only a weak reference.
                server.server_state.tasks.add(task)
                task.add_done_callback(server.server_state.tasks.discard)


async def _adopt(server: Any, connection: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
    def protocol() -> asyncio.Protocol:
        made: asyncio.Protocol = server.config.http_protocol_class(
            config=server.config, server_state=server.server_state, app_state={}
        )
        return made

    with contextlib.suppress(OSError):  # reset before it was adopted
        await loop.connect_accepted_socket(protocol, connection)
