"""A launch as the Docker API's own create request: what a container gets, and what it must not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rightsizer.accelerators import Accelerator, cores
from rightsizer.containers import MODEL_DIR, Container
from rightsizer.machines import Placement, format_cpus
from rightsizer.units import BYTES_PER_MIB

PIDS, PIDS_PER_VCPU = 1024, 256
LOG_FILES, LOG_FILE_SIZE = "2", "1m"
NO_NAME_SERVER = "127.0.0.1"
"""An internal network's names are still looked up outside by some engines, unless the container
has a server of its own."""


def create_request(
    container: Container,
    placement: Placement,
    environment: Mapping[str, str],
    labels: Mapping[str, str],
    *,
    network: str,
    model: str | None,
    publish_on: str | None,
) -> dict[str, Any]:
    """The body of POST /containers/create.

    Args:
        container: image, command, port and what is relaxed.
        placement: CPUs and memory; both are hard limits, and there is no swap.
        environment: the server's own variables; the image's are added by the engine.
        labels: whose it is.
        network: the name of its only network.
        model: a folder of the engine's machine, or a volume's name; mounted read-only.
        publish_on: the address on the engine's machine where its port appears; None: nowhere.
    """
    return {
        "Image": container.image_id,
        "Cmd": None if container.command is None else list(container.command),
        "Env": [
            f"{name}={value}"
            for name, value in {**cores(placement.accelerators), **environment}.items()
        ],
        "User": container.settings.user or "",
        "Labels": dict(labels),
        "ExposedPorts": {f"{container.port}/tcp": {}},
        "Healthcheck": {"Test": ["NONE"]},  # ours is the protocol's; its would cost CPU
        "HostConfig": {
            **_limits(container, placement),
            **_devices(placement.accelerators),
            **_privileges(container),
            **_network(container, network, publish_on),
            "Mounts": [] if model is None else [_mount(model, labels)],
            "LogConfig": {
                "Type": "json-file",
                "Config": {"max-size": LOG_FILE_SIZE, "max-file": LOG_FILES},
            },
            "Init": True,
            "RestartPolicy": {"Name": "no"},
            "AutoRemove": False,  # its last words would go with it
        },
    }


def _network(container: Container, network: str, publish_on: str | None) -> dict[str, Any]:
    place = [{"HostIp": publish_on, "HostPort": ""}]
    return {
        "NetworkMode": network,
        "Dns": [NO_NAME_SERVER] if container.settings.network == "internal" else [],
        "PortBindings": {} if publish_on is None else {f"{container.port}/tcp": place},
    }


def _limits(container: Container, placement: Placement) -> dict[str, Any]:
    settings, memory_bytes = container.settings, placement.memory_bytes
    shm_bytes = memory_bytes // 2 if settings.shm_mib is None else settings.shm_mib * BYTES_PER_MIB
    return {
        # A set, not a quota: servers size their thread pools by the CPUs they may use.
        "CpusetCpus": format_cpus(placement.server_cpus),
        "CpusetMems": "" if placement.memory_node is None else str(placement.memory_node),
        "Memory": memory_bytes,
        "MemorySwap": memory_bytes,
        "ShmSize": shm_bytes,
        "PidsLimit": settings.pids or PIDS + PIDS_PER_VCPU * len(placement.server_cpus),
        "Ulimits": [
            {"Name": "nofile", "Soft": settings.open_files, "Hard": settings.open_files},
            {"Name": "core", "Soft": 0, "Hard": 0},
        ],
    }


def _devices(accelerators: Sequence[Accelerator]) -> dict[str, Any]:
    """GPUs by UUID, for indices differ from tool to tool; chips by their device nodes."""
    gpus = [found.id for found in accelerators if found.maker == "nvidia"]
    asked = {"Driver": "nvidia", "Count": 0, "DeviceIDs": gpus, "Capabilities": [["gpu"]]}
    return {
        "DeviceRequests": [asked] if gpus else [],
        "Devices": [
            # Made nowhere: without the right to make device nodes it needs no "m".
            {"PathOnHost": found.id, "PathInContainer": found.id, "CgroupPermissions": "rw"}
            for found in accelerators
            if found.maker == "neuron"
        ],
    }


def _privileges(container: Container) -> dict[str, Any]:
    settings = container.settings
    options = f"rw,nosuid,nodev,size={settings.tmp_mib}m,mode=1777"
    return {
        "Privileged": False,
        "CapDrop": ["ALL"],
        "CapAdd": list(settings.capabilities),
        "SecurityOpt": [] if settings.new_privileges else ["no-new-privileges"],
        "ReadonlyRootfs": not settings.writable_root,
        "Tmpfs": {folder: options for folder in ("/tmp", "/run", *settings.writable)},
    }


def _mount(model: str, labels: Mapping[str, str]) -> dict[str, Any]:
    if Path(model).is_absolute():
        return {"Type": "bind", "Source": model, "Target": MODEL_DIR, "ReadOnly": True}
    return {**volume_mount(model, labels), "ReadOnly": True}


def volume_mount(name: str, labels: Mapping[str, str]) -> dict[str, Any]:
    """A volume where the model lies.

    A request that is carried out late makes the volume anew where it has been removed: without
    labels nothing would ever sweep it.
    """
    options = {"Labels": dict(labels)}
    return {"Type": "volume", "Source": name, "Target": MODEL_DIR, "VolumeOptions": options}
