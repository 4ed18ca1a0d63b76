"""Images made on the spot, without a registry: this machine's own Python and shell."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import os
import re
import socket
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from pathlib import Path

import docker
import pytest

REPOSITORY = "rightsizer-test/python"
SERVER = Path(__file__).parent / "servers" / "ready.py"
SERVE = b"#!/bin/sh\nexec /usr/bin/python3 -u /ready.py 8080\n"
LEFT_OUT = {
    "test", "idlelib", "tkinter", "turtledemo", "lib2to3", "ensurepip", "site-packages",
    "__pycache__", "config-3", "distutils", "pydoc_data",
}  # fmt: skip


def address() -> str:
    """Of the engine that tests use."""
    return os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"


@functools.cache
def why_no_engine() -> str | None:
    """What keeps tests from a Docker engine on this machine, None where one answers."""
    if not address().startswith("unix:"):
        return f"{address()} is no engine of this machine"
    with socket.socket(socket.AF_UNIX) as sock:  # the SDK leaves one open that fails
        try:
            sock.connect(address().removeprefix("unix://"))
        except OSError as error:
            return f"no Docker engine answers at {address()}: {error.strerror}"
    return None


def require_engine() -> None:
    """Skip the test where no engine answers; `tests/required.py` fails it where one must."""
    why = why_no_engine()
    if why is not None:
        pytest.skip(why)


def make_image(client: docker.APIClient) -> str:
    """An image with this Python and the small server at /ready.py; its name. Takes a second.

    `IMAGE serve` starts that server on 8080, as SageMaker starts a model's.
    """
    recipe = sys.version.encode() + SERVER.read_bytes() + Path(__file__).read_bytes()
    tag = hashlib.sha256(recipe).hexdigest()[:12]
    name = f"{REPOSITORY}:{tag}"
    with contextlib.suppress(docker.errors.ImageNotFound):
        client.inspect_image(name)
        return name
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w") as archive:
            _add_python(archive)
            archive.add(SERVER, "ready.py")
            _add_program(archive, "usr/bin/serve", SERVE)
            for folder in ("tmp", "run", "proc", "sys", "dev", "etc", "opt/ml/model"):
                _add_folder(archive, folder)
        file.seek(0)
        client.import_image_from_data(file.read(), repository=REPOSITORY, tag=tag)
    return name


def load_foreign_image(client: docker.APIClient, name: str) -> None:
    """An empty image that says it is for a processor that this machine has not."""
    with io.BytesIO() as layer:
        tarfile.open(fileobj=layer, mode="w").close()
        content = layer.getvalue()
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    config = {
        "architecture": "s390x",
        "os": "linux",
        "config": {"Cmd": ["/x"], "ExposedPorts": {"80/tcp": {}}},
        "rootfs": {"type": "layers", "diff_ids": [digest]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    with io.BytesIO() as file:
        with tarfile.open(fileobj=file, mode="w") as archive:
            for path, data in (
                ("layer.tar", content),
                ("config.json", json.dumps(config).encode()),
                ("manifest.json", json.dumps(manifest).encode()),
            ):
                info = tarfile.TarInfo(path)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        list(client.load_image(file.getvalue()))


def _add_folder(archive: tarfile.TarFile, name: str) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, 0o755
    archive.addfile(info)


def _add_program(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o755
    archive.addfile(info, io.BytesIO(content))


def _add_python(archive: tarfile.TarFile) -> None:
    """The interpreter at its own path, its library, a shell, and what they are linked with."""
    program, shell = Path(os.path.realpath(sys.executable)), Path(os.path.realpath("/bin/sh"))
    library = Path(sysconfig.get_path("stdlib"))
    extensions = list((library / "lib-dynload").glob("*.so"))
    archive.add(program)
    archive.add(shell, arcname="bin/sh")
    for path in _linked_with([program, shell, *extensions]):
        archive.add(os.path.realpath(path), arcname=path)
    archive.add(library, filter=_kept)
    link = tarfile.TarInfo("usr/bin/python3")
    link.type, link.linkname = tarfile.SYMTYPE, str(program)
    archive.addfile(link)


def _kept(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    name = info.name.rpartition("/")[2]
    return None if any(name.startswith(left) for left in LEFT_OUT) else info


def _linked_with(programs: list[Path]) -> set[str]:
    said = subprocess.run(
        ["ldd", *map(str, programs)], capture_output=True, text=True, check=False
    ).stdout
    return set(re.findall(r"(?:=> |^\t)(/\S+) \(0x", said, re.MULTILINE))
