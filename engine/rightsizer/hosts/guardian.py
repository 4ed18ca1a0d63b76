"""The guardian: one small process a trial that owns the server and the generator.

    python -m rightsizer.hosts.guardian FD

FD is its end of a Unix socket to the engine: commands come in, reports go out, as JSON lines; file
descriptors for a child's stdin and stdout travel beside a spawn command (SCM_RIGHTS). When the
engine's end closes, however it died, everything the guardian started is ended. Standard library
only: it must start fast and cost nothing.

Commands: spawn, end, on-loss. Reports: spawned, refused, ended, noted, exited, usage,
out-of-memory.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rightsizer.hosts.child import Refused, adopt_orphans, run_to_end, start_child
from rightsizer.hosts.logs import LogPipe
from rightsizer.hosts.meter import Meter
from rightsizer.hosts.signals import forget_signals, wake_on_signals
from rightsizer.hosts.tree import descendants

SERVER = "server"
"""The child whose usage is reported and whose memory is limited."""
USAGE_EVERY_S = 0.5
ORPHAN_GRACE_S = 1.0
"""What children get to end by themselves once the engine is gone."""
ON_LOSS_S = 30.0
"""What the command left for the engine's death gets; an engine that only leaves waits less."""
POLL_S = 0.02
READ_BYTES = 65536
MAX_DESCRIPTORS = 8
TURN_BYTES = 1 << 16
DRAIN_BYTES = 4 << 20
"""What is moved of a child's output in one turn, and of what an ended child left behind: one that
prints without end must not hold up the rest."""


@dataclass
class Child:
    """What the guardian knows of a program it started."""

    name: str
    pid: int
    log: LogPipe
    code: int | None = None
    """How it ended: an exit code, or a signal below zero."""
    told: bool = False
    """Whether the engine knows that it ended."""


class Guardian:
    """Spawns children, keeps their logs, watches the server's usage, ends everything."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._selector = selectors.DefaultSelector()
        self._children: dict[str, Child] = {}
        self._buffer = b""
        self._descriptors: deque[int] = deque()
        self._meter = Meter(None)
        self._next_usage_s = 0.0
        self._engine_gone_s: float | None = None
        self._on_loss: tuple[list[str], dict[str, str]] | None = None
        self._selector.register(channel, selectors.EVENT_READ, self._receive)
        wake = wake_on_signals(self._on_signal)
        self._selector.register(wake, selectors.EVENT_READ, lambda: forget_signals(wake))

    def run(self) -> None:
        """Serve the engine until it goes away; then end everything."""
        try:
            while self._engine_gone_s is None:
                self._turn(max(0.0, self._next_usage_s - time.monotonic()))
                if time.monotonic() >= self._next_usage_s:
                    self._next_usage_s = time.monotonic() + USAGE_EVERY_S
                    self._watch()
        finally:
            self._end(ORPHAN_GRACE_S, lambda: descendants(os.getpid()))
            # A list of processes that change may miss one; only the kernel knows that none is left.
            while self._reap():
                _signal_all(descendants(os.getpid()), signal.SIGKILL)
                self._turn(POLL_S)
            for child in self._children.values():
                self._pump(child.log, DRAIN_BYTES)
                child.log.close()
            if self._on_loss is not None:
                # A container is no process of ours to end.
                run_to_end(*self._on_loss, ON_LOSS_S)

    def _on_signal(self, number: int, frame: object) -> None:
        if number != signal.SIGCHLD:
            self._lose_engine()

    def _lose_engine(self) -> None:
        if self._engine_gone_s is None:
            self._engine_gone_s = time.monotonic()

    def _turn(self, timeout_s: float) -> None:
        """Whatever has come: commands, log lines, ended children."""
        for key, _ in self._selector.select(timeout_s):
            key.data()
        self._reap()

    # -- commands ------------------------------------------------------------------------------

    def _receive(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._channel, READ_BYTES, MAX_DESCRIPTORS)
        except OSError:
            data, descriptors = b"", []
        self._descriptors.extend(descriptors)
        if not data:
            self._lose_engine()
            self._selector.unregister(self._channel)
            return
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            command = json.loads(line)
            match command.pop("kind"):
                case "spawn":
                    self._spawn(**command)
                case "end":
                    self._end_child(**command)
                case "on-loss":
                    self._note_on_loss(**command)

    def _spawn(
        self,
        name: str,
        log: str,
        secrets: list[str],
        streams: int,
        memory_limit: int | None,
        **program: Any,
    ) -> None:
        stdin, stdout = (self._descriptors.popleft() for _ in range(2)) if streams else (None, None)
        pipe = None
        try:
            pipe = LogPipe(Path(log), [os.fsencode(secret) for secret in secrets])
            pid = start_child(
                **program,
                stdin=stdin,
                stdout=pipe.write_end if stdout is None else stdout,
                stderr=pipe.write_end,
            )
        except (Refused, OSError) as error:
            if pipe is not None:
                pipe.close()
            self._report("refused", name=name, why=str(error))
            return
        finally:
            for descriptor in (stdin, stdout, pipe.write_end if pipe else None):
                if descriptor is not None:
                    os.close(descriptor)
        self._children[name] = Child(name, pid, pipe)
        if name == SERVER:
            self._meter = Meter(memory_limit)
        self._selector.register(
            pipe.read_end, selectors.EVENT_READ, lambda: self._pump(pipe, TURN_BYTES)
        )
        self._report("spawned", name=name, pid=pid)

    def _note_on_loss(self, name: str, argv: list[str], environment: dict[str, str]) -> None:
        self._on_loss = (argv, environment) if argv else None
        self._report("noted", name=name)

    def _end_child(self, name: str, grace_s: float) -> None:
        if name in self._children:
            seen: set[int] = set()
            self._end(grace_s, lambda: self._left_of(name, seen))
            self._pump(self._children[name].log, DRAIN_BYTES)
        self._report("ended", name=name)

    def _left_of(self, name: str, seen: set[int]) -> list[int]:
        """What is left of a tree, also of what has lost its parents since it was `seen`."""
        seen.update(self._tree(name))
        left = [pid for pid in descendants(os.getpid()) if pid in seen]
        seen.update(child for pid in left for child in descendants(pid))
        return left

    def _tree(self, name: str, *, zombies: bool = False) -> list[int]:
        """The server's tree is all but the other children's: its daemons come to us as orphans."""
        if name == SERVER:
            others = {p for n in self._children if n != SERVER for p in self._tree(n, zombies=True)}
            return [p for p in descendants(os.getpid(), zombies=zombies) if p not in others]
        child = self._children[name]
        return [child.pid, *descendants(child.pid)] if child.code is None else []

    def _end(self, grace_s: float, left: Callable[[], list[int]]) -> None:
        """SIGTERM, and SIGKILL after the grace, until nothing is left."""
        _signal_all(left(), signal.SIGTERM)
        deadline_s = time.monotonic() + grace_s
        while pids := left():
            if self._engine_gone_s is not None:  # nobody waits for a slow end any more
                deadline_s = min(deadline_s, self._engine_gone_s + ORPHAN_GRACE_S)
            if time.monotonic() >= deadline_s:
                _signal_all(pids, signal.SIGKILL)
            self._turn(POLL_S)

    # -- children ------------------------------------------------------------------------------

    def _reap(self) -> bool:
        """Collect ended children and adopted orphans; whether any is left."""
        by_pid = {child.pid: child for child in self._children.values()}
        any_left = any_ended = False
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
                if pid == 0:
                    any_left = True
                    break
                any_ended = True
                child = by_pid.get(pid)
                if child is None or child.name == SERVER:
                    self._meter.count_reaped(usage)
                if child is not None:
                    child.code = os.waitstatus_to_exitcode(status)
        if any_ended:
            self._tell_ended()
        return any_left

    def _tell_ended(self) -> None:
        for child in self._children.values():
            if child.code is None or child.told:
                continue
            # A server that puts itself into the background ends with 0 and goes on.
            if child.code == 0 and self._tree(child.name):
                continue
            child.told = True
            self._pump(child.log, DRAIN_BYTES)  # its last words belong to the news
            self._report("exited", name=child.name, code=child.code)

    def _pump(self, pipe: LogPipe, limit_bytes: int) -> None:
        if pipe.is_open and not pipe.move(limit_bytes):
            self._selector.unregister(pipe.read_end)
            pipe.close()

    def _watch(self) -> None:
        """Read the server's usage; end it when it outgrows its instance type's memory."""
        if SERVER not in self._children:
            return
        pids = self._tree(SERVER, zombies=True)
        if not pids:
            return
        reading = self._meter.read(pids)
        # A look that an engine which does not listen may miss: never wait for it.
        self._report("usage", socket.MSG_DONTWAIT, **reading)
        excess = self._meter.excess(pids, int(reading["memory_bytes"] or 0))
        if excess is not None:
            self._report("out-of-memory", **asdict(excess))
            self._end(0.0, lambda: self._tree(SERVER))

    def _report(self, kind: str, flags: int = 0, **values: Any) -> None:
        try:
            self._channel.sendall(json.dumps({"kind": kind, **values}).encode() + b"\n", flags)
        except BlockingIOError:
            return
        except OSError:
            self._lose_engine()


def _signal_all(pids: list[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def main() -> None:
    """Become a reaper of orphans and serve the engine."""
    adopt_orphans()
    Guardian(socket.socket(fileno=int(sys.argv[1]))).run()


if __name__ == "__main__":
    main()
