"""A child's output on disk: bounded, and without the values of secrets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

MAX_BYTES = 1 << 20
"""A log file of this size is set aside as NAME.1, and the one before it dropped."""
MASK = b"***"


class BoundedLog:
    """Appends to a file; keeps the last one to two MiB. A full disk ends the log, not the trial."""

    def __init__(self, path: Path, secrets: Sequence[bytes] = ()) -> None:
        self._path, self._before = path, path.with_name(path.name + ".1")
        self._secrets = [secret for secret in secrets if secret]
        self._longest = max((len(secret) for secret in self._secrets), default=0)
        self._before.unlink(missing_ok=True)
        self._file = path.open("wb", buffering=0)
        self._size = 0
        self._held = b""
        self._masked = 0
        """How many bytes of those held belong to a secret that is masked already."""

    def write(self, data: bytes) -> None:
        """Add output as it came; a secret may be split over several calls."""
        self._take(self._held + data, end=False)

    def close(self) -> None:
        """Write what was held back and close."""
        self._take(self._held, end=True)
        self._file.close()

    def _take(self, data: bytes, end: bool) -> None:
        """Write all but the end that may be the beginning of a secret; secrets may overlap."""
        cut = len(data) - (0 if end else self._beginnings(data))
        written, done = b"", self._masked
        for begin, stop in self._found(data):
            if begin >= cut:
                break
            if begin >= done:
                written += data[done:begin] + MASK
            done = max(done, stop)
        written += data[done:cut]
        self._held, self._masked = data[cut:], max(0, done - cut)
        self._append(written)

    def _found(self, data: bytes) -> list[tuple[int, int]]:
        """Where secrets are, of those that begin at one place the longest."""
        found: dict[int, int] = {}
        for secret in self._secrets:
            for match in re.finditer(b"(?=" + re.escape(secret) + b")", data):
                begin = match.start()
                found[begin] = max(found.get(begin, 0), begin + len(secret))
        return sorted(found.items())

    def _beginnings(self, data: bytes) -> int:
        """How many bytes at the end may be the beginning of a secret."""
        for length in range(min(self._longest - 1, len(data)), 0, -1):
            end = data[-length:]
            if any(len(secret) > length and secret.startswith(end) for secret in self._secrets):
                return length
        return 0

    def _append(self, data: bytes) -> None:
        try:
            self._file.write(data)
            self._size += len(data)
            if self._size > MAX_BYTES:
                self._file.close()
                self._path.replace(self._before)
                self._file = self._path.open("wb", buffering=0)
                self._size = 0
        except (OSError, ValueError):  # full, or closed since it was full
            return


def tail(path: Path, lines: int) -> str:
    """The last lines of a bounded log."""
    text = b""
    for part in (path.with_name(path.name + ".1"), path):
        if part.exists():
            text += part.read_bytes()
    return "\n".join(text[-65536:].decode("utf-8", "replace").splitlines()[-lines:])
