"""A model on a far host: its engine cannot see this machine's folders."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

from rightsizer.containers import MODEL_DIR
from rightsizer.hosts.docker.engine import Engine
from rightsizer.hosts.docker.request import volume_mount


def volume_with(
    engine: Engine, model_dir: Path, name: str, image_id: str, labels: Mapping[str, str]
) -> str:
    """A new volume that holds a copy of the folder; its name.

    It is written through a container that never runs.
    """
    engine.create_volume(name, labels)
    config = {
        "Image": image_id,
        "Cmd": ["never run"],
        "Labels": dict(labels),
        "HostConfig": {"Mounts": [volume_mount(name, labels)]},
    }
    carrier = engine.create(f"{name}-model", config)
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w") as archive:
            archive.add(model_dir, ".")
        file.seek(0)
        engine.copy_in(carrier, MODEL_DIR, file)
    engine.remove("container", carrier)
    return name
