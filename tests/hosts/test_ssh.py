"""Engines behind a real sshd of this machine, where it has one."""

from __future__ import annotations

import contextlib
import gc
import getpass
import os
import shutil
import socket
import subprocess
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import docker
import httpx
import pytest
from rightsizer.hosts.docker.host import DockerHost
from rightsizer.hosts.docker.survey import survey
from rightsizer.inventory import HostSpec

from tests.hosts.containers import container_launch, left
from tests.hosts.images import address, make_image, require_engine
from tests.hosts.processes import eventually
from tests.hosts.tools import put_program

pytestmark = [
    # Not `docker`: a machine that must have an engine need not have an sshd.
    pytest.mark.server,
    # The SDK leaves its ssh processes to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
SEPARATION = Path("/run/sshd")
"""An sshd of root wants this folder."""


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """Port of an sshd that leads to the tests' engine, and the folder of its keys."""
    require_engine()
    pytest.importorskip("paramiko", reason="the SDK wants it for ssh:// addresses")
    if SSHD is None:
        pytest.skip("there is no sshd here")
    folder = tmp_path_factory.mktemp("sshd")
    for name in ("host", "user"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(command, check=True)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number = int(listener.getsockname()[1])
    settings = {
        "Port": number,
        "ListenAddress": "127.0.0.1",
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "user.pub",
        "PidFile": "none",
        "StrictModes": "no",
        "PasswordAuthentication": "no",
        "SetEnv": f"DOCKER_HOST={address()}",
    }
    (folder / "settings").write_text("".join(f"{key} {of}\n" for key, of in settings.items()))
    makes = os.getuid() == 0 and not SEPARATION.exists()
    if makes:
        SEPARATION.mkdir(mode=0o755)
    try:
        with (folder / "log").open("w") as log, _sshd(folder / "settings", log) as process:
            assert eventually(lambda: _listens(number) or process.poll() is not None)
            assert process.poll() is None, (folder / "log").read_text()
            yield number, folder
    finally:
        if makes:
            SEPARATION.rmdir()


@contextlib.contextmanager
def _sshd(settings: Path, log: IO[str]) -> Iterator[subprocess.Popen[bytes]]:
    assert SSHD is not None
    with subprocess.Popen([SSHD, "-D", "-e", "-f", str(settings)], stderr=log) as process:
        try:
            yield process
        finally:
            process.terminate()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False


@pytest.fixture
def login(sshd, tmp_path, monkeypatch) -> Iterator[Callable[..., HostSpec]]:
    """The host, and an ssh of files of its own: the user's stay as they are."""
    port, folder = sshd

    def make(*, known: bool, key: bool) -> HostSpec:
        host_key = (folder / "host.pub").read_text().split()[:2]
        line = f"[127.0.0.1]:{port} {' '.join(host_key)}\n"
        (tmp_path / "known").write_text(line if known else "")
        (tmp_path / "config").write_text(
            f"UserKnownHostsFile {tmp_path}/known\nIdentitiesOnly yes\n"
            f"IdentityFile {folder / ('user' if key else 'none')}\n"
        )
        ssh = shutil.which("ssh")
        put_program(tmp_path, monkeypatch, "ssh", f'exec {ssh} -F {tmp_path}/config "$@"')
        where = f"ssh://{getpass.getuser()}@127.0.0.1:{port}"
        return HostSpec(name="far", kind="docker", address=where, publish=True)

    yield make
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def test_a_host_that_is_not_in_known_hosts_is_told_with_what_to_do(login):
    fault = survey(login(known=False, key=True), []).fault
    assert fault.startswith(
        "host far: 127.0.0.1 is not in known_hosts, or has another key; `ssh -l"
    )
    assert "\n" not in fault


def test_a_host_that_lets_nobody_in_is_told(login):
    fault = survey(login(known=True, key=False), []).fault
    assert "Permission denied" in fault
    assert fault.endswith("must work without a question")
    assert "\n" not in fault


def test_a_server_runs_on_the_engine_behind_it(login, tmp_path):
    host = login(known=True, key=True)
    with contextlib.closing(docker.APIClient(base_url=address())) as client:
        image = make_image(client)
        facts = survey(host, [image])
        assert facts.fault == ""
        assert facts.version == client.info()["ServerVersion"]
        launch = container_launch(tmp_path, facts.images[image].id)
        with DockerHost(host).start(launch) as server:
            assert httpx.get(server.endpoint.url + "/ping", trust_env=False).status_code == 200
        assert left(client, launch.job_id) == []
