"""The engine's end of a guardian."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rightsizer.errors import EnvironmentFault, Reason, TrialInterrupted
from rightsizer.hosts.records import Usage
from rightsizer.hosts.tree import descendants

ANSWER_S = 10.0
"""What the guardian gets to answer a command, beside a grace that the command itself gives."""
END_S = 10.0
PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH")
"""The guardian's own environment: what an interpreter needs, and no secrets."""


class SpawnRefused(Exception):
    """The system would not start a program; one line why."""


class GuardedOwner:
    """Starts processes under a guardian of its own; see `hosts.base.Owner`.

    Leaving the context ends everything that was started. For one thread.
    """

    def __init__(self, cpus: Sequence[int], secrets: frozenset[str] = frozenset()) -> None:
        """`cpus` are those the guardian itself runs on: not the server's."""
        self._cpus = list(cpus)
        self._secrets = sorted(secrets)
        self._changed = threading.Condition()
        self._answers: dict[tuple[str, str], dict[str, Any]] = {}
        self._pids: dict[str, int] = {}
        self._exited: dict[str, int] = {}
        self._usage: list[Usage] = []
        self._lost = self._leaving = False
        self._out_of_memory: str | None = None

    def __enter__(self) -> GuardedOwner:
        self._channel, theirs = socket.socketpair()
        # -P: a module of the user's working folder must not stand in for one of the library's.
        argv = [sys.executable, "-P", "-m", "rightsizer.hosts.guardian", str(theirs.fileno())]
        try:
            self._guardian = subprocess.Popen(
                argv,
                env={name: os.environ[name] for name in PASSED_ON if name in os.environ},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            self._channel.close()
            why, todo = error.strerror or str(error), "end other processes or raise the limit"
            raise EnvironmentFault("cannot start the guardian process", why, todo) from None
        finally:
            theirs.close()
        if self._cpus and hasattr(os, "sched_setaffinity"):
            with contextlib.suppress(OSError):
                os.sched_setaffinity(self._guardian.pid, self._cpus)
        # The reader must wait without end, the sender must not.
        timeout = struct.pack("ll", int(ANSWER_S), 0)
        self._channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeout)
        self._reader = threading.Thread(target=self._read, daemon=True, name="guardian-reader")
        self._reader.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leaving = True
        # The closed channel is the word to end everything.
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_WR)
        try:
            self._guardian.wait(END_S)
        except subprocess.TimeoutExpired:
            left = descendants(self._guardian.pid)
            self._guardian.kill()
            for pid in left:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            self._guardian.wait()
        self._reader.join(END_S)
        self._channel.close()

    @property
    def guardian_pid(self) -> int:
        """The guardian's process; orphans of the server become its children."""
        return self._guardian.pid

    @property
    def out_of_memory(self) -> str | None:
        """The figures, when the guardian has ended the server for its memory."""
        return self._out_of_memory

    def spawn(
        self,
        name: str,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str],
        working_dir: Path,
        cpus: Sequence[int],
        log: Path,
        stdin: int | None = None,
        stdout: int | None = None,
        memory_limit_bytes: int | None = None,
    ) -> int:
        """Start a process; see `hosts.base.Owner`.

        The process called `server` is watched for its usage, and ended over the memory limit.

        Raises:
            SpawnRefused: the program cannot be started.
            TrialInterrupted: the guardian is gone.
            EnvironmentFault: the log cannot be written.
        """
        try:
            log.open("wb").close()
        except OSError as error:
            why = error.strerror or str(error)
            raise EnvironmentFault(f"cannot write {log}", why, "free space or mend it") from None
        streams = [] if stdin is None or stdout is None else [stdin, stdout]
        answer = self._ask(
            "spawn",
            ("spawned", "refused"),
            ANSWER_S,
            streams,
            name=name,
            argv=list(argv),
            environment=dict(environment),
            working_dir=str(working_dir),
            cpus=list(cpus),
            log=str(log),
            secrets=self._secrets,
            streams=len(streams),
            memory_limit=memory_limit_bytes,
        )
        if answer["kind"] == "refused":
            raise SpawnRefused(str(answer["why"]))
        return int(answer["pid"])

    def end(self, name: str, grace_s: float) -> None:
        """End a process and all it started; see `hosts.base.Owner`."""
        with contextlib.suppress(TrialInterrupted):  # then its processes are gone with it
            self._ask("end", ("ended",), grace_s + ANSWER_S, (), name=name, grace_s=grace_s)

    def on_loss(self, argv: Sequence[str] | None, environment: Mapping[str, str]) -> None:
        """What the guardian runs once the engine is gone, or has left; None takes it back.

        Raises:
            TrialInterrupted: the guardian is gone.
        """
        self._ask(
            "on-loss",
            ("noted",),
            ANSWER_S,
            (),
            name="on-loss",
            argv=list(argv or ()),
            environment=dict(environment),
        )

    def exited(self, name: str) -> str | None:
        """How the process ended; see `hosts.base.Owner`."""
        with self._changed:
            code = self._exited.get(name)
        if code is None:
            self.check()
            return None
        if code >= 0:
            return f"exit code {code}"
        try:
            return f"signal {signal.Signals(-code).name}"
        except ValueError:
            return f"signal {-code}"

    def usage(self) -> list[Usage]:
        """The server's usage readings so far."""
        with self._changed:
            return list(self._usage)

    def check(self) -> None:
        """Raise TrialInterrupted if the guardian is gone."""
        if self._lost:
            raise TrialInterrupted(Reason.HOST_LOST, "the guardian of server and generator is gone")

    def _ask(
        self,
        kind: str,
        answers: Sequence[str],
        timeout_s: float,
        descriptors: Sequence[int],
        **values: Any,
    ) -> dict[str, Any]:
        name = str(values["name"])
        with self._changed:
            for answer in answers:
                self._answers.pop((answer, name), None)
        message = json.dumps({"kind": kind, **values}).encode() + b"\n"
        try:
            sent = socket.send_fds(self._channel, [message], list(descriptors))
            self._channel.sendall(message[sent:])
        except OSError:
            self._lost = True
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            while not self._lost:
                for answer in answers:
                    if (answer, name) in self._answers:
                        return self._answers.pop((answer, name))
                left_s = deadline_s - time.monotonic()
                if left_s <= 0:
                    break
                self._changed.wait(left_s)
        self.check()
        raise TrialInterrupted(Reason.HOST_LOST, f"the guardian did not answer {kind} in time")

    # -- reports, in the reader's thread ---------------------------------------------------------

    def _read(self) -> None:
        """Reports as they come, until the guardian closes its end."""
        with contextlib.suppress(OSError), self._channel.makefile("rb") as lines:
            for line in lines:
                if line.endswith(b"\n"):  # not cut off by the guardian's death
                    self._take(json.loads(line))
        with self._changed:
            self._lost = True
            self._changed.notify_all()
        if not self._leaving:
            self._end_groups()

    def _take(self, report: dict[str, Any]) -> None:
        with self._changed:
            match report.pop("kind"):
                case "usage":
                    self._usage.append(Usage(**report))
                case "exited":
                    self._exited[report["name"]] = report["code"]
                case "out-of-memory":
                    used, limit = (report[key] / 2**20 for key in ("memory_bytes", "limit_bytes"))
                    self._out_of_memory = f"{used:.0f} MiB used of {limit:.0f} MiB"
                case kind:
                    if kind == "spawned":
                        self._pids[report["name"]] = report["pid"]
                        self._exited.pop(report["name"], None)
                    self._answers[(kind, report["name"])] = {"kind": kind, **report}
            self._changed.notify_all()

    def _end_groups(self) -> None:
        """After the guardian's death: its children die with it, their workers may not."""
        for name, pid in self._pids.items():
            if name not in self._exited:
                with contextlib.suppress(OSError):
                    os.killpg(pid, signal.SIGKILL)
