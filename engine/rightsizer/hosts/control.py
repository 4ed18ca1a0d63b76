"""The control plane's HTTP: readiness and probes. The only module that uses httpx; nothing that is
measured passes through here."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from urllib.parse import urljoin, urlsplit

import httpx

from rightsizer.hosts.trust import Tls, trust_of

KEPT_BYTES = 65536


class ProbeError(Exception):
    """No HTTP answer came; one line why."""


@dataclass(frozen=True)
class ProbeReply:
    """An answer to a probe. `body` is its first 64 KiB, `size_bytes` the size of the whole."""

    status: int
    body: bytes
    size_bytes: int
    elapsed_s: float
    location: str = ""
    """Where a redirect points to."""


def why_not_ready(
    url: str, path: str | None, timeout_s: float, tls: Tls | None = None
) -> str | None:
    """What keeps a server from answering GET with 200, None if nothing does. The body is not read.

    Without a path: from accepting a TCP connection.
    """
    try:
        if path is None:
            socket.create_connection(_address(url), timeout_s).close()
            return None
        # The body is not read: it may have no end.
        with (
            _client(timeout_s, tls) as client,
            client.stream("GET", url.rstrip("/") + path) as response,
        ):
            status = response.status_code
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        return _in_words(error, timeout_s)
    return None if status == 200 else f"status {status}"


def send_probe(
    url: str,
    method: str,
    path: str,
    *,
    headers: Mapping[str, str],
    body: bytes,
    content_type: str,
    timeout_s: float,
    tls: Tls | None = None,
) -> ProbeReply:
    """One request within `timeout_s`, in all, as the measured client would send it.

    No proxy is used and no redirect followed.

    Raises:
        ProbeError: no connection, no answer in time, or one that is not HTTP.
    """
    replies: list[ProbeReply | Exception] = []

    def send() -> None:
        try:
            replies.append(_send(url.rstrip("/") + path, method, merged, body, timeout_s, tls))
        except Exception as error:  # raised again below, in the caller's thread
            replies.append(error)

    merged = {"content-type": content_type, **{k.lower(): v for k, v in headers.items()}}
    # httpx bounds each wait, not their sum: an answer that drips would never end.
    thread = threading.Thread(target=send, daemon=True, name="probe")
    thread.start()
    thread.join(timeout_s)
    if not replies:
        raise ProbeError(f"no answer within {timeout_s:g} s")
    reply = replies[0]
    if isinstance(reply, httpx.HTTPError | httpx.InvalidURL | OSError):
        raise ProbeError(_in_words(reply, timeout_s))
    if isinstance(reply, Exception):
        raise reply
    return reply


def _send(
    url: str,
    method: str,
    headers: Mapping[str, str],
    body: bytes,
    timeout_s: float,
    tls: Tls | None,
) -> ProbeReply:
    with _client(timeout_s, tls) as client:
        begin_s = time.perf_counter()  # making the client is not the server's time
        request = client.build_request(method, url, headers=dict(headers), content=body)
        if "accept-encoding" not in headers:  # the measured client accepts none
            del request.headers["accept-encoding"]
        response = client.send(request, stream=True)
        kept, size_bytes = b"", 0
        for chunk in response.iter_raw():
            size_bytes += len(chunk)
            if len(kept) < KEPT_BYTES:
                kept = (kept + chunk)[:KEPT_BYTES]
            if time.perf_counter() - begin_s > timeout_s:
                response.close()
                raise httpx.ReadTimeout("the answer has no end")  # nobody waits any more
        response.close()
        took_s = time.perf_counter() - begin_s
        location = urljoin(url, response.headers.get("location")) if response.is_redirect else ""
        return ProbeReply(response.status_code, kept, size_bytes, took_s, location)


def _in_words(error: Exception, timeout_s: float) -> str:
    match error:
        case httpx.TimeoutException() | TimeoutError():
            return f"no answer within {timeout_s:g} s"
        case httpx.RemoteProtocolError():
            return f"the answer is not HTTP, or was cut off ({error})"
        case httpx.ConnectError():
            return f"no connection ({error})"
    return str(error) or type(error).__name__


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _client(timeout_s: float, tls: Tls | None) -> httpx.Client:
    # A proxy of the user's environment is not the way to a server on this machine.
    return httpx.Client(
        timeout=timeout_s,
        trust_env=False,
        follow_redirects=False,
        verify=_trust(tls),
        headers={"user-agent": "rightsizer"},
    )


@cache
def _trust(tls: Tls | None) -> ssl.SSLContext:
    """What the measured client trusts; slow to load."""
    return trust_of(tls)
