"""The application behind its listener, in a thread of the test's own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rightsizer.api.application import Application
from rightsizer.api.credentials import Credentials
from rightsizer.api.listening import Listener

KEYS = Credentials("AKIAEXAMPLEEXAMPLE22", "a-secret-of-forty-characters-no-more-no-", "us-east-1")


@dataclass
class Served:
    """Where a server is, and what it was asked."""

    port: int
    listener: Listener
    thread: threading.Thread
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def raw(self, sent: bytes) -> bytes:
        """All that comes back until the server closes the connection."""
        with self.connect() as client:
            client.sendall(sent)
            return everything(client)


def everything(client: socket.socket) -> bytes:
    parts = []
    while part := client.recv(65536):
        parts.append(part)
    return b"".join(parts)


@contextmanager
def served(
    operations: Mapping[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]],
    *,
    body_s: float = 20.0,
    **options: Any,
) -> Iterator[Served]:
    """A server until the block is left."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port = bound.getsockname()[1]
        hosts = [f"{name}:{port}" for name in ("127.0.0.1", "localhost")]
        application = Application(operations, KEYS, hosts, body_s=body_s)
        listener = Listener(application, bound, **options)
        ready = threading.Event()
        thread = threading.Thread(target=listener.serve, args=(ready.set,))
        thread.start()
        try:
            assert ready.wait(10)
            yield Served(port, listener, thread)
        finally:
            listener.stop()
            thread.join(20)
            application.close()
        assert not thread.is_alive()
