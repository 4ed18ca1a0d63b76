"""A child's output on disk: bounded, and without the values of secrets."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

MAX_BYTES = 1 << 20
"""A log file of this size is set aside as NAME.1, and the one before it dropped."""
READ_BYTES = 65536
DRAIN_BYTES = 4 * MAX_BYTES
TAIL_BYTES = 65536
MASK = b"***"


class Redactor:
    """Replaces secrets in a stream; what may be the beginning of one is held back."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        # The longest first: one secret may begin with another.
        self._secrets = sorted({s for s in secrets if s}, key=len, reverse=True)
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """What can be told for sure with this much more of the stream."""
        data = self._held + data
        cut = self._undecided(data, 0)
        while end := self._across(data, cut):
            cut = self._undecided(data, end)
        self._held = data[cut:]
        return self._masked(data[:cut])

    def flush(self) -> bytes:
        """The rest, at the end of the stream."""
        held, self._held = self._held, b""
        return self._masked(held)

    def _masked(self, data: bytes) -> bytes:
        for secret in self._secrets:
            data = data.replace(secret, MASK)
        return data

    def _undecided(self, data: bytes, begin: int) -> int:
        """Where the first beginning of a secret stands that the end of the data cuts off."""
        cut = len(data)
        for secret in self._secrets:
            at = data.find(secret[:1], max(begin, len(data) - len(secret) + 1), cut)
            while at >= 0 and not secret.startswith(data[at:]):
                at = data.find(secret[:1], at + 1, cut)
            cut = at if at >= 0 else cut
        return cut

    def _across(self, data: bytes, cut: int) -> int:
        """The end of a whole secret that runs across the cut, 0 if none does."""
        for secret in self._secrets:
            begin, end = max(0, cut - len(secret) + 1), cut + len(secret) - 1
            at = data.find(secret, begin, end)
            if at >= 0:
                return at + len(secret)
        return 0


class BoundedLog:
    """Appends to a file; the last one to two MiB are kept, in NAME.1 and NAME.

    A log that cannot be written ends there: a full disk must not end the trial.
    """

    def __init__(self, path: Path, secrets: Sequence[bytes] = ()) -> None:
        """Raises OSError where the file cannot be made."""
        self._path = path
        self._redactor = Redactor(secrets)
        self._descriptor = _open(path)
        self._size = 0

    def write(self, data: bytes) -> None:
        """Add output as it came; a secret may be split over several calls."""
        self._append(self._redactor.feed(data))

    def close(self) -> None:
        """Write what was held back and close."""
        self._append(self._redactor.flush())
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _append(self, data: bytes) -> None:
        if self._descriptor < 0 or not data:
            return
        try:
            self._size += os.write(self._descriptor, data)
            if self._size >= MAX_BYTES:
                self._rotate()
        except OSError:
            return

    def _rotate(self) -> None:
        os.close(self._descriptor)
        self._descriptor, self._size = -1, 0
        self._path.replace(_set_aside(self._path))
        self._descriptor = _open(self._path)


class LogPipe:
    """The reading end of a child's output, and the log it goes to."""

    def __init__(self, path: Path, secrets: Sequence[bytes]) -> None:
        """Raises OSError where the log cannot be made."""
        self._log = BoundedLog(path, secrets)
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.read_end, False)

    def close_write_end(self) -> None:
        """Leave it to the children: its end is then theirs."""
        os.close(self.write_end)

    def pump(self) -> int | None:
        """Move what has come, at most 64 KiB; 0 if nothing has, None at the end."""
        try:
            data = os.read(self.read_end, READ_BYTES)
        except BlockingIOError:
            return 0
        self._log.write(data)
        return len(data) or None

    def drain(self) -> None:
        """Move all that waits in the pipe, within reason: a child may print without end."""
        moved = 0
        while moved < DRAIN_BYTES and (count := self.pump()):
            moved += count

    def close(self) -> None:
        """End the log."""
        os.close(self.read_end)
        self._log.close()


def tail(path: Path, lines: int) -> str:
    """The last lines of a bounded log, of its last 64 KiB; empty where there is none."""
    text = b""
    for part in (_set_aside(path), path):
        with contextlib.suppress(FileNotFoundError):
            text += part.read_bytes()
    return "\n".join(text[-TAIL_BYTES:].decode("utf-8", "replace").splitlines()[-lines:])


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)


def _set_aside(path: Path) -> Path:
    return path.with_name(path.name + ".1")
