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
from rightsizer.catalog import MachineSize, load_catalog
from rightsizer.errors import EnvironmentFault, StoreError, TrialEnded, TrialStopped
from rightsizer.hosts.affinity import kept_to
from rightsizer.hosts.lease import lease, leased_cpus
from rightsizer.hosts.probe import this_machine
from rightsizer.hosts.process import ProcessHost
from rightsizer.inventory import THIS_MACHINE, Machine, NotRunnable, Placement, place
from rightsizer.measurement import Endpoints
from rightsizer.selftesting import checks
from rightsizer.selftesting.bench import Bench
from rightsizer.selftesting.checks import Lengths
from rightsizer.selftesting.outcome import SelfTest
from rightsizer.stop_switch import StopSwitch
from rightsizer.store import default_store
from rightsizer.traffic.driver import LocustTraffic
from rightsizer.traffic.health import HealthMeter

FULL = Lengths(2.5, 4.0, 18.0, 10.0, 2.0, 8.0)
QUICK = Lengths(1.0, 1.5, 8.0, 4.0, 1.0, 2.0)
START_S = 2.0
"""Of a generator, in the expected time; servers take little."""
INSTANCE_TYPE = "local.1cpu"

OnEvent = Callable[[events.SelftestEvent], None]


@dataclass(frozen=True)
class Planned:
    """A group of checks that share a server."""

    name: str
    of: str
    expected_s: float
    run: Callable[[Bench, Lengths], Sequence[Figures]]


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
        quick: shorter steps, and one known maximum instead of two.
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
    lengths = QUICK if quick else FULL
    planned = plan(lengths, quick=quick)
    bench = Bench(placement, folder, switch, through)
    with lease(sorted(placement.cpus), "selftest"), kept_to(placement.generator_cpus):
        expected_s = sum(group.expected_s for group in planned)
        say(events.SelftestStarted(str(folder), len(planned), expected_s))
        with _watched() as noise:
            found = _run(planned, lengths, bench, say)
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


def plan(lengths: Lengths, *, quick: bool) -> list[Planned]:
    """The groups of checks, in their order."""
    small_s = checks.WARMUP_S + lengths.ceiling_s + 2 * lengths.floor_s
    large_s = checks.WARMUP_S + lengths.ceiling_s
    laws = list(checks.LIMITS_MS)[: 1 if quick else None]
    return [
        Planned("ceiling and floor", "small bodies", START_S + small_s, checks.small_bodies),
        Planned("ceiling", "large bodies", START_S + large_s, checks.large_bodies),
        *(
            Planned("truth", law, START_S + lengths.truth_s, partial(checks.truth, law=law))
            for law in laws
        ),
        Planned("stall", "a server that pauses", START_S + lengths.stall_s, checks.stall),
        Planned("caching", "one body, many", 4 * (START_S + lengths.caching_s), checks.caching),
        Planned("repeat", "two seeds", 2 * (START_S + lengths.repeat_s), checks.repeat),
    ]


def _run(planned: Sequence[Planned], lengths: Lengths, bench: Bench, say: OnEvent) -> list[Check]:
    """Every group's checks; those before the stop, where it was stopped."""
    found: list[Check] = []
    for number, group in enumerate(planned, 1):
        title = f"{group.name}: {group.of}"
        say(events.ChecksStarted(number, len(planned), title, group.expected_s))
        try:
            done = [judged(figures) for figures in group.run(bench, lengths)]
        except TrialStopped:
            break
        except TrialEnded as error:
            done = [not_run(group.name, group.of, error.detail)]
        for check in done:
            say(events.CheckEnded(check))
        found += done
    return found


def _placement(machine: Machine) -> Placement:
    """The generator's core and one CPU for the servers, apart from those that jobs hold."""
    catalog = load_catalog(MachineSize(machine.cpu_count, machine.memory_bytes))
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
