"""Starts the server, talks to it, ends it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SERVE = ROOT / "containers" / "savedmodel-server" / "serve.py"
READY_TIMEOUT_S = 90.0
# What the surrounding shell may hold must not decide a test.
OURS = ("SAGEMAKER_", "OMP_", "TF_", "ONEDNN_")


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    status: int
    content_type: str
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Server:
    """A running server."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def get(self, path: str) -> Answer:
        return self.call("GET", path)

    def post(self, path: str, body: Any, content_type: str = "application/json", **headers: str):
        """Anything but bytes is sent as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.call("POST", path, content, {"Content-Type": content_type, **named})

    def call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, dict(headers or {}))
            reply = connection.getresponse()
            return Answer(reply.status, reply.getheader("Content-Type", ""), reply.read())
        finally:
            connection.close()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(**variables: str) -> dict[str, str]:
    """This process's environment, with no other serving variables than these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return {**kept, **variables}


def command(model_dir: Path, port: int | None, *more: str) -> list[str]:
    """The command line that serves a folder; no port leaves it to the environment."""
    chosen = [] if port is None else ["--port", str(port)]
    arguments = ["serve", *chosen, "--model-dir", str(model_dir), *more]
    return [sys.executable, str(SERVE), *arguments]


@contextmanager
def serving(model_dir: Path, log: Path, *more: str, **variables: str) -> Iterator[Server]:
    """A server that answers /ping, ended on the way out. Its first answer must be a 200."""
    chosen = variables.get("SAGEMAKER_BIND_TO_PORT")
    port = int(chosen or free_port())
    with log.open("wb") as output:
        process = subprocess.Popen(
            command(model_dir, None if chosen else port, *more),
            env=environment(**variables),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    server = Server(process, port, log)
    try:
        _wait(server)
        yield server
    finally:
        end(process)


def _wait(server: Server) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        assert server.process.poll() is None, server.log.read_text()
        with suppress(ConnectionRefusedError):
            assert server.get("/ping").status == 200
            return
        time.sleep(0.05)
    raise AssertionError(f"not ready within {READY_TIMEOUT_S} s: {server.log.read_text()}")


def end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, then SIGKILL."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def run_to_end(
    model_dir: Path, *more: str, port: int | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """A start that is expected to fail."""
    return subprocess.run(
        command(model_dir, port or free_port(), *more),
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
