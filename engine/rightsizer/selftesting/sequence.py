"""The self-test: every check in turn, judged, and what follows for this machine's numbers."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rightsizer import events
from rightsizer.calibration.claims import claims
from rightsizer.calibration.figures import Figures, Noise
from rightsizer.calibration.judging import Check, judged, not_run
from rightsizer.catalog import load_catalog
from rightsizer.errors import EnvironmentFault, StoreError, TrialEnded, TrialStopped
from rightsizer.hosts.affinity import kept_to
from rightsizer.hosts.lease import lease, leased_cpus
from rightsizer.hosts.probe import this_machine
from rightsizer.hosts.process import ProcessHost
from rightsizer.inventory import THIS_MACHINE
from rightsizer.machines import Machine, Placement
from rightsizer.measurement import Endpoints
from rightsizer.placing import NotRunnable, place
from rightsizer.selftesting import known_checks, null_checks
from rightsizer.selftesting.bench import Bench
from rightsizer.selftesting.extent import FULL, QUICK, Extent
from rightsizer.selftesting.outcome import SelfTest
from rightsizer.stop_switch import StopSwitch
from rightsizer.store import default_store
from rightsizer.traffic.driver import LocustTraffic
from rightsizer.traffic.health import HealthMeter

START_S = 1.2
"""Of a generator, in the expected time; servers take little."""
INSTANCE_TYPE = "local.1cpu"

OnEvent = Callable[[events.SelftestEvent], None]


@dataclass(frozen=True)
class Planned:
    """A group of checks that share a server."""

    names: tuple[str, ...]
    of: str
    expected_s: float
    run: Callable[[Bench, Extent], Sequence[Figures]]


def selftest(
    *,
    quick: bool = False,
    store: str | Path | None = None,
    on_event: OnEvent | None = None,
    switch: StopSwitch | None = None,
    through: Endpoints | None = None,
) -> SelfTest:
    """Measure the instrument on this machine, against servers whose truth is known.

    Takes about 2 minutes, `quick` about 30 s. The generator gets one physical core and the servers
    another, where there are two.

    Args:
        quick: shorter steps, one known maximum instead of two, and no repeat.
        store: samples are kept under `selftests` of this folder; RIGHTSIZER_STORE or the user's
            data folder if None.
        on_event: called with every event while it runs.
        switch: ends it when pressed; the checks that were finished by then are the result.
        through: another host and traffic than the real ones (the fakes, in tests).

    Raises:
        EnvironmentFault: no CPU is free, or the samples' folder cannot be made.
    """
    begin_s = time.monotonic()
    say = on_event or (lambda event: None)
    switch = switch or StopSwitch()
    through = through or Endpoints(ProcessHost(THIS_MACHINE), LocustTraffic())
    machine = this_machine()
    placement = _placement(machine)
    folder = _folder(store)
    extent = QUICK if quick else FULL
    planned = plan(extent)
    bench = Bench(placement, folder, switch, through)
    with lease(sorted(placement.cpus), "selftest"), kept_to(placement.generator_cpus):
        expected_s = sum(group.expected_s for group in planned)
        say(events.SelftestStarted(str(folder), len(planned), expected_s))
        with _watched() as noise:
            found = _run(planned, extent, bench, say)
            if not switch.level():
                found.append(judged(noise(bench)))
    return SelfTest(
        processor=machine.processor,
        placement=placement,
        quick=quick,
        stopped=switch.level() > 0,
        checks=tuple(found),
        claims=claims(found, co_located=placement.co_located),
        samples=str(folder),
        wall_s=time.monotonic() - begin_s,
    )


def plan(extent: Extent) -> list[Planned]:
    """The groups of checks, in their order."""
    null_s = START_S + null_checks.WARMUP_S + extent.ceiling_s
    small_s, large_s = null_s + 3 * extent.floor_s, null_s + 2 * extent.floor_s
    truth_s = START_S + extent.truth_s
    planned = [
        Planned(("ceiling", "floor"), "small bodies", small_s, null_checks.small_bodies),
        Planned(("ceiling", "floor"), "large bodies", large_s, null_checks.large_bodies),
        *(
            Planned(("truth",), law, truth_s, partial(known_checks.truth, law=law))
            for law in extent.laws
        ),
        Planned(("stall",), "a server that pauses", START_S + extent.stall_s, known_checks.stall),
        Planned(
            ("caching",), "one body, many", 4 * (START_S + extent.caching_s), known_checks.caching
        ),
    ]
    if extent.repeat_s is not None:
        repeat_s = 2 * (START_S + extent.repeat_s)
        planned.append(Planned(("repeat",), "two seeds", repeat_s, known_checks.repeat))
    return planned


def _run(planned: Sequence[Planned], extent: Extent, bench: Bench, say: OnEvent) -> list[Check]:
    """Every group's checks; those before the stop, where it was stopped."""
    found: list[Check] = []
    for number, group in enumerate(planned, 1):
        title = f"{' and '.join(group.names)}: {group.of}"
        say(events.ChecksStarted(number, len(planned), title, group.expected_s))
        try:
            done = [judged(figures) for figures in group.run(bench, extent)]
        except TrialStopped:
            break
        except TrialEnded as error:
            done = [not_run(name, group.of, error.detail) for name in group.names]
        for check in done:
            say(events.CheckEnded(check))
        found += done
    return found


def _placement(machine: Machine) -> Placement:
    """The generator's core and one CPU for the servers, apart from those that jobs hold."""
    catalog = load_catalog(machine.size)
    kind = catalog.find(INSTANCE_TYPE)
    assert kind is not None
    try:
        return place(kind, THIS_MACHINE, machine, frozenset(leased_cpus()))
    except NotRunnable as error:
        todo = "wait until the jobs that run here have ended"
        raise EnvironmentFault("the self-test finds no CPU", str(error), todo) from None


def _folder(store: str | Path | None) -> Path:
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"
    base = Path(store if store is not None else default_store()).absolute()
    folder = base / "selftests" / name
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        why = error.strerror or str(error)
        todo = "mend it or give another with --store"
        raise StoreError(f"cannot write {folder}", why, todo) from None
    return folder


@contextmanager
def _watched() -> Iterator[Callable[[Bench], Noise]]:
    """What the machine was like since the context began, as a function to call in it or after."""
    meter = HealthMeter()

    def noise(bench: Bench) -> Noise:
        health = meter.end()
        delays = [x.run_delay_ratio for x in bench.healths if x.run_delay_ratio is not None]
        return Noise(
            steal_ratio=health.host_steal_ratio,
            pressure_ratio=health.host_pressure_ratio,
            run_delay_ratio=max(delays, default=None),
            suspended_s=health.clock_gap_s,
        )

    try:
        yield noise
    finally:
        meter.close()
