"""What tests of real containers share: a launch of the small server in one, and what is left."""

from __future__ import annotations

from pathlib import Path

import docker
from rightsizer.containers import Container
from rightsizer.hosts.base import Launch
from rightsizer.hosts.docker.host import DockerHost
from rightsizer.hosts.docker.ownership import RUN
from rightsizer.inventory import HostSpec
from rightsizer.machines import Placement
from rightsizer.spec import ContainerSpec

from tests.hosts.images import address
from tests.hosts.processes import GENERATOR_CPU, SERVER_CPU, launch_of

MEMORY_BYTES = 128 << 20


def docker_host(**keys: object) -> DockerHost:
    """The host of this machine's engine."""
    return DockerHost(HostSpec(name="rack", kind="docker", address=address(), **keys))


def container_launch(
    folder: Path, image_id: str, *words: str, settings: dict[str, object] | None = None, **changes
) -> Launch:
    """A launch of /ready.py in a container, with these words."""
    command = changes.pop("command", ("python3", "-u", "/ready.py", "8080", *words))
    container = Container("python", image_id, command, 8080, ContainerSpec(**(settings or {})))
    given = {
        "command": None,
        "environment": {"PIDS": "/tmp/pids", "LISTEN": "0.0.0.0"},
        "container": container,
        "placement": Placement((SERVER_CPU,), (GENERATOR_CPU,), "native", MEMORY_BYTES),
        "job_id": f"job-{folder.name}",
    }
    return launch_of(folder, **{**given, **changes})


def nobodys(client: docker.APIClient) -> list[str]:
    """Volumes of ours by their names, without the labels by which they would be swept."""
    volumes = client.volumes()["Volumes"] or []
    ours = [found for found in volumes if found["Name"].startswith("rightsizer-")]
    return [found["Name"] for found in ours if RUN not in (found["Labels"] or {})]


def left(client: docker.APIClient, job: str) -> list[str]:
    """Containers, networks and volumes of a job."""
    filters = {"label": [f"rightsizer.job={job}"]}
    return [
        *(found["Names"][0] for found in client.containers(all=True, filters=filters)),
        *(found["Name"] for found in client.networks(filters=filters)),
        *(found["Name"] for found in client.volumes(filters=filters)["Volumes"] or []),
    ]
