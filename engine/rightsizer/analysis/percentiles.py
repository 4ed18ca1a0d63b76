"""Percentiles by nearest rank on raw values: exact, and always a value that occurred."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

PERCENTILES: Mapping[str, float] = {"P50": 0.50, "P90": 0.90, "P95": 0.95, "P99": 0.99}

ROUNDING = 1e-12
"""Relative; far above the error of a product of doubles, far below 1 / n."""


def rank(n: int, p: float) -> int:
    """The 1-based nearest rank: the smallest k with k / n >= p (Hyndman and Fan 1996, type 1).

    Raises:
        ValueError: `p` is not in 0..1.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"a percentile lies in 0..1, not at {p}")
    # 0.07 * 100 is 7.000000000000001, which is rank 7.
    return min(n, max(1, math.ceil(p * n * (1 - ROUNDING))))


def percentiles(values: npt.ArrayLike, ps: Sequence[float]) -> list[float]:
    """The nearest-rank percentiles `ps` (0..1) of `values`, shape (n,), n >= 1; same unit.

    Raises:
        ValueError: no values, one that is not a number, or one of `ps` outside 0..1.
    """
    array = np.asarray(values, dtype=np.float64)
    if not array.size:
        raise ValueError("no values, no percentile")
    if np.isnan(array).any():
        raise ValueError("a value is not a number")
    at = [rank(array.size, p) - 1 for p in ps]
    return [float(value) for value in np.partition(array, sorted(set(at)))[at]]


def nearest_rank(values: npt.ArrayLike, p: float) -> float:
    """One percentile; see `percentiles`."""
    return percentiles(values, [p])[0]
