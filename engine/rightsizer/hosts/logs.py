"""A child's output on disk: bounded, and without the values of secrets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

MAX_BYTES = 1 << 20
"""A log file of this size is set aside as NAME.1, and the one before it dropped."""
MASK = b"***"


class BoundedLog:
    """Appends to a file; keeps the last one to two MiB. A full disk ends the log, not the trial."""

    def __init__(self, path: Path, secrets: Sequence[bytes] = ()) -> None:
        self._path = path
        self._secrets = [secret for secret in secrets if secret]
        self._file = path.open("wb", buffering=0)
        self._size = 0
        self._held = b""

    def write(self, data: bytes) -> None:
        """Add output as it came; a secret may be split over several calls."""
        data = self._held + data
        for secret in self._secrets:
            data = data.replace(secret, MASK)
        hold = self._beginnings(data)
        self._held = data[len(data) - hold :]
        self._append(data[: len(data) - hold])

    def close(self) -> None:
        """Write what was held back and close."""
        self._append(self._held)
        self._file.close()

    def _beginnings(self, data: bytes) -> int:
        """How many bytes at the end may be the beginning of a secret."""
        longest = max((len(secret) for secret in self._secrets), default=0)
        for length in range(min(longest - 1, len(data)), 0, -1):
            if any(secret.startswith(data[-length:]) for secret in self._secrets):
                return length
        return 0

    def _append(self, data: bytes) -> None:
        try:
            self._file.write(data)
            self._size += len(data)
            if self._size > MAX_BYTES:
                self._file.close()
                self._path.replace(self._path.with_name(self._path.name + ".1"))
                self._file = self._path.open("wb", buffering=0)
                self._size = 0
        except OSError:
            return


def tail(path: Path, lines: int) -> str:
    """The last lines of a bounded log."""
    text = b""
    for part in (path.with_name(path.name + ".1"), path):
        if part.exists():
            text += part.read_bytes()
    return "\n".join(text[-65536:].decode("utf-8", "replace").splitlines()[-lines:])
