"""A child's output on disk: bounded, and without the values of secrets."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

MAX_BYTES = 1 << 20
"""A log file of this size is set aside as NAME.1, and the one before it dropped."""
READ_BYTES = 65536
TAIL_BYTES = 65536
MASK = b"***"


class Redactor:
    """Replaces secrets in a stream; what may be the beginning of one is held back.

    Secrets that overlap, in one another or in themselves, are masked together.
    """

    def __init__(self, secrets: Sequence[bytes]) -> None:
        self._secrets = sorted({secret for secret in secrets if secret})
        self._longest = max(map(len, self._secrets), default=0)
        self._held = b""
        self._masked = 0
        """How many of the bytes held belong to a secret whose mask is told already."""

    def feed(self, data: bytes) -> bytes:
        """What can be told for sure with this much more of the stream."""
        data = self._held + data
        return self._tell(data, len(data) - self._undecided(data))

    def flush(self) -> bytes:
        """The rest, at the end of the stream."""
        return self._tell(self._held, len(self._held))

    def _tell(self, data: bytes, cut: int) -> bytes:
        told, done = b"", self._masked
        for begin, end in self._found(data):
            if begin >= cut:
                break
            if begin >= done:
                told += data[done:begin] + MASK
            done = max(done, end)
        told += data[done:cut]
        self._held, self._masked = data[cut:], max(0, done - cut)
        return told

    def _found(self, data: bytes) -> list[tuple[int, int]]:
        """Where every secret begins and ends."""
        found = []
        for secret in self._secrets:
            at = data.find(secret)
            while at >= 0:
                found.append((at, at + len(secret)))
                at = data.find(secret, at + 1)
        return sorted(found)

    def _undecided(self, data: bytes) -> int:
        """How many bytes at the end may be the beginning of a secret."""
        for length in range(min(self._longest - 1, len(data)), 0, -1):
            end = data[-length:]
            if any(len(secret) > length and secret.startswith(end) for secret in self._secrets):
                return length
        return 0


class BoundedLog:
    """Appends to a file; the last one to two MiB are kept, in NAME.1 and NAME.

    A log that cannot be written ends there: a full disk must not end the trial.
    """

    def __init__(self, path: Path, secrets: Sequence[bytes] = ()) -> None:
        """Raises OSError where the file cannot be made."""
        self._path = path
        self._redactor = Redactor(secrets)
        _set_aside(path).unlink(missing_ok=True)  # an earlier trial's
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
    """A pipe for a child's output, and the log it goes to; the caller closes the write end."""

    def __init__(self, path: Path, secrets: Sequence[bytes]) -> None:
        """Raises OSError where the log cannot be made."""
        self._log = BoundedLog(path, secrets)
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.read_end, False)

    @property
    def is_open(self) -> bool:
        """Whether more may be read."""
        return self.read_end >= 0

    def move(self, limit_bytes: int) -> bool:
        """Move what waits to the log, up to a limit; False once the stream has ended."""
        while limit_bytes > 0:
            try:
                data = os.read(self.read_end, READ_BYTES)
            except BlockingIOError:
                return True
            if not data:
                return False
            self._log.write(data)
            limit_bytes -= len(data)
        return True

    def close(self) -> None:
        """End the log."""
        if self.is_open:
            os.close(self.read_end)
            self.read_end = -1
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
