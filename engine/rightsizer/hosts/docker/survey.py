"""Asking the engines of a hosts file what they have; nothing is started or pulled."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rightsizer.addresses import DEFAULT_ADDRESS, address_problem, host_name, is_far
from rightsizer.containers import KNOBS_LABEL, EngineFacts, ImageFacts
from rightsizer.hosts.docker.access import access_problem
from rightsizer.hosts.docker.engine import Engine, EngineGone, Missing, Refused, tls_of
from rightsizer.hosts.docker.transfer import content_of
from rightsizer.inventory import HostSpec, TlsFiles

TRIES = 3
CONNECT_S = 5.0
SSH_PORT = 22
NVIDIA_RUNTIME = "nvidia"


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
    tls = tls_of(host)
    unreachable = access_problem(host.address, tls)
    if unreachable is not None:
        return EngineFacts(host.address, fault=f"host {host.name}: {unreachable}")
    try:
        with Engine(host.address, tls) as engine:
            found = {name: facts for name in images if (facts := _image(engine, name))}
            return replace(_engine(engine), images=found)
    except (EngineGone, Refused) as error:
        todo = "start Docker there, or mend the address in the hosts file"
        return EngineFacts(host.address, fault=f"host {host.name}: {error}; {todo}")


def _engine(engine: Engine) -> EngineFacts:
    begin_s = time.time()
    info = engine.info()
    end_s = time.time()
    told = info.get("SystemTime")
    told_s = datetime.fromisoformat(told).timestamp() if told else None
    return EngineFacts(
        address=engine.address,
        cpu_count=int(info["NCPU"]),
        memory_bytes=int(info["MemTotal"]),
        architecture=str(info["Architecture"]),
        version=str(info.get("ServerVersion", "")),
        system=f"{info.get('OperatingSystem', '?')}, cgroup v{info.get('CgroupVersion', '1')}",
        gives_gpus=NVIDIA_RUNTIME in (info.get("Runtimes") or {}),
        round_trip_s=network_round_trip_s(engine.address) or _shortest_s(engine.ping),
        clock_offset_s=None if told_s is None else told_s - (begin_s + end_s) / 2,
        clock_error_s=(end_s - begin_s) / 2,
    )


def network_round_trip_s(address: str) -> float | None:
    """To a far engine's machine and back; None where that is not known.

    A connection that is made takes one. A call over ssh takes a login, too.
    """
    if not is_far(address):
        return None
    parts = urlsplit(address)
    place = (host_name(address), parts.port or SSH_PORT)

    def connect() -> None:
        socket.create_connection(place, CONNECT_S).close()

    try:
        return _shortest_s(connect)
    except OSError:  # only ssh knows the way there
        return None


def _shortest_s(call: Callable[[], None]) -> float:
    took_s = []
    for _ in range(TRIES):
        begin_s = time.monotonic()
        call()
        took_s.append(time.monotonic() - begin_s)
    return min(took_s)


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
        knobs=str((config.get("Labels") or {}).get(KNOBS_LABEL, "")),
    )
