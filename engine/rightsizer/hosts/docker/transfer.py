"""Images from one engine to another without a registry, and whether two are the same."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from rightsizer.hosts.docker.engine import Engine, Missing, Refused

RUNS = ("Cmd", "Entrypoint", "Env", "ExposedPorts", "User", "WorkingDir")
"""Of an image's configuration, what a container of it depends on."""


def content_of(image: dict[str, Any]) -> str:
    """A digest of an image's files and of what it runs, as hex, from its inspection.

    Ids do not tell: engines with another image store give the same image another one.
    """
    config = image.get("Config") or {}
    layers = (image.get("RootFS") or {}).get("Layers") or []
    said = [layers, {key: config.get(key) or None for key in RUNS}]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def copy_image(name: str, source: Engine, target: Engine) -> bool:
    """Have the source's image on the target under the same name; False where it was there.

    Raises:
        Missing: the source has none of this name.
        Refused: an engine said no, or what arrived is not what was sent.
        EngineGone: one does not answer.
    """
    wanted = content_of(source.image(name))
    if _content_at(target, name) == wanted:
        return False
    target.load(source.save(name))
    if _content_at(target, name) != wanted:
        raise Refused(f"image {name} arrived at {target.address} with other content; copy it again")
    return True


def _content_at(engine: Engine, name: str) -> str | None:
    try:
        return content_of(engine.image(name))
    except Missing:
        return None
