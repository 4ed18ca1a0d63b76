"""From open steps to the rate at which their latency meets the limit, with an interval.

Every step says how large a share of its requests was over the limit, at its rate. The share passes
1 - p at the maximum. Near it the log odds are close to linear in ln(rate) for every queue we know
of, so a line is fitted by its posterior on a grid: where it crosses, and how steep it is. Requests
of a queue are alike, so each step counts as its number of requests over its design effect (a
quasi-likelihood: Wedderburn, Biometrika 61, 1974), which is at least that of the queue model: a
short step of a slow server cannot show it. The steepness has a prior at the queue model's,
wide enough for servers that are no such queue.

`benchmarks/search_truth.py` shows error and coverage on nine simulated servers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rightsizer.analysis.queue_model import Floats, Prediction

POOLED_WEIGHT = 0.4
"""How much of a step's design effect (on the log scale) is that of all steps together.

Its own comes out low just where its share is low, which biases the fit upward; that of all steps
would bias it downward.
"""
TEMPER = 0.95
"""By simulation: the design effects, the larger of two estimates each, come out a little high."""
RATE_PRIOR_SD = 0.5
"""Of ln(rate): a weak hold."""
STEEPNESSES = np.linspace(-2.5, 1.0, 43)
STEEPNESS_PRIOR = np.log(
    0.97 / 0.4 * np.exp(-0.5 * (STEEPNESSES / 0.4) ** 2)
    + 0.03 / 1.2 * np.exp(-0.5 * (STEEPNESSES / 1.2) ** 2)
)
"""Log density of ln(steepness over the queue's): near it, but for a few servers."""
LEAST_STEEPNESS, MOST_STEEPNESS = 1.0, 80.0
MOST_BUSY_RATIO = 0.985
BEYOND_CAPACITY = 1.1
"""A closed probe may have seen a little too little capacity."""
RATES, FINE_RATES = 601, 401


@dataclass(frozen=True)
class Point:
    """One open step, as the fit sees it."""

    rate_per_s: float
    n: int
    over_ratio: float
    """Share of the requests over the limit."""
    design_effect: float
    """How many requests weigh as one independent one."""


@dataclass(frozen=True)
class Boundary:
    """Where the limit is met: requests per second, with a 95% interval."""

    rate_per_s: float
    low_per_s: float
    high_per_s: float
    relative_sd: float


def fit_boundary(
    points: Sequence[Point], p: float, capacity_per_s: float, prediction: Prediction
) -> Boundary:
    """The rate at which a share of 1 - `p` (0..1) is over the limit; at least one point."""
    weights = np.array([point.n for point in points]) / _design_effects(points) / TEMPER
    centre = math.log(prediction.rate_per_s)
    top = max(centre, math.log(BEYOND_CAPACITY * capacity_per_s))
    grid = np.linspace(centre - 3 * RATE_PRIOR_SD, min(centre + 3 * RATE_PRIOR_SD, top), RATES)
    low = median = high = sd = 0.0
    for _ in range(2):  # the second time finer, around what the first one found
        mass = _posterior(grid, points, weights, p, capacity_per_s, prediction)
        low, median, high = np.interp([0.025, 0.5, 0.975], np.cumsum(mass), grid).tolist()
        mean = float(mass @ grid)
        sd = math.sqrt(float(mass @ (grid - mean) ** 2))
        around = max(4.5 * sd, 0.02)
        grid = np.linspace(median - around, min(median + around, top), FINE_RATES)
    return Boundary(math.exp(median), math.exp(low), math.exp(high), sd)


def _posterior(
    grid: Floats,
    points: Sequence[Point],
    weights: Floats,
    p: float,
    capacity_per_s: float,
    prediction: Prediction,
) -> Floats:
    """Probability of each crossing on the grid of ln(rate), the steepness integrated out."""
    crossing = math.log((1 - p) / p)
    # A queue's steepness goes as busy / (1 - busy): the prediction's is carried to each crossing.
    busy = np.clip(np.exp(grid) / capacity_per_s, 0.05, MOST_BUSY_RATIO)
    there = min(MOST_BUSY_RATIO, prediction.rate_per_s / capacity_per_s)
    steepness = prediction.steepness * (busy / (1 - busy)) / (there / (1 - there))
    steepness = np.clip(steepness, LEAST_STEEPNESS, MOST_STEEPNESS)[:, None] * np.exp(STEEPNESSES)
    held = -0.5 * ((grid - math.log(prediction.rate_per_s)) / RATE_PRIOR_SD) ** 2
    log_mass = held[:, None] + STEEPNESS_PRIOR
    for point, weight in zip(points, weights.tolist(), strict=True):
        logit = crossing + steepness * (math.log(point.rate_per_s) - grid)[:, None]
        # Both of a request's log odds at once: ln(1 + e^x) = ln(1 + e^-x) + x.
        log_mass -= weight * (np.logaddexp(0, -logit) + (1 - point.over_ratio) * logit)
    mass: Floats = np.exp(log_mass - log_mass.max()).sum(axis=1)
    normed: Floats = mass / mass.sum()
    return normed


def _design_effects(points: Sequence[Point]) -> Floats:
    own = np.array([point.design_effect for point in points])
    pooled = float(np.average(own, weights=[max(1, point.n) for point in points]))
    effects: Floats = own ** (1 - POOLED_WEIGHT) * pooled**POOLED_WEIGHT
    return effects
