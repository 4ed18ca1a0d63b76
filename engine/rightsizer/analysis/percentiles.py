"""Percentiles by nearest rank on raw values: exact, and always a value that occurred."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def rank(n: int, p: float) -> int:
    """The 1-based nearest rank: the smallest k with k / n >= p (Hyndman and Fan 1996, type 1)."""
    # 0.95 * 20 is 19.000000000000004 where the wind blows so; that is rank 19.
    return min(n, max(1, math.ceil(p * n - 1e-9)))


def percentiles(values: npt.ArrayLike, ps: Sequence[float]) -> list[float]:
    """The nearest-rank percentiles `ps` (0..1) of `values`, shape (n,), n >= 1; same unit.

    Raises:
        ValueError: no values, or one that is not a number.
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
