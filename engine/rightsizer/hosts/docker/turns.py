"""One trial at a time on a far engine, whoever's it is: a container that only bears a name.

Names are unique there, and making one is atomic. It never runs. Its labels are those of the
trial, so that whatever removes the trial's own container removes it as well.
"""

from __future__ import annotations

from collections.abc import Mapping

from rightsizer.hosts.docker.engine import Engine, Missing, Refused
from rightsizer.hosts.docker.ownership import PREFIX

NAME = "rightsizer-lease"


class Busy(Exception):
    """Another engine's trial runs there; one line."""


def take_turn(engine: Engine, labels: Mapping[str, str], image_id: str) -> None:
    """Lease the machine.

    Raises:
        Busy: it is leased.
        Refused: the engine does not make such a container, for another reason.
    """
    request = {
        "Image": image_id,
        "Cmd": [NAME],
        "Labels": dict(labels),
        "HostConfig": {"NetworkMode": "none"},
    }
    for last in (False, True):
        try:
            engine.create(NAME, request)
            return
        except Refused:
            holder = leased_to(engine)
            if holder is not None:
                raise Busy(holder) from None
            if last:  # once, whoever had it may just have given it back
                raise


def leased_to(engine: Engine) -> str | None:
    """Whose trial runs there; None: nobody's."""
    try:
        labels = engine.inspect(NAME)["Config"]["Labels"] or {}
    except Missing:
        return None
    job, trial = (labels.get(f"{PREFIX}{key}", "unknown") for key in ("job", "trial"))
    return f"it is leased to trial {trial} of job {job}"
