"""Another address of this machine's Docker engine, which can be cut off."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from tests.hosts.images import address


def unix_listener(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener


class Relay:
    """Passes every connection on to the engine, over TLS where it is given a context."""

    def __init__(self, listener: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        self._listener, self._tls = listener, tls
        self._ends: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._hear: Callable[[bytes], None] = lambda data: None
        name = listener.getsockname()
        self.address = f"unix://{name}" if isinstance(name, str) else f"tcp://{name[0]}:{name[1]}"

    def __enter__(self) -> Relay:
        self._run(self._serve)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.cut()
        for thread in self._threads:
            thread.join(5)
        for end in (self._listener, *self._ends):
            end.close()

    def overhear(self, hear: Callable[[bytes], None]) -> None:
        """Be told what is said to the engine from now on."""
        self._hear = hear

    def cut(self) -> None:
        """End it, and every connection through it."""
        if self.address.startswith("unix:"):
            Path(self.address.removeprefix("unix://")).unlink(missing_ok=True)
        for end in (self._listener, *self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self._run(self._pass_on, near)

    def _pass_on(self, near: socket.socket) -> None:
        try:
            near = self._tls.wrap_socket(near, server_side=True) if self._tls else near
        except OSError:
            near.close()
            return
        far = socket.socket(socket.AF_UNIX)
        far.connect(address().removeprefix("unix://"))
        self._ends += [near, far]
        self._run(self._pump, near, far, lambda data: self._hear(data))
        self._pump(far, near, lambda data: None)

    def _pump(
        self, source: socket.socket, sink: socket.socket, hear: Callable[[bytes], None]
    ) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                hear(data)
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    def _run(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()
