"""95% intervals that hold on queues, or none.

Neighbouring requests of a queue are alike: an interval from the order statistics of raw requests
covers far less than it claims, however long the run. Here a window is cut into batches that are
long against that likeness, and Student's t is applied to the batches (batch means: Law, Simulation
Modeling and Analysis, 5th ed., section 9.5.3). `benchmarks/interval_coverage.py` shows how often
the intervals hold on simulated queues.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from rightsizer.analysis.percentiles import nearest_rank, percentiles, rank

Floats = npt.NDArray[np.float64]

BATCHES = 10
FEWEST_BATCHES = 5
MANY_BATCHES = 20
"""More than these narrow the interval by little (Schmeiser, Operations Research 30, 1982)."""

BEYOND = 25
"""So many samples must lie beyond a percentile: 500 in all for P95, fifty a batch."""
TAIL_CORRELATION = 2.5
"""The correlation time beyond a high percentile, over that above the median.

From simulation: 2.2 to 3 at P95 for one server, 30 to 80% busy, fixed to lognormal service.
"""
COMPLETIONS_PER_USER = 5
MIN_COMPLETIONS = 10

MOST_CORRELATED = 1 << 18
"""A correlation time is read off so many samples at the most: more only cost time."""

Z95 = 1.96
"""The normal distribution's two-sided 95 % point."""
_T95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


def t_quantile(dof: int, confidence: float = 0.95) -> float:
    """The two-sided quantile of Student's t.

    At 95 % a table to 30 degrees of freedom; else Hill's expansion (Algorithm 396, Communications
    of the ACM 13, 1970), good to three decimals.

    Raises:
        ValueError: no degree of freedom.
    """
    if dof < 1:
        raise ValueError("t needs at least one degree of freedom")
    if confidence == 0.95 and dof <= len(_T95):
        return _T95[dof - 1]
    return _hill(1 - confidence, dof)


def _hill(p: float, n: int) -> float:
    """The value that |t| exceeds with probability `p`; letters are those of the paper."""
    if n == 1:
        return 1 / math.tan(p * math.pi / 2)
    if n == 2:
        return math.sqrt(2 / (p * (2 - p)) - 2)
    a = 1 / (n - 0.5)
    b = 48 / a**2
    c = ((20700 * a / b - 98) * a - 16) * a + 96.36
    d = ((94.5 / (b + c) - 3) / b + 1) * math.sqrt(a * math.pi / 2) * n
    y = (d * p) ** (2 / n)
    if y <= 0.05 + a:
        y = (1 / (((n + 6) / (n * y) - 0.089 * d - 0.822) * (n + 2) * 3) + 0.5 / (n + 4)) * y
        y = (y - 1) * (n + 1) / (n + 2) + (d * p) ** (-2 / n)
        return math.sqrt(n * y)
    x = NormalDist().inv_cdf(p / 2)
    y = x * x
    if n < 5:
        c += 0.3 * (n - 4.5) * (x + 0.6)
    c += (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b
    y = (((((0.4 * y + 6.3) * y + 36) * y + 94.5) / c - y - 3) / b + 1) * x
    return math.sqrt(n * math.expm1(a * y * y))


def log_sd(low: float, high: float) -> float:
    """The standard error of the logarithm of what has this 95 % interval; both ends above 0."""
    return math.log(high / low) / (2 * Z95)


def percentile_interval(
    start_ns: npt.ArrayLike, latency_ms: npt.ArrayLike, p: float
) -> tuple[float, float] | None:
    """An interval for the latency percentile `p` (0..1) of one window of constant load, in ms.

    The share of samples above the overall percentile is taken batch by batch; the spread of those
    shares gives the percentile's uncertainty as a probability, and the latencies at p minus and
    plus that are the interval (Woodruff, JASA 47, 1952, with batch means in place of independent
    samples). Shares hold where batch percentiles do not: they need no full tail in every batch,
    and the interval is lopsided as the tail is.

    None with fewer than `BEYOND` samples beyond the percentile, and where the upper end would lie
    at or past the largest latency: the window then holds too few excursions to bound it. There is
    no other rule: to refuse the windows that look correlated is to keep those that missed the long
    excursions, and their intervals lie low.

    Args:
        start_ns: shape (n,), when each request was meant to start, in any order.
        latency_ms: shape (n,), in the same order.

    Raises:
        ValueError: shapes differ, or a latency is not a number.
    """
    starts, latency = np.asarray(start_ns), np.asarray(latency_ms, dtype=np.float64)
    if starts.shape != latency.shape:
        raise ValueError("each latency needs its start")
    n = len(latency)
    if n - rank(n, p) < BEYOND:
        return None
    latency = latency[np.argsort(starts, kind="stable")]
    at = nearest_rank(latency, p)
    # Many samples may lie at the percentile itself, where requests timed out.
    seen = max(_share_sd(latency > at), _share_sd(latency >= at))
    expected = math.sqrt(p * (1 - p) * design_effect(latency) / n)
    # A window without long excursions shows too little spread, just where its percentile is low.
    half = t_quantile(BATCHES - 1) * max(seen, expected)
    if p + half >= 1 or rank(n, p + half) == n:
        return None
    low, high = percentiles(latency, [max(0.0, p - half), p + half])
    return low, high


def _share_sd(chosen: npt.NDArray[np.bool_]) -> float:
    """The sd of the share of True, by batch means."""
    shares = [float(np.mean(batch)) for batch in np.array_split(chosen, BATCHES)]
    return float(np.std(shares, ddof=1)) / math.sqrt(BATCHES)


def design_effect(latency: Floats) -> float:
    """How many requests weigh as one independent one in a high percentile.

    Excursions beyond the percentile are too few to be timed; those above the median are many, and
    their correlation time is right in windows so short that the latencies' own still comes out at
    half. In a queue the one is a multiple of the other (`TAIL_CORRELATION`).

    Args:
        latency: shape (n,), n >= 1, in the order of time; any unit.
    """
    above = (latency > nearest_rank(latency, 0.5)).astype(np.float64)
    return 1 + TAIL_CORRELATION * (correlation_time(above) - 1)


def correlation_time(series: Floats) -> float:
    """The integrated autocorrelation time of a series, in samples; 1 for independent ones.

    Sokal's automatic windowing (Monte Carlo Methods in Statistical Mechanics, 1996): sum the
    autocorrelation up to the first lag of at least five times the sum. So it is n / 5 at most.
    """
    series = series[-MOST_CORRELATED:]
    n = len(series)
    centred = series - series.mean()
    variance = float(centred @ centred)
    if n < 2 or variance == 0:
        return 1.0
    # Padded with as many zeros, so that the end does not correlate with the beginning.
    length = 1 << (2 * n - 1).bit_length()
    spectrum = np.fft.rfft(centred, length)
    correlation = np.fft.irfft(spectrum * np.conj(spectrum), length)[:n] / variance
    times = 2 * np.cumsum(correlation) - 1
    enough = np.arange(n) >= 5 * times
    return max(1.0, float(times[np.argmax(enough)]))


def throughput_interval(
    end_ns: npt.ArrayLike, users: int | None = None
) -> tuple[float, float] | None:
    """An interval for the rate of a saturated closed loop, completions per second.

    The mean time between completions of each batch, Student's t on those, inverted to a rate (a
    ratio estimator; Law, section 9.5.3). Batches are whole rounds of the users: where those run in
    step, N completions fall together, and a batch that cuts a round is off by one.

    None where five batches of five rounds (ten completions at least) cannot be had: a loop of N
    users remembers about N completions.

    Args:
        end_ns: shape (n,), integer completion times in any order.
        users: in the loop; unknown counts as one.
    """
    ends = np.sort(np.asarray(end_ns, dtype=np.int64))
    users = users or 1
    rooms = (len(ends) - 1) // max(MIN_COMPLETIONS, COMPLETIONS_PER_USER * users)
    if rooms < FEWEST_BATCHES:
        return None
    # Twenty only where each is still ten times as long as it must be.
    batches = MANY_BATCHES if rooms >= 10 * MANY_BATCHES else min(BATCHES, rooms)
    rounds = np.rint(np.linspace(0, (len(ends) - 1) // users, batches + 1)).astype(np.int64)
    edges = rounds * users
    gaps_s = np.diff(ends[edges]) / np.diff(edges) / 1e9
    centre = float(ends[edges[-1]] - ends[0]) / float(edges[-1]) / 1e9
    half = t_quantile(batches - 1) * float(np.std(gaps_s, ddof=1)) / math.sqrt(batches)
    if centre <= half:
        return None
    return 1 / (centre + half), 1 / (centre - half)
