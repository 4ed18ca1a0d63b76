"""Which trial starts next, and on which host. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rightsizer.plan import PlannedTrial


def next_start(
    waiting: Sequence[PlannedTrial],
    running: Collection[PlannedTrial],
    lost: Collection[str] = (),
) -> PlannedTrial | None:
    """The first trial that a host is free for, as it would run there; None: all must wait.

    A host runs one trial at a time, and a CPU or accelerator of this machine serves one: of two
    hosts that share some here, such as the CPUs of their generators, one waits for the other.

    Args:
        waiting: trials in the order in which they are to start.
        running: those that run, each as it was started.
        lost: names of hosts that do not answer.
    """
    names = {trial.host.name for trial in running} | set(lost)
    cpus = frozenset().union(*(trial.placement.cpus for trial in running))
    accelerators = frozenset().union(*(trial.placement.own_accelerators for trial in running))
    for trial in waiting:
        for option in trial.options:
            placement = option.placement
            free = cpus.isdisjoint(placement.cpus)
            free = free and accelerators.isdisjoint(placement.own_accelerators)
            if free and option.host.name not in names:
                return option
    return None
