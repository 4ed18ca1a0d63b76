"""The guardian: one small process a trial that owns the server and the generator.

    python -m rightsizer.hosts.guardian FD

FD is its end of a Unix socket to the engine: commands come in, reports go out, as JSON lines; file
descriptors for a child's stdin and stdout travel beside a spawn command (SCM_RIGHTS). When the
engine's end closes, however it died, everything the guardian started is ended. Standard library
only: it must start fast and cost nothing.

Commands: spawn, end. Reports: spawned, refused, exited, out-of-memory, usage.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rightsizer.hosts.logs import BoundedLog
from rightsizer.hosts.tree import cpu_seconds, descendants, memory_bytes, proportional_bytes

SERVER = "server"
USAGE_EVERY_S = 0.5
ORPHAN_GRACE_S = 1.0
"""What children get to end by themselves once the engine is gone."""
POLL_S = 0.02
READ_BYTES = 65536
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


class Guardian:
    """Spawns children, keeps their logs, watches the server's usage, ends everything."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._selector = selectors.DefaultSelector()
        self._children: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._buffer = b""
        self._descriptors: deque[int] = deque()
        self._memory_limit: int | None = None
        self._reaped_cpu_s = 0.0
        self._next_usage_s = 0.0
        self._engine_gone = False
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_read, False)
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self._selector.register(wake_read, selectors.EVENT_READ, lambda: _empty(wake_read))
        self._selector.register(channel, selectors.EVENT_READ, self._receive)

    def run(self) -> None:
        """Serve the engine until it goes away; then end everything."""
        while not self._engine_gone:
            self._turn(max(0.0, self._next_usage_s - time.monotonic()))
            if time.monotonic() >= self._next_usage_s:
                self._next_usage_s = time.monotonic() + USAGE_EVERY_S
                self._watch()
        self._end(ORPHAN_GRACE_S, lambda: descendants(os.getpid()))

    def _on_signal(self, number: int, frame: object) -> None:
        if number != signal.SIGCHLD:
            self._engine_gone = True

    def _turn(self, timeout_s: float) -> None:
        """Whatever has come: commands, log lines, ended children."""
        for key, _ in self._selector.select(timeout_s):
            key.data()
        self._reap()

    # -- commands ------------------------------------------------------------------------------

    def _receive(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._channel, READ_BYTES, 8)
        except OSError:
            data, descriptors = b"", []
        self._descriptors.extend(descriptors)
        if not data:
            self._engine_gone = True
            self._selector.unregister(self._channel)
            return
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            command = json.loads(line)
            if command.pop("kind") == "spawn":
                self._spawn(**command)
            else:
                self._end_child(**command)

    def _spawn(
        self,
        name: str,
        argv: list[str],
        environment: dict[str, str],
        working_dir: str,
        cpus: list[int],
        log: str,
        secrets: list[str],
        streams: int,
        memory_limit: int | None,
    ) -> None:
        stdin, stdout = (self._descriptors.popleft() for _ in range(2)) if streams else (None, None)
        log_read, log_write = os.pipe()
        try:
            child = subprocess.Popen(
                argv,
                env=environment,
                cwd=working_dir,
                stdin=subprocess.DEVNULL if stdin is None else stdin,
                stdout=log_write if stdout is None else stdout,
                stderr=log_write,
                start_new_session=True,
                preexec_fn=lambda: _in_child(os.getppid(), cpus),  # single-threaded here
            )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            os.close(log_read)
            why = getattr(error, "strerror", None) or str(error)
            self._report("refused", name=name, why=why)
            return
        finally:
            for descriptor in (log_write, stdin, stdout):
                if descriptor is not None:
                    os.close(descriptor)
        # Popen must not reap: `_reap` does, with the child's CPU time.
        child.returncode = 0
        self._children[name], self._names[child.pid] = child.pid, name
        if name == SERVER:
            self._memory_limit = memory_limit
        self._keep_log(log_read, BoundedLog(Path(log), [s.encode() for s in secrets]))
        self._report("spawned", name=name, pid=child.pid)

    def _end_child(self, name: str, grace_s: float) -> None:
        pid = self._children.get(name)
        if pid is not None:
            self._end(grace_s, lambda: self._tree(name))
        self._report("ended", name=name)

    def _tree(self, name: str) -> list[int]:
        """The server's tree is all but the generator's: its daemons come to us as orphans."""
        if name == SERVER:
            others = {pid for n in self._children if n != SERVER for pid in self._tree(n)}
            return [pid for pid in descendants(os.getpid()) if pid not in others]
        pid = self._children[name]
        return [pid, *descendants(pid)] if pid in self._names else []

    def _end(self, grace_s: float, left: Callable[[], list[int]]) -> None:
        """SIGTERM, and SIGKILL after the grace, until nothing is left."""
        _signal_all(left(), signal.SIGTERM)
        deadline_s = time.monotonic() + grace_s
        while pids := left():
            if time.monotonic() >= deadline_s:
                _signal_all(pids, signal.SIGKILL)
            self._turn(POLL_S)

    # -- children ------------------------------------------------------------------------------

    def _reap(self) -> None:
        """Collect ended children and adopted orphans, and what CPU time they took."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            name = self._names.pop(pid, None)
            if name in (None, SERVER):
                self._reaped_cpu_s += usage.ru_utime + usage.ru_stime
            if name is not None:
                self._report("exited", name=name, code=os.waitstatus_to_exitcode(status))

    def _keep_log(self, descriptor: int, log: BoundedLog) -> None:
        os.set_blocking(descriptor, False)

        def pump() -> None:
            try:
                data = os.read(descriptor, READ_BYTES)
            except BlockingIOError:
                return
            if data:
                log.write(data)
                return
            self._selector.unregister(descriptor)
            os.close(descriptor)
            log.close()

        self._selector.register(descriptor, selectors.EVENT_READ, pump)

    def _watch(self) -> None:
        """Read the server's usage; end it when it outgrows its instance type's memory."""
        if SERVER not in self._children:
            return
        pids = self._tree(SERVER)
        if not pids:
            return
        used_bytes = sum(memory_bytes(pid) for pid in pids)
        self._report(
            "usage",
            t_ns=time.monotonic_ns(),
            cpu_s=self._reaped_cpu_s + sum(cpu_seconds(pid) for pid in pids),
            memory_bytes=used_bytes,
        )
        limit = self._memory_limit
        if limit is None or used_bytes <= limit:
            return
        # Forked workers share pages that the cheap reading counts once for each.
        exact_bytes = sum(proportional_bytes(pid) for pid in pids)
        if exact_bytes > limit:
            self._report("out-of-memory", memory_bytes=exact_bytes, limit_bytes=limit)
            self._end(0.0, lambda: self._tree(SERVER))

    def _report(self, kind: str, **values: Any) -> None:
        try:
            self._channel.sendall(json.dumps({"kind": kind, **values}).encode() + b"\n")
        except OSError:
            self._engine_gone = True


def _in_child(guardian: int, cpus: list[int]) -> None:
    """Between fork and exec: die with the guardian, keep to the CPU set."""
    if sys.platform == "linux":
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guardian:
            os._exit(1)
        if cpus:
            os.sched_setaffinity(0, cpus)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        _LIBC.prctl(option, value, 0, 0, 0)


_LIBC = ctypes.CDLL(None, use_errno=True)


def _signal_all(pids: list[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _empty(descriptor: int) -> None:
    with contextlib.suppress(BlockingIOError):
        while os.read(descriptor, 4096):
            pass


def main() -> None:
    """Become a reaper of orphans and serve the engine."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    Guardian(socket.socket(fileno=int(sys.argv[1]))).run()


if __name__ == "__main__":
    main()
