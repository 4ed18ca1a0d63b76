"""What each check of the self-test measured. Field names are those of the JSON document.

Latencies in ms, rates per second, ratios 0..1, intervals at 95% (None where there is none).
"""

from __future__ import annotations

from dataclasses import dataclass

from rightsizer.analysis.figures import Interval


@dataclass(frozen=True)
class Ceiling:
    """Users in a loop on a server that does nothing: what one generator process manages."""

    body_bytes: int
    connections: int
    per_s: float
    cpu_ms_per_request: float
    generator_cpu_ratio: float
    """1 is one whole core."""
    run_delay_ratio: float | None
    """The generator was ready to run and waited for a CPU; None where it cannot be told."""
    failed: int


@dataclass(frozen=True)
class Floor:
    """Open traffic on a server that does nothing: what the instrument itself adds."""

    body_bytes: int
    rate_per_s: float
    n: int
    p50_ms: float
    p99_ms: float
    slip_p99_ms: float
    """How late requests left."""
    generator_cpu_ratio: float
    """1 is one whole core."""
    run_delay_ratio: float | None
    """As that of the ceiling."""
    dropped: int
    """Arrivals that the generator had not come to when the step ended."""
    failed: int


@dataclass(frozen=True)
class Truth:
    """A search on a server whose maximum is known."""

    law: str
    service_ms: float
    percentile: str
    limit_ms: float
    budget_s: float
    """Of the search's traffic."""
    true_per_s: float
    verdict: str
    """That of `measure`."""
    max_kind: str | None
    found_per_s: float | None
    found_per_s_ci: Interval | None
    why_not: str = ""
    """What blocked it, where it found no maximum."""

    @property
    def error_ratio(self) -> float | None:
        """How far the maximum found is from the true one."""
        return None if self.found_per_s is None else self.found_per_s / self.true_per_s - 1

    @property
    def uncertainty_ratio(self) -> float | None:
        """How far the farther end of the interval is from the maximum found."""
        if self.found_per_s is None or self.found_per_s_ci is None:
            return None
        low, high = self.found_per_s_ci
        if low is None or high is None:
            return None
        return max(self.found_per_s - low, high - self.found_per_s) / self.found_per_s

    @property
    def covered(self) -> bool:
        """Whether the interval holds the true maximum."""
        if self.found_per_s_ci is None:
            return False
        low, high = self.found_per_s_ci
        over_low = low is None or low <= self.true_per_s
        return over_low and (high is None or self.true_per_s <= high)


@dataclass(frozen=True)
class Stall:
    """Open traffic on a server that pauses, beside what the server itself wrote down."""

    rate_per_s: float
    pause_ms: float
    every_s: float
    n: int
    p95_ms: float
    true_p95_ms: float
    p99_ms: float
    true_p99_ms: float
    failed: int

    @property
    def off_ratio(self) -> float:
        """How far our percentiles are from the server's record, the worse of the two."""
        pairs = ((self.p95_ms, self.true_p95_ms), (self.p99_ms, self.true_p99_ms))
        return max((ours / true - 1 for ours, true in pairs), key=abs)


@dataclass(frozen=True)
class Caching:
    """One request body against many, on a server that keeps answers and on one that does not."""

    bodies: int
    cached_one_p50_ms: float
    cached_many_p50_ms: float
    plain_one_p50_ms: float
    plain_many_p50_ms: float
    failed: int

    @property
    def cached_ratio(self) -> float:
        """Many bodies over one where answers are kept: far above 1."""
        return self.cached_many_p50_ms / self.cached_one_p50_ms

    @property
    def plain_ratio(self) -> float:
        """Many bodies over one where they are not: 1."""
        return self.plain_many_p50_ms / self.plain_one_p50_ms


@dataclass(frozen=True)
class Repeat:
    """The same load twice, with other random numbers."""

    rate_per_s: float
    percentile: str
    latency_ms: tuple[float, float]
    latency_ms_ci: tuple[Interval | None, Interval | None]

    @property
    def apart_ratio(self) -> float:
        """How far the two lie apart."""
        return max(self.latency_ms) / min(self.latency_ms) - 1

    @property
    def overlap(self) -> bool | None:
        """Whether the two intervals meet; None where one is missing."""
        first, second = self.latency_ms_ci
        if first is None or second is None:
            return None
        lows = [bound for bound in (first[0], second[0]) if bound is not None]
        highs = [bound for bound in (first[1], second[1]) if bound is not None]
        return not lows or not highs or max(lows) <= min(highs)


@dataclass(frozen=True)
class Noise:
    """What else went on on the machine while the checks ran; None where it cannot be told."""

    steal_ratio: float | None
    """CPU time that the hypervisor took."""
    pressure_ratio: float | None
    """Time in which some process waited for a CPU, ours included."""
    run_delay_ratio: float | None
    """Time that the generator waited for a CPU, in the worst step."""
    suspended_s: float | None


Figures = Ceiling | Floor | Truth | Stall | Caching | Repeat | Noise
