"""Whom to trust over TLS, and who we are: the same for readiness, probes and traffic."""

from __future__ import annotations

import ssl
from dataclasses import dataclass


@dataclass(frozen=True)
class Tls:
    """Files in PEM form, as paths that lead there from anywhere."""

    ca: str | None = None
    """The only authority that is trusted; None: the system's."""
    cert: str | None = None
    key: str | None = None
    """Who we are; the key may stand in the certificate's file."""


def trust_of(tls: Tls | None) -> ssl.SSLContext:
    """A client's context; tens of milliseconds, so make it once.

    Raises:
        OSError: a file cannot be read, is not PEM, or the key is another certificate's.
    """
    tls = tls or Tls()
    context = ssl.create_default_context(cafile=tls.ca)
    if tls.cert is not None:
        # A key that asks for its password would wait for somebody at a terminal.
        context.load_cert_chain(tls.cert, tls.key, password=lambda: b"")
    return context
