"""Addresses of Docker engines: what is one, whose machine it is, who may command it."""

from __future__ import annotations

from urllib.parse import urlsplit

DEFAULT_ADDRESS = "unix:///var/run/docker.sock"
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


def is_far(address: str) -> bool:
    """Whether an engine's containers run on another machine, as far as its address tells."""
    return not address.startswith("unix:")


def host_name(address: str) -> str:
    """The machine of a far engine."""
    return urlsplit(address).hostname or ""


def address_problem(address: str, has_tls: bool) -> tuple[str, str] | None:
    """What is wrong with an address, as the key at fault and a message; None if nothing is.

    The scheme is one that is known, or the address is empty.
    """
    if has_tls and not address.startswith("tcp:"):
        return "tls", "tls belongs to a tcp:// address; remove it"
    if not address.startswith(("tcp:", "ssh:")):
        return None
    try:
        parts = urlsplit(address)
        name, port = parts.hostname or "", parts.port
    except ValueError as error:
        return "address", f"no address: {error}; write SCHEME://HOST:PORT"
    if not name or parts.path not in ("", "/") or (parts.scheme == "tcp" and port is None):
        return "address", f"{address!r} names no engine; write tcp://HOST:PORT or ssh://HOST"
    if parts.scheme == "tcp" and not has_tls and name not in LOOPBACK_NAMES:
        message = "whoever reaches it over plain tcp owns that machine; give tls, or use ssh://"
        return "address", message
    return None
