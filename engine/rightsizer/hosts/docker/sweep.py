"""Removing what is ours: of one server start, and of owners that died."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from rightsizer.hosts.docker.access import access_problem
from rightsizer.hosts.docker.engine import Engine, EngineGone, Refused, tls_of
from rightsizer.hosts.docker.ownership import RUN, Starts, is_left_behind, this_process
from rightsizer.inventory import HostSpec

KINDS = ("container", "network", "volume")
"""In the order in which they can go: a container holds its network and its volumes."""


def remove_run(engine: Engine, run: str) -> int:
    """Remove everything of one server start; how much there was, removed or not.

    Raises:
        EngineGone, Refused: it does not answer, or does not say what there is.
    """
    return len(_remove(engine, f"{RUN}={run}", lambda labels: True))


def sweep(engine: Engine) -> list[str]:
    """Remove what dead owners left behind; says what, one line each.

    Raises:
        EngineGone, Refused: it does not answer, or does not say what there is.
    """
    here, starts, now_s = this_process(), Starts(), time.time()
    return _remove(engine, RUN, lambda labels: is_left_behind(labels, here, now_s, starts))


def sweep_host(host: HostSpec) -> list[str]:
    """`sweep` of a resolved host's engine; one that does not answer is told as one line, too."""
    assert host.address is not None
    tls = tls_of(host)
    if wrong := access_problem(host.address, tls):
        return [f"{host.name}: not swept: {wrong}"]
    try:
        with Engine(host.address, tls) as engine:
            return [f"{host.name}: {line}" for line in sweep(engine)]
    except (EngineGone, Refused) as error:
        return [f"{host.name}: not swept: {error}"]


def _remove(engine: Engine, label: str, ours: Callable[[Mapping[str, str]], bool]) -> list[str]:
    done = []
    found = engine.labelled(label)
    for kind in KINDS:
        for name, labels in found[kind].items():
            if not ours(labels):
                continue
            try:
                engine.remove(kind, name)
                done.append(f"removed {kind} {labels.get(RUN, name)}")
            except Refused as error:  # it is being removed, or is still in use for a moment
                done.append(f"could not remove {kind} {labels.get(RUN, name)}: {error}")
    return done
