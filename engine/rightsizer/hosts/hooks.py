"""The commands around a trial of a server that already runs."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from rightsizer.errors import Reason, TrialEnded, TrialFailed
from rightsizer.hosts.base import Launch
from rightsizer.hosts.logs import tail
from rightsizer.hosts.owner import GuardedOwner, SpawnRefused

POLL_S = 0.05
END_GRACE_S = 1.0
LOG_LINES = 20


@contextmanager
def hooks(
    owner: GuardedOwner,
    launch: Launch,
    environment: Mapping[str, str],
    tick: Callable[[], None],
) -> Iterator[None]:
    """Run `launch.before`, and `launch.after` however the trial ends.

    What they leave running ends with the trial.

    Raises:
        TrialFailed: one cannot start, fails, or takes longer than a server may to get ready.
    """
    _run(owner, launch, environment, "before_trial", launch.before, tick)
    try:
        yield
    except BaseException:
        with contextlib.suppress(TrialEnded):  # how the trial ended matters more
            _run(owner, launch, environment, "after_trial", launch.after, lambda: None)
        raise
    _run(owner, launch, environment, "after_trial", launch.after, lambda: None)


def _run(
    owner: GuardedOwner,
    launch: Launch,
    environment: Mapping[str, str],
    name: str,
    command: Sequence[str] | None,
    tick: Callable[[], None],
) -> None:
    if not command:
        return
    log = launch.trial_dir / f"{name}.log"
    # The guardian keeps to the generator's; a command of the user's need not.
    cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    try:
        owner.spawn(
            name,
            command,
            environment=environment,
            working_dir=launch.working_dir,
            cpus=cpus,
            log=log,
        )
    except SpawnRefused as error:
        detail = f"hooks.{name}: cannot start {command[0]!r}: {error}"
        raise TrialFailed(Reason.HOOK_FAILED, detail) from None
    deadline_s = time.monotonic() + launch.ready_timeout_s
    try:
        while (ended := owner.exited(name)) is None:
            tick()
            if time.monotonic() > deadline_s:
                ended = f"not done within {launch.ready_timeout_s:g} s"
                break
            time.sleep(POLL_S)
    finally:
        owner.end(name, END_GRACE_S)
    if ended != "exit code 0":
        detail = f"hooks.{name}: {ended}"
        raise TrialFailed(Reason.HOOK_FAILED, detail, tail(log, LOG_LINES))
