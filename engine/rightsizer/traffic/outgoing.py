"""Requests as they go over the wire: built once for each payload, only their id changes."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

ID_FIELD = "X-Request-Id"
ID_DIGITS = 16


@dataclass(frozen=True)
class Target:
    """Where requests go, taken apart once."""

    host: str
    port: int
    base_path: str
    authority: str
    trust: ssl.SSLContext | None = None
    """For TLS; loading the system's certificates takes tens of milliseconds, so it is done once."""

    @classmethod
    def of(cls, url: str, trust: ssl.SSLContext | None = None) -> Target:
        """Take a URL apart; a default port stays out of the Host header."""
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return cls(parts.hostname or "", port, parts.path.rstrip("/"), parts.netloc, trust)


class Outgoing:
    """One payload's request, whole, in a buffer that is sent as it lies."""

    __slots__ = ("_id_at", "buffer", "content_bytes", "head_bytes")

    def __init__(self, head: bytes, content: bytes) -> None:
        self.head_bytes = len(head)
        self.content_bytes = len(content)
        self.buffer = bytearray(head + content)
        place = b"\r\n" + ID_FIELD.encode() + b": " + b"0" * ID_DIGITS + b"\r\n"
        found = head.find(place)
        first = found + len(place) - ID_DIGITS - 2
        self._id_at = slice(first, first + ID_DIGITS) if found >= 0 else None

    def number(self, request_id: int) -> bytearray:
        """The request under this id; the buffer holds it until the next call."""
        if self._id_at is not None:
            self.buffer[self._id_at] = b"%016x" % request_id
        return self.buffer

    def rest(self, sent: int) -> bytes | memoryview:
        """What is left after `sent` bytes: safe from the next call of `number`."""
        if sent < self.head_bytes:
            return bytes(self.buffer[sent:])
        return memoryview(self.buffer)[sent:]


def build(
    target: Target, method: str, path: str, headers: Mapping[str, str], content: bytes, kind: str
) -> Outgoing:
    """The request for one payload. Names are case-insensitive: a given `accept` replaces ours."""
    fields = {
        "Host": target.authority,
        "User-Agent": "rightsizer",
        "Accept": "*/*",
        "Content-Type": kind,
        "Content-Length": str(len(content)),
        ID_FIELD: "0" * ID_DIGITS,
    }
    given = {name.lower() for name in headers}
    fields = {name: value for name, value in fields.items() if name.lower() not in given}
    lines = [f"{method} {target.base_path}{path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in {**fields, **headers}.items()]
    return Outgoing(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"), content)
