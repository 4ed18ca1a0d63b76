"""95% intervals that hold on queues, or none.

Neighbouring requests of a queue are alike: intervals from order statistics on raw requests cover
far less than they claim, however long the run. Here the window is cut into batches so long that
their statistics are nearly independent, and Student's t is applied to those (batch means:
Law, Simulation Modeling and Analysis, 5th ed., section 9.5.3).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from rightsizer.analysis.percentiles import nearest_rank

Floats = npt.NDArray[np.float64]

BATCHES = 10
FEWEST_BATCHES = 5
BEYOND_PERCENTILE = 20
"""A batch's percentile must have so many samples beyond it, or it is little but the maximum."""
CORRELATION_TIMES = 30
"""A batch must be so many correlation times long for its neighbours not to know of it."""
COMPLETIONS_PER_USER = 5
MIN_COMPLETIONS = 10

_T95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


def t_quantile(dof: int) -> float:
    """The two-sided 95% quantile of Student's t, to three decimals.

    A table to 30 degrees of freedom; beyond, the Cornish-Fisher expansion (Abramowitz and Stegun,
    26.7.5).
    """
    if dof < 1:
        raise ValueError("t needs at least one degree of freedom")
    if dof <= len(_T95):
        return _T95[dof - 1]
    z = 1.959964
    return z + (z**3 + z) / (4 * dof) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * dof**2)


def percentile_interval(
    intended_ns: npt.ArrayLike, latency_ms: npt.ArrayLike, p: float
) -> tuple[float, float] | None:
    """An interval for the latency percentile `p` of one window, in ms.

    None when ten batches would be too few samples each, or shorter than ten correlation times of
    the latencies: then neighbouring batches repeat each other and the interval would lie.

    Args:
        intended_ns: shape (n,), when each request was meant to start.
        latency_ms: shape (n,), in the same order.
    """
    order = np.argsort(np.asarray(intended_ns), kind="stable")
    latency: Floats = np.asarray(latency_ms, dtype=np.float64)[order]
    size = len(latency) // BATCHES
    if size < math.ceil(BEYOND_PERCENTILE / (1 - p)):
        return None
    if size < CORRELATION_TIMES * correlation_time(latency):
        return None
    batches = [nearest_rank(part, p) for part in np.array_split(latency, BATCHES)]
    half = t_quantile(BATCHES - 1) * float(np.std(batches, ddof=1)) / math.sqrt(BATCHES)
    centre = nearest_rank(latency, p)
    return max(0.0, centre - half), centre + half


def correlation_time(series: Floats) -> float:
    """The integrated autocorrelation time of a series, in samples; 1 for independent ones.

    Sokal's automatic windowing (Monte Carlo Methods in Statistical Mechanics, 1996): sum the
    autocorrelation up to the first lag of at least five times the sum.
    """
    n = len(series)
    centred = series - series.mean()
    variance = float(centred @ centred)
    if n < 2 or variance == 0:
        return 1.0
    length = 1 << (2 * n - 1).bit_length()
    spectrum = np.fft.rfft(centred, length)
    correlation = np.fft.irfft(spectrum * np.conj(spectrum), length)[:n] / variance
    times = 2 * np.cumsum(correlation) - 1
    enough = np.arange(n) >= 5 * times
    return max(1.0, float(times[np.argmax(enough)] if enough.any() else times[-1]))


def throughput_interval(end_ns: npt.ArrayLike, users: int) -> tuple[float, float] | None:
    """An interval for the rate of a closed loop of `users`, completions per second.

    Batches of equal numbers of completions; the mean time between completions of each; t on those,
    inverted to a rate. A loop of N users remembers about N completions, so a batch holds several
    times that. Ten batches, down to five where there are fewer completions; None below that.

    Args:
        end_ns: shape (n,), completion times in any order.
    """
    ends: Floats = np.sort(np.asarray(end_ns)).astype(np.float64)
    gaps = len(ends) - 1
    batches = min(BATCHES, gaps // max(MIN_COMPLETIONS, COMPLETIONS_PER_USER * users))
    if batches < FEWEST_BATCHES:
        return None
    edges = np.linspace(0, gaps, batches + 1).astype(int)
    means = np.diff(ends[edges]) / np.diff(edges) / 1e9
    centre = (ends[-1] - ends[0]) / gaps / 1e9
    half = t_quantile(batches - 1) * float(np.std(means, ddof=1)) / math.sqrt(batches)
    if centre <= half:
        return None
    return float(1 / (centre + half)), float(1 / (centre - half))
