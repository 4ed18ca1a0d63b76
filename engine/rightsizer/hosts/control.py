"""The control plane's HTTP: readiness and probes. The only module that uses httpx; nothing that is
measured passes through here."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

READY_REPLY_S = 5.0
KEPT_BYTES = 65536


class ProbeError(Exception):
    """No HTTP answer came; one line why."""


@dataclass(frozen=True)
class ProbeReply:
    """An answer to a probe. `body` is its first 64 KiB."""

    status: int
    body: bytes
    size_bytes: int
    elapsed_s: float


def is_ready(url: str, path: str) -> bool:
    """Whether GET answers 200; its body is not read."""
    try:
        with (
            _client(READY_REPLY_S) as client,
            client.stream("GET", url.rstrip("/") + path) as response,
        ):
            return response.status_code == 200
    except (httpx.HTTPError, httpx.InvalidURL):
        return False


def accepts(url: str) -> bool:
    """Whether a TCP connection is accepted."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), READY_REPLY_S).close()
    except OSError:
        return False
    return True


def send_probe(
    url: str,
    method: str,
    path: str,
    *,
    headers: Mapping[str, str],
    body: bytes,
    content_type: str,
    timeout_s: float,
) -> ProbeReply:
    """One request within `timeout_s`, in all, as the measured client would send it.

    Raises:
        ProbeError: no connection, no answer in time, or one that is not HTTP.
    """
    begin_s = time.perf_counter()
    merged = {"content-type": content_type, **{k.lower(): v for k, v in headers.items()}}
    try:
        with (
            _client(timeout_s) as client,
            client.stream(method, url.rstrip("/") + path, content=body, headers=merged) as response,
        ):
            kept, size_bytes = b"", 0
            for chunk in response.iter_raw():
                size_bytes += len(chunk)
                kept = (kept + chunk)[:KEPT_BYTES] if len(kept) < KEPT_BYTES else kept
                if time.perf_counter() - begin_s > timeout_s:
                    raise ProbeError(f"the answer was not complete within {timeout_s:g} s")
            elapsed_s = time.perf_counter() - begin_s
            return ProbeReply(response.status_code, kept, size_bytes, elapsed_s)
    except httpx.TimeoutException:
        raise ProbeError(f"no answer within {timeout_s:g} s") from None
    except httpx.RemoteProtocolError as error:
        raise ProbeError(f"the answer is not HTTP, or was cut off ({error})") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ProbeError(str(error) or type(error).__name__) from None


def _client(timeout_s: float) -> httpx.Client:
    # A proxy of the user's environment is not the way to a server on this machine.
    return httpx.Client(timeout=timeout_s, trust_env=False, follow_redirects=False)
