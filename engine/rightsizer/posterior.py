"""What is believed of candidates' maxima after some trials: draws from a posterior. Pure.

Each candidate has a true log maximum. A block of finals, which share arrivals and payloads, sees
all its candidates moved by one shared error and each by one of its own, which holds what a fresh
server start brings. Scouts see it with the error of their intervals, and they share arrivals and
payloads too, as far as their searches go the same way. Log costs come from a normal
law of unknown centre and width (a hierarchical prior: Gelman and others, Bayesian Data Analysis,
3rd ed., ch. 5), so that the best of many noisy figures is drawn back to where it belongs. The error
of a start and the width are integrated over grids; given them everything is normal.

`benchmarks/race_truth.py` shows how often the probabilities that follow come true.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LEAST_SPREAD, MOST_SPREAD = 0.001, 0.5
"""Of one final's own error, between starts and within: the sds that are thought possible. None is
below one over its requests, a percentile of which moves by steps of so much, nor for any number of
these all above `LEAST_AT_MOST`."""
LEAST_AT_MOST = 0.1
SPREADS = 13
OWN_ERROR = 0.8
"""Over the square root of the requests: what a final errs by on its own, in log maxima, where a
request's cost is drawn by the server (simulated: 0.16 of 28, 0.08 of 113). Decisions expect it."""


@dataclass(frozen=True)
class Assumptions:
    """What is held for likely before any trial."""

    spread: float
    """That sd, where requests are many: the scale of a scaled inverse chi-squared prior,"""
    weight: float
    """and how many observations it counts for. 0: Jeffreys' prior, even on the logarithm."""
    shared_ratio: float
    """How much of the variance of scouts' intervals is one error of all of them."""


CAUTIOUS = Assumptions(spread=0.035, weight=3.0, shared_ratio=0.0)
"""To decide by: a few starts that agree by chance do not end a race, nor do scouts alone."""
EVEN = Assumptions(spread=0.02, weight=0.0, shared_ratio=0.97)
"""To tell probabilities by, which are to come true as often as they say."""

WIDTHS = np.exp(np.linspace(math.log(0.01), 0.0, 7))
"""Candidates for the sd of the candidates' log costs."""
SHARED_SD = 0.1
"""Of a block's shared error."""
CENTRE_PRECISION = 1e-4
"""Of the prior's centre: next to nothing."""
DRAWS = 4000
SEED = 11


@dataclass(frozen=True)
class Scout:
    """A trial of its own arrivals: log maximum and its error's sd."""

    candidate: int
    log_maximum: float
    sd: float
    is_alone: bool = False
    """Whether its error has nothing to do with those of other scouts."""


@dataclass(frozen=True)
class Beliefs:
    """Draws of all candidates' log maxima, shape (draws, candidates), and the spread found."""

    log_maxima: Floats
    spread: float
    """Posterior mean of the sd of one final's own error."""


def beliefs(
    candidates: int,
    scouts: Sequence[Scout],
    blocks: Sequence[Mapping[int, float]],
    log_prices: Floats,
    assumed: Assumptions = CAUTIOUS,
    requests: float = math.inf,
) -> Beliefs:
    """The posterior after scouts and blocks of finals; the same inputs give the same draws.

    Args:
        candidates: how many; each has a scout or is in a block.
        scouts: any number.
        blocks: log maximum by candidate, for each block.
        log_prices: shape (candidates,); zeros rank by throughput.
        assumed: before any of them.
        requests: that a final saw, as a rule.
    """
    spreads = np.geomspace(
        min(max(LEAST_SPREAD, 1 / requests), LEAST_AT_MOST), MOST_SPREAD, SPREADS
    )
    expected = max(assumed.spread, OWN_ERROR / math.sqrt(requests))
    priors = _priors(candidates)
    priced = priors @ log_prices
    log_weights: list[Floats] = []
    means: list[Floats] = []
    factors: list[Floats] = []
    for spread in spreads:
        groups = _groups(scouts, blocks, float(spread), assumed.shared_ratio)
        precision, pull, evidence = _likelihood(candidates, groups)
        evidence -= assumed.weight * (math.log(spread) + 0.5 * (expected / spread) ** 2)
        # For all widths at once: shapes (widths, candidates) and (widths, candidates, candidates).
        whole = pull + priced
        factor = np.linalg.cholesky(precision + priors)
        mean = np.linalg.solve(precision + priors, whole[..., None])[..., 0]
        log_weights.append(
            evidence
            - (candidates - 1) * np.log(WIDTHS)
            - np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)
            - 0.5 * (priced @ log_prices - (whole * mean).sum(axis=1))
        )
        means.extend(mean)
        factors.extend(factor)
    weights = np.exp(np.array(log_weights) - np.max(log_weights))
    weights /= weights.sum()
    random = np.random.default_rng(SEED)
    drawn = [
        mean + np.linalg.solve(factor.T, random.standard_normal((candidates, count))).T
        for count, mean, factor in zip(
            random.multinomial(DRAWS, weights.ravel()), means, factors, strict=True
        )
    ]
    return Beliefs(np.concatenate(drawn), float(weights.sum(axis=1) @ spreads))


@dataclass(frozen=True)
class _Group:
    """Trials that share an error, at most one of each candidate. Arrays are of shape (trials,)."""

    at: npt.NDArray[np.int64]
    """Candidates."""
    seen: Floats
    """Log maxima."""
    own_variance: Floats
    shared_sd: Floats
    """How far the shared error, of unit variance, moves each."""


def _groups(
    scouts: Sequence[Scout],
    blocks: Sequence[Mapping[int, float]],
    spread: float,
    shared_ratio: float,
) -> list[_Group]:
    ratio = np.array([0.0 if scout.is_alone else shared_ratio for scout in scouts])
    sd = np.array([scout.sd for scout in scouts])
    # Searches of few requests go ways of their own: what is beyond a block's is not shared.
    shared_sd = np.minimum(np.sqrt(ratio) * sd, SHARED_SD)
    scouted = _Group(
        np.array([scout.candidate for scout in scouts], dtype=np.int64),
        np.array([scout.log_maximum for scout in scouts]),
        sd**2 - shared_sd**2 + spread**2,
        shared_sd,
    )
    finals = [
        _Group(
            np.fromiter(block, dtype=np.int64),
            np.array(list(block.values())),
            np.full(len(block), spread**2),
            np.full(len(block), SHARED_SD),
        )
        for block in blocks
    ]
    return [scouted, *finals]


def _likelihood(candidates: int, groups: Sequence[_Group]) -> tuple[Floats, Floats, float]:
    """(precision, precision-weighted observations, log density of what does not hang on them)."""
    precision = np.zeros((candidates, candidates))
    pull = np.zeros(candidates)
    evidence = 0.0
    for group in groups:
        # The inverse of diag(own) + shared shared' (Sherman and Morrison), and its determinant.
        own = 1 / group.own_variance
        common = 1 + float(own @ group.shared_sd**2)
        moved = own * group.shared_sd
        inverse = np.diag(own) - np.outer(moved, moved) / common
        precision[np.ix_(group.at, group.at)] += inverse
        pull[group.at] += inverse @ group.seen
        evidence -= 0.5 * (
            math.log(common) - float(np.log(own).sum()) + float(group.seen @ inverse @ group.seen)
        )
    return precision, pull, evidence


def _priors(candidates: int) -> Floats:
    """For each width the precision of log costs spread so about an unknown centre."""
    centred = np.eye(candidates) - 1 / candidates
    priors: Floats = centred / WIDTHS[:, None, None] ** 2 + CENTRE_PRECISION / candidates
    return priors
