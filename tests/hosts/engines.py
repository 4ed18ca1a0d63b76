"""Docker engines of our own, each in a network namespace: another machine, as far as its address
tells. They need root, `ip` and dockerd."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
import psutil
import pytest
from rightsizer.hosts.docker.engine import Engine
from rightsizer.hosts.trust import Tls

from tests.certificates import make_certificates
from tests.hosts.images import make_image

NUMBERS = itertools.count()
PORT = 2376
READY_S = 60.0
END_S = 20.0


def require_own_engines() -> None:
    """Skip the test where this machine cannot run engines of our own."""
    why = _why_none()
    if why is not None:
        pytest.skip(why)


def _why_none() -> str | None:
    if os.geteuid() != 0:
        return "engines in network namespaces need root"
    missing = [name for name in ("dockerd", "ip", "nsenter") if shutil.which(name) is None]
    return f"{', '.join(missing)} not found" if missing else None


@dataclass
class OwnEngine:
    """An engine with the test image."""

    folder: Path
    address: str
    image: str = ""

    @property
    def hosts_entry(self) -> str:
        """What a hosts file says of it, but for its name."""
        pem = self.folder / "pem"
        tls = f"{{ca: {pem}/ca.pem, cert: {pem}/client.pem, key: {pem}/client.key}}"
        return f"kind: docker, address: 'tcp://{self.address}:{PORT}', publish: true, tls: {tls}"

    def engine(self) -> Engine:
        """As another machine reaches it."""
        pem = self.folder / "pem"
        tls = Tls(f"{pem}/ca.pem", f"{pem}/client.pem", f"{pem}/client.key")
        return Engine(f"tcp://{self.address}:{PORT}", tls)

    def client(self) -> docker.APIClient:
        """A client of its socket."""
        return docker.APIClient(base_url=f"unix://{self.folder}/sock", timeout=10)

    def kill(self) -> None:
        """End it as a crash would, with all that it runs."""
        deadline_s = time.monotonic() + END_S
        while found := _of_folder(self.folder):
            assert time.monotonic() < deadline_s, found
            for process in found:
                with contextlib.suppress(psutil.Error):
                    process.send_signal(signal.SIGKILL)
            time.sleep(0.05)


@contextmanager
def own_engine() -> Iterator[OwnEngine]:
    """An engine that ends, with all it has, when the context is left."""
    number = next(NUMBERS)
    name = f"rs{os.getpid()}-{number}"
    inside = f"10.213.{os.getpid() % 256}.{4 * number + 2}"
    # Not in pytest's folder: a socket's path is short.
    folder = Path(tempfile.mkdtemp(prefix="rs-engine-"))
    engine = OwnEngine(folder, inside)
    try:
        _run("ip", "netns", "add", name)
        _run("ip", "link", "add", f"v{name}"[:15], "type", "veth", "peer", "name", "eth0",
             "netns", name)  # fmt: skip
        outside = f"10.213.{os.getpid() % 256}.{4 * number + 1}/30"
        _run("ip", "address", "add", outside, "dev", f"v{name}"[:15])
        _run("ip", "link", "set", f"v{name}"[:15], "up")
        for words in (
            f"address add {inside}/30 dev eth0",
            "link set eth0 up",
            "link set lo up",
        ):
            _run("ip", "-n", name, *words.split())
        (folder / "pem").mkdir()
        make_certificates(folder / "pem", inside)
        with _engine(engine, name):
            yield engine
    finally:
        subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _engine(engine: OwnEngine, namespace: str) -> Iterator[None]:
    folder, pem = engine.folder, engine.folder / "pem"
    command = ["nsenter", f"--net=/run/netns/{namespace}", "dockerd",
               "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec",
               "--pidfile", f"{folder}/pid", "-H", f"unix://{folder}/sock",
               "-H", f"tcp://{engine.address}:{PORT}", "--tlsverify",
               "--tlscacert", f"{pem}/ca.pem", "--tlscert", f"{pem}/server.pem",
               "--tlskey", f"{pem}/server.key", "--bridge", "none", "--iptables=false",
               "--cgroup-parent", f"/{namespace}"]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
            env={"PATH": os.environ["PATH"]},
        )
    try:
        _await(engine, process)
        with contextlib.closing(engine.client()) as client:
            engine.image = make_image(client)
        yield
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_S)
        engine.kill()
        process.wait(END_S)
        for mount in reversed(psutil.disk_partitions(all=True)):
            if mount.mountpoint.startswith(f"{folder}/"):
                subprocess.run(["umount", "-l", mount.mountpoint], check=False)
        for group in Path("/sys/fs/cgroup").glob(f"**/{namespace}"):
            for inner in sorted(group.glob("**/"), reverse=True):  # the innermost first
                with contextlib.suppress(OSError):
                    inner.rmdir()


def _await(engine: OwnEngine, process: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + READY_S
    while True:
        # By hand: the SDK leaves a socket open that fails.
        with socket.socket(socket.AF_UNIX) as sock, contextlib.suppress(OSError):
            sock.connect(f"{engine.folder}/sock")
            return
        said = (engine.folder / "log").read_text("utf-8", "replace")[-2000:]
        assert process.poll() is None, said
        assert time.monotonic() < deadline_s, said
        time.sleep(0.2)


def _of_folder(folder: Path) -> list[psutil.Process]:
    """The engine's processes, and those of its containers."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if any(str(folder) in word for word in words):
            with contextlib.suppress(psutil.Error):
                found += [process, *process.children(recursive=True)]
    return [process for process in found if process.pid != os.getpid()]


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
