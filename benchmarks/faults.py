"""What can spoil a step, planted: of each kind, of random place and size from the smallest that a
check must find. Where a fault does something to the samples, it does so here as well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from rightsizer.samples import Outcome, Samples
from rightsizer.schedule import CAP_IN_FLIGHT, Step
from truth_servers import Floats, Random
from virtual_session import Fault

NS = 1e9
FIRST_OPEN_STEPS = 4
"""A search has at least so many open steps."""


@dataclass(frozen=True)
class Kind:
    """A check's code, and how to plant what it must find."""

    code: str
    plant: Callable[[Random], Fault]
    traffic: str = "search"
    """`rate` where the check needs a long window, `users` where it is of closed traffic alone."""
    mode: str = "open"
    """Of the steps that may be struck in a search."""
    service_s: float = 0.005
    busy: float = 0.6
    """Of the rate's server."""
    throttles_server: bool = False
    shows: bool = True
    """Whether the struck step tells by itself; else the steps together must."""
    variant: str = ""
    """What tells kinds of one code apart."""

    @property
    def name(self) -> str:
        """With the variant."""
        return f"{self.code}, {self.variant}" if self.variant else self.code


class Once:
    """Strikes the k-th step of a mode, once: the step's repetition is spared."""

    def __init__(self, mode: str, after: int) -> None:
        self._mode, self._left = mode, after

    def __call__(self, step: Step, number: int) -> bool:
        if step.mode != self._mode or self._left < 0:
            return False
        self._left -= 1
        return self._left < 0


def planted(kind: Kind, rng: Random, lasting: bool = False) -> Fault:
    """A fault of the kind, somewhere in the measurement; or in all steps of its mode."""
    if lasting:
        return replace(kind.plant(rng), strikes=lambda step, number: step.mode == kind.mode)
    searched = kind.traffic == "search" and kind.mode == "open"
    after = int(rng.integers(FIRST_OPEN_STEPS)) if searched else 0
    mode = "closed" if kind.traffic == "users" else kind.mode
    return replace(kind.plant(rng), strikes=Once(mode, after))


def between(rng: Random, low: float, high: float) -> float:
    """Log-uniform."""
    return float(low * (high / low) ** rng.random())


# -- the generator and its machine -------------------------------------------------------------


def stalls(ratio: float, each_s: float) -> Callable[[Samples, Random], Samples]:
    """The generator does nothing for so much of the time, in stretches of about so long."""

    def held(samples: Samples, rng: Random) -> Samples:
        first, last = samples["intended_ns"].min(), samples["end_ns"].max()
        count = max(1, int(ratio * (last - first) / NS / each_s))
        begins = np.sort(first + rng.random(count) * (last - first))
        ends = begins + each_s * NS
        ends = np.maximum.accumulate(ends)

        def pushed(t: Floats) -> Floats:
            at = np.searchsorted(begins, t, "right") - 1
            return np.where(at >= 0, np.maximum(t, ends[np.maximum(at, 0)]), t)

        found = samples.copy()
        found["start_ns"] = pushed(samples["start_ns"])
        found["end_ns"] = pushed(samples["end_ns"] + found["start_ns"] - samples["start_ns"])
        return found

    return held


def stalled(name: str, low: float, high: float, each_s: float) -> Callable[[Random], Fault]:
    """A figure of Health, and what it does to the samples."""

    def plant(rng: Random) -> Fault:
        ratio = between(rng, low, high)
        return Fault(samples=stalls(ratio, each_s), health={name: ratio})

    return plant


def told(name: str, low: float, high: float) -> Callable[[Random], Fault]:
    """A figure of Health alone."""
    return lambda rng: Fault(health={name: between(rng, low, high)})


def stolen(rng: Random) -> Fault:
    """The hypervisor takes from generator and server alike."""
    ratio = between(rng, 0.04, 0.6)
    return Fault(
        samples=stalls(ratio / 2, 0.01),
        speed=lambda share: np.full_like(share, 1 - ratio),
        health={"host_steal_ratio": ratio},
    )


def lagging(rng: Random) -> Fault:
    """Some replies are read late."""
    lag_ms = between(rng, 4.0, 60.0)

    def late(samples: Samples, rng: Random) -> Samples:
        found = samples.copy()
        chosen = rng.random(len(found)) < 0.05
        found["end_ns"][chosen] += int(lag_ms * 1e6)
        return found

    return Fault(samples=late, health={"loop_lag_p99_ms": lag_ms})


def slipping(rng: Random) -> Fault:
    """Some requests leave late."""
    slip_ms, share = between(rng, 4.0, 100.0), between(rng, 0.02, 0.5)

    def late(samples: Samples, rng: Random) -> Samples:
        found = samples.copy()
        chosen = rng.random(len(found)) < share
        for name in ("start_ns", "end_ns"):
            found[name][chosen] += int(slip_ms * 1e6)
        return found

    return Fault(samples=late)


def skipping(rng: Random) -> Fault:
    """A share of the arrivals is never sent, nor told of."""
    lost = between(rng, 0.3, 0.9)
    return Fault(sends=lambda share, rng: rng.random(len(share)) > lost)


def giving_up(rng: Random) -> Fault:
    """Arrivals are dropped though few are in flight."""
    lost = between(rng, 0.01, 0.2)
    return Fault(drops=lambda share, rng: rng.random(len(share)) < lost)


def idling(rng: Random) -> Fault:
    """Users spend some of their time in the generator."""
    away = between(rng, 0.1, 0.6)

    def shorter(samples: Samples, rng: Random) -> Samples:
        found = samples.copy()
        took = found["end_ns"] - found["start_ns"]
        found["start_ns"] += (away * took).astype(np.int64)
        found["intended_ns"] = found["start_ns"]
        return found

    return Fault(samples=shorter)


# -- the server --------------------------------------------------------------------------------


def overrun(rng: Random) -> Fault:
    """The server stands still until the generator's cap is in flight."""
    begin, length = 0.2 + 0.3 * rng.random(), between(rng, 0.1, 0.3)

    def over_the_cap(share: Floats, rng: Random) -> np.ndarray:
        waits = (share >= begin) & (share < begin + length)
        return waits & (np.cumsum(waits) > CAP_IN_FLIGHT)

    return Fault(speed=_slow(begin, begin + length, 1e-6), drops=over_the_cap)


def restarting(rng: Random) -> Fault:
    """Connections break, then are refused for a while; before a step may be ended early."""
    at, away_s = 0.08 + 0.17 * rng.random(), between(rng, 0.1, 1.5)

    def broken(samples: Samples, rng: Random) -> Samples:
        found = samples.copy()
        first, last = found["start_ns"].min(), found["start_ns"].max()
        begin = first + at * (last - first)
        flying = (found["start_ns"] < begin) & (found["end_ns"] > begin)
        refused = (found["start_ns"] >= begin) & (found["start_ns"] < begin + away_s * NS)
        found["outcome"][flying], found["outcome"][refused] = Outcome.RESET, Outcome.CONNECT
        found["end_ns"][flying] = begin
        found["end_ns"][refused] = found["start_ns"][refused] + 200_000
        return found

    return Fault(samples=broken, health={"connections": 8, "reopened": 8})


def unserved(rng: Random) -> Fault:
    """Some users' connections find no worker."""
    starved = int(rng.integers(1, 7))

    def waiting(samples: Samples, rng: Random) -> Samples:
        keeps = samples["user"] >= starved
        first = np.unique(samples["user"], return_index=True)[1][:starved]
        lost = samples[first].copy()
        lost["outcome"] = Outcome.TIMED_OUT
        lost["end_ns"] = lost["start_ns"] + int(10 * NS)
        return np.concatenate([samples[keeps], lost])

    return Fault(samples=waiting)


def _slow(begin: float, end: float, speed: float) -> Callable[[Floats], Floats]:
    return lambda share: np.where((share >= begin) & (share < end), speed, 1.0)


def shifting(rng: Random) -> Fault:
    """The server becomes slower, or was until then."""
    speed, place = between(rng, 0.3, 0.65), rng.random()
    if rng.random() < 0.5:
        return Fault(speed=_slow(0.3 + 0.4 * place, 2.0, speed))
    # Slow for longer than half: what is shorter is taken for a warm-up, and cut.
    return Fault(speed=_slow(0.0, 0.55 + 0.2 * place, speed))


def trending(rng: Random) -> Fault:
    """The server becomes ever slower."""
    last = between(rng, 0.2, 0.4)
    return Fault(speed=lambda share: 1 - (1 - last) * share)


def warming(rng: Random) -> Fault:
    """The server is slow for longer than the time cut, a tenth, covers; what has then piled up is
    served before the window's middle."""
    until, speed = 0.18 + 0.12 * rng.random(), between(rng, 0.4, 0.65)
    return Fault(speed=_slow(0.0, until, speed))


def overloaded(rng: Random) -> Fault:
    """The server has not the speed that the rate takes."""
    speed = between(rng, 0.3, 0.52)
    return Fault(speed=lambda share: np.full_like(share, speed))


def nothing(rng: Random) -> Fault:
    """The server's host tells of it."""
    return Fault()


KINDS: tuple[Kind, ...] = (
    Kind("generator-starved", stalled("run_delay_ratio", 0.1, 0.7, 0.02)),
    Kind("generator-paused", stalled("gc_pause_ratio", 0.02, 0.3, 0.1)),
    Kind("generator-throttled", stalled("throttled_ratio", 0.02, 0.5, 0.05)),
    Kind("generator-limited", lambda rng: Fault(cpu_ratio=0.91 + 0.09 * rng.random())),
    Kind("clock-gap", told("clock_gap_s", 0.02, 10.0)),
    Kind("noisy-host", stolen),
    Kind("host-pressure", told("host_pressure_ratio", 0.4, 1.0)),
    Kind("worker-lost", lambda rng: Fault(health={"lost_workers": 1}, complete=False)),
    Kind("event-loop-lag", lagging),
    Kind("event-loop-lag", lagging, mode="closed", variant="closed"),
    Kind("schedule-slip", slipping),
    Kind("off-schedule", skipping),
    Kind("generator-dropped", giving_up),
    Kind("generator-overhead", idling, mode="closed"),
    Kind("server-overrun", overrun, traffic="rate", service_s=0.001),
    Kind("server-away", restarting),
    Kind("connections-starved", unserved, traffic="users"),
    Kind("server-throttled", nothing, traffic="rate", throttles_server=True),
    Kind("not-keeping-up", overloaded, traffic="rate"),
    Kind("no-steady-state", shifting, traffic="rate", variant="a step"),
    Kind("no-steady-state", trending, traffic="rate", variant="a trend"),
    Kind("warm-up-cut", warming, traffic="rate"),
    Kind("no-steady-state", shifting, shows=False, variant="one step"),
    Kind("no-steady-state", warming, shows=False, variant="one head"),
    Kind("not-keeping-up", overloaded, shows=False, variant="one step"),
)
