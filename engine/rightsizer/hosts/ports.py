"""TCP ports of this machine: a free one, and who holds one."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterable
from typing import Any

import psutil

from rightsizer.errors import Reason, TrialFailed

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """A loopback port that the system says is free."""
    with socket.socket() as sock:
        sock.bind((LOOPBACK, 0))
        return int(sock.getsockname()[1])


def require_free(port: int) -> None:
    """Raise TrialFailed (`port-taken`) where another process listens on a port."""
    with socket.socket() as sock:
        # As servers do: connections in TIME_WAIT do not hold a port.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((LOOPBACK, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:  # whether it may be bound at all, the server sees
                todo = "end it, or use {port} in the command"
                detail = f"port {port} is already taken{_by(port)}; {todo}"
                raise TrialFailed(Reason.PORT_TAKEN, detail) from None


def require_own(port: int, pids: Iterable[int]) -> None:
    """Raise TrialFailed (`port-taken`) where a port is listened on, and by none of some processes.

    As far as this user may know: what cannot be seen is not held against them.
    """
    try:
        if any(_listens(pid, port) for pid in pids):
            return
        strangers = _listeners(psutil.net_connections("tcp"), port)
    except (psutil.Error, OSError):
        return
    if strangers:
        detail = f"port {port} is answered by another process{_by(port)}; end it"
        raise TrialFailed(Reason.PORT_TAKEN, detail)


def _listens(pid: int, port: int) -> bool:
    try:
        return bool(_listeners(psutil.Process(pid).net_connections("tcp"), port))
    except psutil.NoSuchProcess:
        return False


def _listeners(connections: Iterable[Any], port: int) -> list[Any]:
    return [
        c
        for c in connections
        if c.status == psutil.CONN_LISTEN and c.laddr and c.laddr.port == port
    ]


def _by(port: int) -> str:
    """` by 123 nginx`, or nothing where it cannot be known."""
    with contextlib.suppress(psutil.Error, OSError):
        for connection in _listeners(psutil.net_connections("tcp"), port):
            if connection.pid:
                return f" by {connection.pid} {psutil.Process(connection.pid).name()}"
    return ""
