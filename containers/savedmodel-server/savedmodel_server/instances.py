"""Several serving processes behind one port.

The parent owns the port and deals connections out in turn, so that N keep-alive connections are
spread evenly: were all processes to accept from one socket, a busy machine would often leave most
connections with one of them. It imports neither TensorFlow nor uvicorn.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

from savedmodel_server.errors import StartError
from savedmodel_server.listening import GRACE_S, listen

READY = b"\x06"

Announce = Callable[[], None]
# Given its number: loads the model, announces itself when warm, serves what the channel brings.
Child = Callable[[int, socket.socket, Announce], None]

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class _Process:
    pid: int
    channel: socket.socket


def supervise(count: int, bound: socket.socket, child: Child, announce: Announce) -> int:
    """Run `count` children until one ends or a signal comes; leave none behind.

    Args:
        announce: called once all children are warm and the port accepts connections.

    Returns:
        The exit status: 1 after a child's end, 128 + n after signal n.

    Raises:
        StartError: a child could not start.
    """
    processes: list[_Process] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    try:
        for _ in range(count):
            processes.append(_fork(child, bound, processes))
        _wait_until_ready(processes)
        for process in processes:
            process.channel.sendall(READY)
        listen(bound)
        announce()
        ended = _deal(bound, processes)
        print(f"process {ended.pid} ended: stopping the others", file=sys.stderr, flush=True)
        return 1
    except SystemExit as leaving:
        return int(leaving.code or 0)
    finally:
        _end(processes)


def _leave(number: int, _: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _fork(child: Child, bound: socket.socket, earlier: list[_Process]) -> _Process:
    ours, theirs = socket.socketpair()
    parent = os.getpid()
    pid = os.fork()
    if pid:
        theirs.close()
        return _Process(pid, ours)
    # A copy of the parent's ends here would hide the parent's death from the other children.
    for inherited in (bound, ours, *(process.channel for process in earlier)):
        inherited.close()
    _die_with(parent)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    status = 1
    try:
        child(len(earlier), theirs, lambda: _await_the_others(theirs))
        status = 0
    except StartError as error:
        theirs.sendall(str(error).encode())
    except BaseException as error:
        with suppress(OSError):
            theirs.sendall(f"a serving process failed: {error!r}".encode())
    finally:
        os._exit(status)


def _await_the_others(channel: socket.socket) -> None:
    """Say that this process is ready, and wait until all are: gRPC's port is open to each alone."""
    channel.sendall(READY)
    channel.recv(len(READY))


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies, however that comes about."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the kernel was told
        os._exit(1)


def _wait_until_ready(processes: list[_Process]) -> None:
    with selectors.DefaultSelector() as selector:
        for process in processes:
            selector.register(process.channel, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select():
                channel = key.fileobj
                assert isinstance(channel, socket.socket)
                said = channel.recv(4096)
                if said != READY:
                    reason = said.decode(errors="replace")
                    raise StartError(reason or "a serving process ended before it was ready")
                selector.unregister(channel)


def _deal(bound: socket.socket, processes: list[_Process]) -> _Process:
    """Pass connections to the processes in turn; return the first process that ends."""
    bound.setblocking(False)
    turns = itertools.cycle(processes)
    with selectors.DefaultSelector() as selector:
        selector.register(bound, selectors.EVENT_READ)
        for process in processes:
            selector.register(process.channel, selectors.EVENT_READ, process)
        while True:
            for key, _ in selector.select():
                if key.data:  # children say nothing any more: it is the end of one
                    ended: _Process = key.data
                    return ended
                # A client may give up between the selector's word and the accept.
                with suppress(BlockingIOError, ConnectionAbortedError):
                    connection, _ = bound.accept()
                    with connection, suppress(BrokenPipeError):
                        socket.send_fds(next(turns).channel, [READY], [connection.fileno()])


def _end(processes: list[_Process]) -> None:
    """SIGTERM, a grace, SIGKILL; all are reaped."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    left = {process.pid for process in processes}
    for pid in left:
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_S + 1
    while left and time.monotonic() < deadline:
        left -= {pid for pid in left if os.waitpid(pid, os.WNOHANG)[0]}
        time.sleep(0.01)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
