"""Asking the engines of a hosts file what they have; nothing is started or pulled."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rightsizer.addresses import DEFAULT_ADDRESS, address_problem
from rightsizer.containers import EngineFacts, ImageFacts
from rightsizer.hosts.docker.engine import Engine, EngineGone, Missing, Refused, tls_of
from rightsizer.hosts.docker.transfer import content_of
from rightsizer.inventory import HostSpec, TlsFiles


def resolved(host: HostSpec, base_dir: Path) -> HostSpec:
    """A Docker host with its address, and paths that lead there from anywhere.

    Without an address it is DOCKER_HOST's, as for Docker's own tools, or the usual socket.
    """
    address = host.address or os.environ.get("DOCKER_HOST") or DEFAULT_ADDRESS
    files = host.tls
    tls = files and TlsFiles(
        ca=str(base_dir / files.ca), cert=str(base_dir / files.cert), key=str(base_dir / files.key)
    )
    return host.model_copy(update={"address": address, "tls": tls})


def survey(host: HostSpec, images: Sequence[str]) -> EngineFacts:
    """What the engine of a resolved host is, and which of the images it has."""
    assert host.address is not None
    wrong = address_problem(host.address, host.tls is not None)
    if wrong is not None:  # a hosts file's address was looked at before: this is the environment's
        return EngineFacts(host.address, fault=f"DOCKER_HOST {host.address}: {wrong[1]}")
    try:
        with Engine(host.address, tls_of(host)) as engine:
            info = engine.info()
            return EngineFacts(
                address=host.address,
                cpu_count=int(info["NCPU"]),
                memory_bytes=int(info["MemTotal"]),
                architecture=str(info["Architecture"]),
                images={name: facts for name in images if (facts := _image(engine, name))},
            )
    except (EngineGone, Refused) as error:
        todo = "start Docker there, or mend the address in the hosts file"
        return EngineFacts(host.address, fault=f"host {host.name}: {error}; {todo}")


def _image(engine: Engine, name: str) -> ImageFacts | None:
    try:
        found = engine.image(name)
    except Missing:
        return None
    config: dict[str, Any] = found.get("Config") or {}
    exposed: dict[str, Any] = config.get("ExposedPorts") or {}
    ports = sorted(int(port.partition("/")[0]) for port in exposed if not port.endswith("/udp"))
    return ImageFacts(
        id=str(found["Id"]),
        architecture=str(found["Architecture"]),
        ports=tuple(ports),
        has_command=bool(config.get("Cmd") or config.get("Entrypoint")),
        content=content_of(found),
    )
