"""A queue made of a server's own unloaded latencies: where to look for its maximum.

It places steps and says how steeply latency should rise there. Measured steps decide; where they
disagree with it, that is a finding of its own (caching, batching, throttling, shared resources).
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

CUSTOMERS = 20_000
SEED = 3
"""The same draws for every rate (common random numbers), so that shares rise with it."""
HALVINGS = 12
CLOSE_RATIO = 1.01
STEEPNESS_STEP = 1.07
LEAST_BUSY = 0.05
LEAST_SHARE = 1e-4
CURVE_FACTORS = (0.3, 0.5, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.35)
MOST_BUSY_RATIO = 0.97
LEAST_RISE = 1.001
FEWEST_RUNS = 30
"""Of the model's customers, to tell how the shares of runs differ."""
FARTHEST_RATIO = 2.0
"""What is read off the curve farther from the maximum than this is no reading."""


@dataclass(frozen=True)
class Prediction:
    """What the queue says of the maximum."""

    rate_per_s: float
    steepness: float
    """d log odds of a request to be over the limit / d ln(rate), there."""
    servers: int
    """How many requests are served at once; 0 for a guess without a queue."""


@lru_cache(maxsize=256)
def predict(
    unloaded_ms: tuple[float, ...], capacity_per_s: float, limit_ms: float, p: float
) -> Prediction | None:
    """The rate at which percentile `p` (0..1) of a first come, first served queue is at the limit.

    Poisson arrivals, as many servers as `capacity_per_s` needs at the mean unloaded latency
    (Little's law), service times drawn from the unloaded latencies (ms, any order, at least one).
    None where even 5% of the capacity is over the limit.
    """
    queue = _queue(unloaded_ms, capacity_per_s)
    rate = _rate_per_s(unloaded_ms, capacity_per_s, limit_ms, p)
    if rate is None:
        return None
    return Prediction(rate, _steepness(queue, rate, limit_ms), queue.servers)


@dataclass(frozen=True)
class LatencyCurve:
    """The latency percentile against the rate, both over those at the maximum; ascending."""

    rate_ratios: tuple[float, ...]
    latency_ratios: tuple[float, ...]

    def rate_ratio(self, latency_ratio: float) -> float:
        """The rate, over the maximum, at which latency over the limit is that.

        Interpolated on the logarithms; above the last by the slope there, as far as
        `FARTHEST_RATIO`.
        """
        x, y = np.log(self.latency_ratios), np.log(self.rate_ratios)
        at = math.log(latency_ratio)
        found = float(np.interp(at, x, y))
        if at > x[-1]:
            found += (at - x[-1]) * (y[-1] - y[-2]) / (x[-1] - x[-2])
        farthest = math.log(FARTHEST_RATIO)
        return math.exp(min(max(found, -farthest), farthest))


@lru_cache(maxsize=256)
def latency_curve(
    unloaded_ms: tuple[float, ...], capacity_per_s: float, limit_ms: float, p: float
) -> LatencyCurve | None:
    """How percentile `p` (0..1) of the queue that `predict` makes rises with the rate; arguments
    and None as there, and None where it does not rise."""
    queue = _queue(unloaded_ms, capacity_per_s)
    maximum_per_s = _rate_per_s(unloaded_ms, capacity_per_s, limit_ms, p)
    if maximum_per_s is None:
        return None
    rates: list[float] = []
    latencies: list[float] = []
    for factor in CURVE_FACTORS:
        rate = factor * maximum_per_s
        if rate > MOST_BUSY_RATIO * capacity_per_s and factor > 1:
            break
        latency = _nearest_rank(queue.latency_s(rate), p) * 1e3 / limit_ms
        if latencies and latency <= latencies[-1] * LEAST_RISE:
            continue
        rates.append(factor)
        latencies.append(latency)
    return LatencyCurve(tuple(rates), tuple(latencies)) if len(rates) > 1 else None


@dataclass(frozen=True)
class QueueModel:
    """What the queue of a search's closed steps says, kept with the trial: making it takes long
    where several are served at once."""

    prediction: Prediction
    curve: LatencyCurve | None


def queue_model(
    unloaded_ms: tuple[float, ...], capacity_per_s: float, limit_ms: float, p: float
) -> QueueModel | None:
    """Arguments and None as of `predict`."""
    prediction = predict(unloaded_ms, capacity_per_s, limit_ms, p)
    if prediction is None:
        return None
    return QueueModel(prediction, latency_curve(unloaded_ms, capacity_per_s, limit_ms, p))


def run_effect(
    unloaded_ms: tuple[float, ...],
    capacity_per_s: float,
    limit_ms: float,
    rate_per_s: float,
    n: int,
) -> float:
    """How many of `n` requests in a row weigh as one independent one in the share that is over the
    limit, in the queue that `predict` makes: 1 or more.

    A window as short as a queue's memory cannot show by itself how alike its requests are. One of
    so many that `FEWEST_RUNS` of them are all the model's customers nearly can, of twice as many it
    does: between the two the effect goes to 1.
    """
    # In whole percents: finals near one maximum are one case.
    busy = round(min(rate_per_s / capacity_per_s, MOST_BUSY_RATIO), 2)
    over = _over(unloaded_ms, capacity_per_s, limit_ms, max(busy, 0.01))
    most = len(over) // FEWEST_RUNS
    own = min(1.0, max(0.0, n / most - 1))
    n = min(n, most)
    runs = len(over) // n
    shares = over[: runs * n].reshape(runs, n).mean(axis=1)
    mean = float(shares.mean())
    if not 0 < mean < 1:
        return 1.0
    effect = n * float(shares.var(ddof=1)) / (mean * (1 - mean))
    return max(1.0, own + (1 - own) * effect)


@lru_cache(maxsize=256)
def _over(
    unloaded_ms: tuple[float, ...], capacity_per_s: float, limit_ms: float, busy: float
) -> npt.NDArray[np.bool_]:
    """Whether each of the model's customers is over the limit."""
    queue = _queue(unloaded_ms, capacity_per_s)
    over: npt.NDArray[np.bool_] = queue.latency_s(busy * capacity_per_s) > limit_ms / 1e3
    return over


@lru_cache(maxsize=16)
def _queue(unloaded_ms: tuple[float, ...], capacity_per_s: float) -> _Queue:
    return _Queue(unloaded_ms, capacity_per_s)


class _Queue:
    """First come, first served, with Poisson arrivals; the same draws for every rate."""

    def __init__(self, unloaded_ms: tuple[float, ...], capacity_per_s: float) -> None:
        unloaded_s = np.asarray(unloaded_ms, dtype=np.float64) / 1e3
        mean_s = float(unloaded_s.mean())
        self.capacity_per_s = capacity_per_s
        self.servers = max(1, round(capacity_per_s * mean_s))
        random = np.random.default_rng(SEED)
        customers = CUSTOMERS if self.servers == 1 else CUSTOMERS // 2
        # The capacity was measured: the queue is to have just that one.
        drawn_s = unloaded_s[random.integers(len(unloaded_s), size=customers)]
        self._work = Work(drawn_s * (self.servers / capacity_per_s / mean_s), self.servers)
        self._instants = np.cumsum(random.exponential(1.0, customers))

    def latency_s(self, rate_per_s: float) -> Floats:
        """Of each customer, the first twentieth apart."""
        latency_s = self._work.sojourns_s(self._instants / rate_per_s)
        return latency_s[len(latency_s) // 20 :]


class Work:
    """Service times, s, shape (n,), that so many servers get through, first come, first served."""

    def __init__(self, service_s: Floats, servers: int) -> None:
        self._each_s = service_s.tolist() if servers > 1 else []
        self._servers = servers
        self._done_s = np.cumsum(service_s)
        self._before_s = self._done_s - service_s

    def sojourns_s(self, arrival_s: Floats) -> Floats:
        """From each arrival, s, ascending, to the end of its service; shapes (n,).

        One server: Lindley's recursion unrolled into a running maximum. Several: Kiefer and
        Wolfowitz.
        """
        if self._servers > 1:
            return self._shared_s(arrival_s)
        sojourn_s: Floats = arrival_s - self._before_s
        np.maximum.accumulate(sojourn_s, out=sojourn_s)
        # In place: fresh pages for each sum take longer than the sums.
        sojourn_s += self._done_s
        sojourn_s -= arrival_s
        return sojourn_s

    def _shared_s(self, arrival_s: Floats) -> Floats:
        free = [0.0] * self._servers
        found = []
        for arrival, service in zip(arrival_s.tolist(), self._each_s, strict=True):
            done = max(arrival, free[0]) + service
            heapq.heapreplace(free, done)
            found.append(done - arrival)
        return np.array(found)


@lru_cache(maxsize=256)
def _rate_per_s(
    unloaded_ms: tuple[float, ...], capacity_per_s: float, limit_ms: float, p: float
) -> float | None:
    queue = _queue(unloaded_ms, capacity_per_s)
    low, high = LEAST_BUSY * queue.capacity_per_s, queue.capacity_per_s
    if _over_ratio(queue, low, limit_ms) > 1 - p:
        return None
    for _ in range(HALVINGS):
        middle = math.sqrt(low * high)
        is_over = _over_ratio(queue, middle, limit_ms) > 1 - p
        low, high = (low, middle) if is_over else (middle, high)
        if high / low < CLOSE_RATIO:
            break
    return math.sqrt(low * high)


def _steepness(queue: _Queue, rate_per_s: float, limit_ms: float) -> float:
    low, high = (
        _log_odds(_over_ratio(queue, rate_per_s * factor, limit_ms))
        for factor in (1 / STEEPNESS_STEP, STEEPNESS_STEP)
    )
    return (high - low) / (2 * math.log(STEEPNESS_STEP))


def _over_ratio(queue: _Queue, rate_per_s: float, limit_ms: float) -> float:
    latency_s = queue.latency_s(rate_per_s)
    return np.count_nonzero(latency_s > limit_ms / 1e3) / len(latency_s)


def _nearest_rank(values: Floats, p: float) -> float:
    rank = max(1, math.ceil(p * len(values))) - 1
    return float(np.partition(values, rank)[rank])


def _log_odds(share: float) -> float:
    share = min(max(share, LEAST_SHARE), 1 - LEAST_SHARE)
    return math.log(share / (1 - share))


def plain_prediction(capacity_per_s: float, busy: float, p: float) -> Prediction:
    """A guess where no queue can be made: so busy (0..1), as steep as M/M/1, whose share over the
    limit L is exp(-(mu - lambda) L)."""
    steepness = math.log(1 / (1 - p)) * busy / (1 - busy) / p
    return Prediction(busy * capacity_per_s, steepness, 0)
