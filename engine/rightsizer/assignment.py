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

    A host runs one trial at a time, and a CPU or an accelerator of this machine serves one: of two
    hosts that share CPUs here, such as those of their generators, one waits for the other.

    Args:
        waiting: trials in the order in which they are to start.
        running: those that run, each as it was started.
        lost: names of hosts that do not answer.
    """
    names = {trial.host.name for trial in running} | set(lost)
    taken = frozenset[int | str]().union(*map(_of_this_machine, running))
    for trial in waiting:
        for option in trial.options:
            if option.host.name not in names and taken.isdisjoint(_of_this_machine(option)):
                return option
    return None


def _of_this_machine(trial: PlannedTrial) -> frozenset[int | str]:
    return frozenset[int | str](trial.placement.cpus) | trial.placement.own_accelerators
