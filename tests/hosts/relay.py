"""Other addresses of this machine's Docker engine: one can be cut off, one spoils a call."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

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
        self._run(self._pump, near, far, True, lambda data: self._hear(data))
        self._pump(far, near)

    def _pump(
        self,
        source: socket.socket,
        sink: socket.socket,
        end: bool = True,
        hear: Callable[[bytes], None] = lambda data: None,
    ) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                hear(data)
                sink.sendall(data)
        if end:
            with contextlib.suppress(OSError):
                sink.shutdown(socket.SHUT_RDWR)

    def _run(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()


class Spoil(Enum):
    """What becomes of a call."""

    DELAYED = "delayed"
    """It reaches the engine, which carries it out, when the relay's `let_go` is set."""
    FAILED = "failed"
    """The engine answers 500, and does nothing."""
    LOST = "lost"
    """The engine carries it out, and its reply never comes."""


class Call(NamedTuple):
    """A call of the engine's API, such as `POST /containers/*/start`, and the how-manieth."""

    name: str
    number: int


class SpoilingRelay(Relay):
    """Notes every call, and spoils those it is told to. Each has a connection of its own."""

    def __init__(
        self, listener: socket.socket, spoil: Callable[[Call], Spoil | None] = lambda call: None
    ) -> None:
        super().__init__(listener)
        self._spoil = spoil
        self._counts: Counter[str] = Counter()
        self.calls: list[Call] = []
        self.spoilt: list[Call] = []
        self.let_go = threading.Event()

    def cut(self) -> None:
        self.let_go.set()
        super().cut()

    def _pass_on(self, near: socket.socket) -> None:
        self._ends.append(near)
        with contextlib.suppress(OSError):
            head, body = _head(near)
            if head:
                self._pass_call(near, head, body)

    def _pass_call(self, near: socket.socket, head: bytes, body: bytes) -> None:
        call = self._noted(head)
        how = self._spoil(call)
        if how is not None:
            self.spoilt.append(call)
        if how is Spoil.FAILED:
            near.sendall(REFUSAL)
            near.shutdown(socket.SHUT_WR)
            while near.recv(65536):  # an answer is lost where the question was not read
                pass
            return
        if how is Spoil.DELAYED:
            self.let_go.wait()
        far = socket.socket(socket.AF_UNIX)
        self._ends.append(far)
        far.connect(address().removeprefix("unix://"))
        far.sendall(head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1) + body)
        # Whoever gave up has closed its end: the engine must get the whole call all the same.
        self._run(self._pump, near, far, how is None)
        if how is Spoil.LOST:
            far.recv(1)
            near.shutdown(socket.SHUT_RDWR)
        else:
            self._pump(far, near)

    def _noted(self, head: bytes) -> Call:
        method, target = head.decode().split(" ")[:2]
        parts = target.partition("?")[0].strip("/").split("/")
        parts = parts[1:] if parts[0].startswith("v1.") else parts
        if len(parts) > 1 and parts[1] not in ("create", "json"):
            parts[1] = "*"
        name = f"{method} /{'/'.join(parts)}"
        self._counts[name] += 1
        call = Call(name, self._counts[name])
        self.calls.append(call)
        return call


REFUSAL = (
    b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\n"
    b"Connection: close\r\nContent-Length: 26\r\n\r\n" + b'{"message": "the relay\'s"}'
)


def _head(near: socket.socket) -> tuple[bytes, bytes]:
    """A request's head, and what of its body came with it; nothing where nobody asks."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = near.recv(65536)
        if not more:
            return b"", b""
        data += more
    head, end, body = data.partition(b"\r\n\r\n")
    return head + end, body
