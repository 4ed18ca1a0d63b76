"""The engine's traffic seam in virtual time: truth servers behind the unmodified pipeline, and what
may befall a step of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from rightsizer.hosts.base import Endpoint, Owner
from rightsizer.protocols import Request
from rightsizer.samples import DTYPE, Outcome, Samples
from rightsizer.schedule import Step, arrivals
from rightsizer.traffic.records import Health, Progress, StepRecord
from rightsizer.units import NS_PER_S
from truth_servers import Floats, Random
from virtual_traffic import LOOK_S, Case

LONGEST_S = 1000.0
"""After a step, a slowed server has so long to answer."""
SPEED_STEPS = 20_001
SETTLED_S = 0.01
"""Between two steps."""


@dataclass(frozen=True)
class Fault:
    """What befalls one step; nothing does by default. Instants are shares 0..1 of the step."""

    strikes: Callable[[Step, int], bool] = lambda step, number: False
    """By the step and how many came before."""
    speed: Callable[[Floats], Floats] | None = None
    """Of the server, 1 as it should be, at instants from 0."""
    sends: Callable[[Floats, Random], np.ndarray] | None = None
    """Which of the arrivals are ever heard of."""
    drops: Callable[[Floats, Random], np.ndarray] | None = None
    """Which of the arrivals are recorded as dropped."""
    samples: Callable[[Samples, Random], Samples] | None = None
    """What is recorded instead."""
    health: Mapping[str, float] = field(default_factory=dict)
    cpu_ratio: float = 0.1
    complete: bool = True


def clean_health(rng: Random) -> Health:
    """A quiet machine's: nothing is ever exactly zero."""
    return Health(
        run_delay_ratio=0.03 * rng.random(),
        loop_lag_p99_ms=2.0 * rng.random(),
        loop_lag_max_ms=5.0,
        gc_pause_ratio=0.003 * rng.random(),
        clock_gap_s=1e-6 * rng.random(),
        host_steal_ratio=0.01 * rng.random(),
        host_pressure_ratio=0.1 * rng.random(),
        throttled_ratio=0.0,
        connections=8,
        reopened=int(rng.integers(0, 3)),
    )


class VirtualTraffic:
    """See `traffic.base.Traffic`. `struck` counts the steps that the fault befell."""

    def __init__(self, case: Case, fault: Fault) -> None:
        self._case, self._fault = case, fault
        self.struck: list[int] = []

    def probe(
        self, endpoint: Endpoint, request: Request, tick: Callable[[], None]
    ) -> Mapping[str, float]:
        """The mean service time."""
        return {body.name: 1e3 * self._case.service_s for body in request.bodies}

    @contextmanager
    def open(
        self,
        endpoint: Endpoint,
        request: Request,
        *,
        seed: int,
        trial_dir: Path,
        owner: Owner,
        cpus: Sequence[int],
    ) -> Iterator[VirtualSession]:
        """See `traffic.base.Traffic`."""
        path = trial_dir / "samples-0.bin"
        path.touch()
        yield VirtualSession(self._case, self._fault, path, self.struck)


class VirtualSession:
    """See `traffic.base.Session`."""

    last: StepRecord

    def __init__(self, case: Case, fault: Fault, path: Path, struck: list[int]) -> None:
        self._case, self._fault, self._struck = case, fault, struck
        self.sample_files: Sequence[Path] = [path]
        self._rng = np.random.default_rng([case.seed, 1])
        self._now_s = 1.0 + 20.0 * self._rng.random()
        self._committed = self._number = 0
        self._stopped = False

    def stop_step(self) -> None:
        """The running step ends at the progress seen last."""
        self._stopped = True

    abandon = stop_step

    def drive(self, step: Step) -> Iterator[Progress]:
        """The whole step's samples at once; they are shown as they would have been answered."""
        self._stopped = False
        strikes = self._fault.strikes(step, self._number)
        fault = self._fault if strikes else Fault()
        self._number += 1
        if strikes:
            self._struck.append(step.index)
        begin_ns = int(self._now_s * NS_PER_S)
        samples = simulated(self._case, step, self._now_s, fault, self._rng)
        samples = samples[np.argsort(samples["end_ns"], kind="stable")]
        before, length_s = self._committed, step.duration_s
        for elapsed_s in np.arange(LOOK_S, step.duration_s, LOOK_S).tolist():
            shown = int(np.searchsorted(samples["end_ns"], begin_ns + elapsed_s * NS_PER_S))
            self._write(samples[self._committed - before : shown])
            yield Progress(elapsed_s, 1, shown, shown, 0, 0.0, None, self._committed)
            if self._stopped:
                length_s = elapsed_s
                break
        end_ns = begin_ns + int(length_s * NS_PER_S)
        rest = samples[self._committed - before :]
        self._write(rest[rest["intended_ns"] < end_ns])
        drained_ns = max(end_ns, int(samples["end_ns"].max(initial=end_ns)))
        self._now_s = drained_ns / NS_PER_S + SETTLED_S
        self.last = StepRecord(
            step=step,
            begin_ns=begin_ns,
            end_ns=end_ns,
            drained_ns=drained_ns,
            committed=self._committed,
            complete=not self._stopped and fault.complete,
            journal=(),
            generator_cpu_ratio=fault.cpu_ratio,
            health=replace(clean_health(self._rng), **fault.health),
        )

    def _write(self, samples: Samples) -> None:
        with self.sample_files[0].open("ab") as file:
            samples.tofile(file)
        self._committed += len(samples)


def simulated(case: Case, step: Step, begin_s: float, fault: Fault, rng: Random) -> Samples:
    """The step's samples, were it driven to its planned end."""
    clock, work = _course(step, begin_s, fault)
    if step.mode == "open":
        due = begin_s + np.fromiter(arrivals(step, case.seed), dtype=np.float64)
        if fault.sends is not None:
            due = due[fault.sends((due - begin_s) / step.duration_s, rng)]
        users = np.zeros(len(due), dtype=np.int64)
        dropped = np.zeros(len(due), dtype=bool)
        if fault.drops is not None:
            dropped = fault.drops((due - begin_s) / step.duration_s, rng)
        came, ends = np.interp(due, clock, work), np.interp(due, clock, work)
        ends[~dropped] = case.server.departures(came[~dropped], case.service_s, rng)
    else:
        worked_s = float(np.interp(begin_s + step.duration_s, clock, work)) - begin_s
        due, ends = case.server.loop(step.users or 1, begin_s, worked_s, case.service_s, rng)
        users = np.arange(len(due)) % (step.users or 1)
        due = np.interp(due, work, clock)
        dropped = np.zeros(len(due), dtype=bool)
    samples = np.zeros(len(due), dtype=DTYPE)
    samples["intended_ns"] = samples["start_ns"] = np.rint(due * NS_PER_S)
    samples["end_ns"] = np.rint(np.interp(ends, work, clock) * NS_PER_S)
    samples["user"] = users
    samples["step"] = step.index
    samples["outcome"] = np.where(dropped, Outcome.DROPPED, Outcome.SUCCEEDED)
    return samples if fault.samples is None else fault.samples(samples, rng)


def _course(step: Step, begin_s: float, fault: Fault) -> tuple[Floats, Floats]:
    """(clock, work the server has done by then), s; the same where its speed is 1."""
    if fault.speed is None:
        ends = np.array([0.0, begin_s + step.duration_s + LONGEST_S])
        return ends, ends
    share = np.linspace(0.0, 1.0, SPEED_STEPS)
    rates = fault.speed(share)
    done = np.concatenate([[0.0], np.cumsum((rates[1:] + rates[:-1]) / 2 * np.diff(share))])
    clock = begin_s + step.duration_s * share
    work = begin_s + step.duration_s * done
    after = clock[-1] + LONGEST_S, work[-1] + LONGEST_S
    return np.append(clock, after[0]), np.append(work, after[1])
