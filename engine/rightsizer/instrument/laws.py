"""Laws of service times, each of mean 1, drawn from the generator that the caller seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Random = np.random.Generator
Law = Callable[[Random, int], Floats]

CLASSES = np.array([60.0, 61.0, 66.0, 97.0]) / 71.0
"""Four kinds of payload, equally frequent."""


def exponential(rng: Random, n: int) -> Floats:
    """Without memory: the coefficient of variation is 1."""
    return rng.exponential(1.0, n)


def fixed(rng: Random, n: int) -> Floats:
    """Always the same."""
    return np.ones(n)


def bimodal(rng: Random, n: int) -> Floats:
    """One in five takes six times as long as the others."""
    return np.where(rng.random(n) < 0.2, 3.0, 0.5)


def lognormal(rng: Random, n: int) -> Floats:
    """A long tail: the coefficient of variation is 1.3."""
    return rng.lognormal(-0.5, 1.0, n)


def four_payloads(rng: Random, n: int) -> Floats:
    """Four classes, of which one is slower."""
    drawn: Floats = CLASSES[rng.integers(len(CLASSES), size=n)]
    return drawn


LAWS: Mapping[str, Law] = {
    "exponential": exponential,
    "fixed": fixed,
    "bimodal": bimodal,
    "lognormal": lognormal,
    "four payloads": four_payloads,
}
