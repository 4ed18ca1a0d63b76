"""A scripted server, and an owner for generators."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from rightsizer.hosts.owner import GuardedOwner

SCRIPTED = Path(__file__).parent / "servers" / "scripted.py"


@dataclass
class Scripted:
    """A running scripted server."""

    url: str

    def heads(self) -> int:
        """Request heads that it has read."""
        return int(self.get("/count")["heads"])

    def get(self, path: str) -> dict[str, int]:
        with urllib.request.urlopen(self.url + path, timeout=10) as reply:
            return dict(json.loads(reply.read()))


@contextmanager
def serving(
    *arguments: str, scheme: str = "http", script: Path = SCRIPTED, port: int = 0
) -> Iterator[Scripted]:
    """A scripted server, until the context ends."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        port = sock.getsockname()[1]
    process = subprocess.Popen([sys.executable, str(script), str(port), *arguments])
    try:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield Scripted(f"{scheme}://127.0.0.1:{port}")
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    with serving() as server:
        yield server


@pytest.fixture
def owner() -> Iterator[GuardedOwner]:
    with GuardedOwner([]) as found:
        yield found
