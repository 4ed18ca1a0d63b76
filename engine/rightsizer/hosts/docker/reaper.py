"""Removes what an engine that died left in a Docker engine; started by its guardian.

python -P -m rightsizer.hosts.docker.reaper ADDRESS RUN [CA CERT KEY]
"""

from __future__ import annotations

import sys
import time

from rightsizer.hosts.docker.engine import Engine, EngineGone, Refused
from rightsizer.hosts.docker.sweep import remove_run
from rightsizer.hosts.trust import Tls

PATIENCE_S = 7.0
"""With an engine that does not answer, or has no more; one that is busy removing gets it anew."""
AGAIN_S = 0.3
QUIET_LOOKS = 7
"""A request that was under way when its sender died may still make something."""


def reaper_command(address: str, run: str, tls: Tls | None) -> list[str]:
    """What removes everything of one server start."""
    files = [] if tls is None else [tls.ca or "", tls.cert or "", tls.key or ""]
    # -P: a module of the user's working folder must not stand in for one of the library's.
    return [sys.executable, "-P", "-m", "rightsizer.hosts.docker.reaper", address, run, *files]


def reap(address: str, run: str, tls: Tls | None) -> None:
    """Remove, and look again, until nothing comes any more or the patience is at its end."""
    deadline_s = time.monotonic() + PATIENCE_S
    quiet = 0
    while quiet < QUIET_LOOKS and time.monotonic() < deadline_s:
        try:
            with Engine(address, tls) as engine:
                found = remove_run(engine, run)
            quiet = 0 if found else quiet + 1
            if found:
                deadline_s = time.monotonic() + PATIENCE_S
        except (EngineGone, Refused):
            quiet = 0
        time.sleep(AGAIN_S)


if __name__ == "__main__":
    reap(sys.argv[1], sys.argv[2], Tls(*sys.argv[3:]) if sys.argv[3:] else None)
