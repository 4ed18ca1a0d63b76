"""What is believed of candidates' maxima after some trials: draws from a posterior. Pure.

Each candidate has a true log maximum. A scout sees it with its own interval's error; a block of
finals, which share arrivals and payloads, sees all its candidates moved by one shared error and
each by one of its own, which holds what a fresh server start brings. Log costs come from a normal
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

SPREADS = np.exp(np.linspace(math.log(0.005), math.log(0.2), 9))
"""Candidates for the sd of one final's own error: between starts and within."""


@dataclass(frozen=True)
class SpreadPrior:
    """A scaled inverse chi-squared prior of that sd, of so many observations' weight."""

    sd: float
    weight: float


CAUTIOUS = SpreadPrior(0.035, 3.0)
"""To decide by: a few starts that agree by chance do not end a race."""
EVEN = SpreadPrior(0.03, 1.0)
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
    spread_prior: SpreadPrior = CAUTIOUS,
) -> Beliefs:
    """The posterior after scouts and blocks of finals; the same inputs give the same draws.

    Args:
        candidates: how many; each has a scout or is in a block.
        scouts: any number.
        blocks: log maximum by candidate, for each block.
        log_prices: shape (candidates,); zeros rank by throughput.
        spread_prior: of the sd of one final's own error.
    """
    log_weights, means, factors = [], [], []
    for spread in SPREADS:
        precision, pull, evidence = _likelihood(candidates, scouts, blocks, float(spread))
        evidence -= spread_prior.weight * (
            math.log(spread) + 0.5 * (spread_prior.sd / float(spread)) ** 2
        )
        for width in WIDTHS:
            prior = _prior(candidates, float(width))
            factor = np.linalg.cholesky(precision + prior)
            whole = pull + prior @ log_prices
            mean = np.linalg.solve(factor.T, np.linalg.solve(factor, whole))
            means.append(mean)
            factors.append(factor)
            log_weights.append(
                evidence
                - (candidates - 1) * math.log(width)
                - float(np.log(np.diag(factor)).sum())
                - 0.5 * float(log_prices @ prior @ log_prices - whole @ mean)
            )
    weights = np.exp(np.array(log_weights) - max(log_weights))
    weights /= weights.sum()
    random = np.random.default_rng(SEED)
    drawn = [
        mean + np.linalg.solve(factor.T, random.standard_normal((candidates, count))).T
        for count, mean, factor in zip(
            random.multinomial(DRAWS, weights), means, factors, strict=True
        )
    ]
    by_spread = weights.reshape(len(SPREADS), len(WIDTHS)).sum(axis=1)
    return Beliefs(np.concatenate(drawn), float(by_spread @ SPREADS))


def _likelihood(
    candidates: int,
    scouts: Sequence[Scout],
    blocks: Sequence[Mapping[int, float]],
    spread: float,
) -> tuple[Floats, Floats, float]:
    """(precision, precision-weighted observations, log density of what does not hang on them)."""
    precision = np.zeros((candidates, candidates))
    pull = np.zeros(candidates)
    evidence = 0.0
    for scout in scouts:
        variance = scout.sd**2 + spread**2
        precision[scout.candidate, scout.candidate] += 1 / variance
        pull[scout.candidate] += scout.log_maximum / variance
        evidence -= 0.5 * (math.log(variance) + scout.log_maximum**2 / variance)
    for block in blocks:
        at = np.fromiter(block, dtype=np.int64)
        seen = np.array(list(block.values()))
        n = len(at)
        # The inverse of spread^2 I + shared^2 11' (Sherman and Morrison).
        common = spread**2 + n * SHARED_SD**2
        inverse = np.eye(n) / spread**2 - SHARED_SD**2 / (spread**2 * common)
        precision[np.ix_(at, at)] += inverse
        pull[at] += inverse @ seen
        evidence -= 0.5 * (
            (n - 1) * math.log(spread**2) + math.log(common) + float(seen @ inverse @ seen)
        )
    return precision, pull, evidence


def _prior(candidates: int, width: float) -> Floats:
    """The precision of log costs spread about an unknown centre."""
    centred = np.eye(candidates) - 1 / candidates
    prior: Floats = centred / width**2 + CENTRE_PRECISION / candidates
    return prior
