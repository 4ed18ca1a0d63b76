"""What a search's steps tell of the maximum: capacity, the queue's prediction, the boundary.

The search asks after every step where to go next; the trial's judgement asks once more at the end.
Both see the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from rightsizer.analysis import doubts
from rightsizer.analysis.boundary import Boundary, Point, fit_boundary
from rightsizer.analysis.excess import Excess, settled
from rightsizer.analysis.figures import Doubt, Maximum, StepFigures
from rightsizer.analysis.percentiles import PERCENTILES
from rightsizer.analysis.queue_model import (
    Prediction,
    QueueModel,
    plain_prediction,
    predict,
    queue_model,
    run_effect,
)
from rightsizer.analysis.validity import is_beyond_generator, is_void
from rightsizer.spec import LimitSpec

FLAT_GAIN_RATIO = 0.05
"""Throughput is flat when more users bring less than this above the best before."""
CLEARLY_MORE = 1.2
"""So many times the users bring a server that has room some four times the gain that is flat."""
DOUBLED_GAIN_RATIO = 0.1
"""The same of twice the users, which would bring twice as much where there is room."""
UNPREDICTED_BUSY_RATIO = 0.3
"""Where to begin when a queue would be over the limit at once."""
FLOOR_DEVIATES = 3.0
FEW_BEYOND = 5.0
"""Of one user's requests, expected beyond the percentile: with fewer their share is not known."""
CLIFF_WITHIN, CLIFF_OVER, CLIFF_GAP_RATIO = 0.2, 0.5, 1.1
"""A step with under a fifth of the allowed share, and one with half of all requests over the limit,
at rates this close: between them lies no slope to be measured."""
CLIFF_INDEPENDENT = 20
"""So many independent requests' worth make such a step one to rely on."""

MOST_RELATIVE_SD = 0.3
"""A fit less sure than this is no answer."""
WANTED_RELATIVE_SD = 0.1
FEWEST_BEYOND, WANTED_BEYOND = 1.5, 8.0
"""Independent requests' worth beyond the percentile: with fewer the queue model alone speaks."""
DISAGREES_SDS, DISAGREES_RATIO = 3.0, 0.25
"""The queue's prediction is off when by both: more than noise, and enough to matter."""
SOAK_S = 600.0
NEAR_ERRORS = 0.5
NEAR_TOP_RATIO = 0.97


@dataclass(frozen=True)
class Knowledge:
    """What is known once the closed probe is over."""

    capacity_per_s: float
    """The highest throughput seen in a closed loop."""
    is_capacity: bool
    """Whether throughput had gone flat there; else it is only a lower bound."""
    prediction: Prediction
    boundary: Boundary | None
    """None before the first open step."""


def queue_of(steps: Sequence[StepFigures], limit: LimitSpec) -> QueueModel | None:
    """The queue that a search's closed steps make; None where they answered nothing, or where it
    would be over the limit at once."""
    probe = probed(steps, limit)
    if probe is None or limit.latency_ms is None:
        return None
    p = PERCENTILES[limit.percentile]
    return queue_model(probe.service_ms, probe.capacity_per_s, limit.latency_ms, p)


def learn(
    steps: Sequence[StepFigures], limit: LimitSpec, queue: QueueModel | None = None
) -> Knowledge | None:
    """From all judged steps of a search; None where the closed probe answered nothing. `queue` is
    that of its closed steps, where it was made before."""
    probe = probed(steps, limit)
    if probe is None or limit.latency_ms is None:
        return None
    closed, capacity = _answered(steps), probe.capacity_per_s
    p = PERCENTILES[limit.percentile]
    predicted = queue.prediction if queue else None
    if predicted is None:
        predicted = predict(probe.service_ms, capacity, limit.latency_ms, p)
    if predicted is None:
        predicted = plain_prediction(capacity, UNPREDICTED_BUSY_RATIO, p)
    points = [
        replace(point, design_effect=max(point.design_effect, _model_effect(point, probe, limit)))
        for step in steps
        if (point := point_of(step, limit)) is not None
    ]
    boundary = fit_boundary(points, p, capacity, predicted) if points else None
    flat = closed[-1].verdict != "invalid" and is_flat(
        {s.users or 0: s.achieved_per_s for s in closed}
    )
    return Knowledge(capacity, flat, predicted, boundary)


def _model_effect(point: Point, probe: Probe, limit: LimitSpec) -> float:
    """How alike a step's requests are at the least: short steps of slow servers do not show it.

    For the fit, whose interval has to hold it; whether steps tell enough for one, they say alone.
    """
    assert limit.latency_ms is not None
    return run_effect(
        probe.service_ms, probe.capacity_per_s, limit.latency_ms, point.rate_per_s, point.n
    )


@dataclass(frozen=True)
class Probe:
    """What a search's closed steps tell of the server."""

    service_ms: tuple[float, ...]
    """What a request takes that does not wait."""
    capacity_per_s: float
    """As in `Knowledge`."""


def probed(steps: Sequence[StepFigures], limit: LimitSpec) -> Probe | None:
    """None where the closed steps, or that of one user, answered nothing."""
    closed = _answered(steps)
    one = next((s for s in closed if s.users == 1 and s.unloaded_ms), None)
    if one is None or limit.latency_ms is None:
        return None
    capacity_per_s = max(step.achieved_per_s for step in closed)
    return Probe(_service_ms(one, limit), capacity_per_s)


def _service_ms(one: StepFigures, limit: LimitSpec) -> tuple[float, ...]:
    """One user's latencies. Where they are so few that one more or less over the limit is chance,
    those over it weigh no more than half of what is allowed: else no queue would ever be within.
    """
    assert limit.latency_ms is not None
    allowed = 1 - PERCENTILES[limit.percentile]
    within = tuple(latency for latency in one.unloaded_ms if latency <= limit.latency_ms)
    over = tuple(latency for latency in one.unloaded_ms if latency > limit.latency_ms)
    if not within or one.n * allowed >= FEW_BEYOND:
        return one.unloaded_ms
    # So often as brings the share of `over` down to half of what is allowed.
    times = math.ceil(len(over) * (2 / allowed - 1) / len(within))
    return within * max(1, times) + over


def _answered(steps: Sequence[StepFigures]) -> list[StepFigures]:
    return [s for s in steps if s.mode == "closed" and s.achieved_per_s > 0 and not is_void(s)]


def is_below_floor(step: StepFigures, limit: LimitSpec) -> bool:
    """Whether one user alone, whose requests do not queue, is clearly over the limit."""
    if limit.latency_ms is None or not step.unloaded_ms:
        return False
    over = sum(latency > limit.latency_ms for latency in step.unloaded_ms) / len(step.unloaded_ms)
    allowed = 1 - PERCENTILES[limit.percentile]
    sd = math.sqrt(allowed * (1 - allowed) / step.n)
    return over - allowed > FLOOR_DEVIATES * sd


def levels_of(steps: Iterable[StepFigures]) -> dict[int, float]:
    """The best throughput at each number of users, of the steps that are valid."""
    levels: dict[int, float] = {}
    for step in steps:
        if step.verdict != "invalid":
            users = step.users or 0
            levels[users] = max(step.achieved_per_s, levels.get(users, 0.0))
    return levels


def is_flat(levels: Mapping[int, float]) -> bool:
    """Whether the most users gained next to nothing on the best of fewer: throughput by users.

    Levels with nearly as many users would not bring much more anyway: among those only a fall
    counts. Where there are no others, the most gained next to nothing on the fewest where they
    brought less than a quarter of what they would bring a server that has room.
    """
    if len(levels) < 2:
        return False
    *fewer, most = sorted(levels)
    if levels[most] < (1 - FLAT_GAIN_RATIO) * max(levels[users] for users in fewer):
        return True
    clearly_fewer = [users for users in fewer if CLEARLY_MORE * users <= most]
    if not clearly_fewer:
        return levels[most] < (1 + (most / fewer[0] - 1) / 4) * levels[fewer[0]]
    gain_ratio = DOUBLED_GAIN_RATIO if most >= 2 * clearly_fewer[-1] else FLAT_GAIN_RATIO
    return levels[most] < (1 + gain_ratio) * max(levels[users] for users in clearly_fewer)


def point_of(step: StepFigures, limit: LimitSpec) -> Point | None:
    """An open step for the fit; None for one that must not count.

    Whichever of latency and errors is nearer to its limit stands for both: the error ratio is
    carried over to the share that would be as far from its own limit.
    """
    if step.mode != "open" or step.verdict == "invalid" or step.rate_per_s is None:
        return None
    if step.over_limit_ratio is None or step.design_effect is None:
        return None
    allowed = 1 - PERCENTILES[limit.percentile]
    if limit.max_error_ratio > 0:
        as_share = min(1.0, allowed * step.error_ratio / limit.max_error_ratio)
    else:
        as_share = float(step.error_ratio > 0)
    share = max(step.over_limit_ratio, as_share)
    return Point(step.rate_per_s, step.n, share, step.design_effect)


def is_set_by_errors(steps: Sequence[StepFigures], limit: LimitSpec) -> bool:
    """Whether errors come near their limit at a load whose latency is within its own."""
    return any(
        step.mode == "open"
        and step.verdict != "invalid"
        and step.error_ratio > NEAR_ERRORS * limit.max_error_ratio
        and (step.latency_ms or math.inf) <= (limit.latency_ms or math.inf)
        for step in steps
    )


def cliff(steps: Sequence[StepFigures], limit: LimitSpec) -> tuple[float, float] | None:
    """(highest rate within, lowest rate over), per second, where nothing lies between; or None."""
    points = [
        point
        for step in steps
        if (point := point_of(step, limit)) is not None
        and point.n >= CLIFF_INDEPENDENT * point.design_effect
    ]
    allowed = 1 - PERCENTILES[limit.percentile]
    within = [x.rate_per_s for x in points if x.over_ratio <= CLIFF_WITHIN * allowed]
    over = [x.rate_per_s for x in points if x.over_ratio >= CLIFF_OVER]
    if not within or not over or not max(within) < min(over):
        return None
    return (max(within), min(over)) if min(over) <= CLIFF_GAP_RATIO * max(within) else None


def open_maximum(
    steps: Sequence[StepFigures], limit: LimitSpec, queue: QueueModel | None = None
) -> tuple[Maximum | None, list[Doubt]]:
    """The maximum that a search's steps show, if they do, and the doubts on it; `queue` as of
    `learn`."""
    known = learn(steps, limit, queue)
    opened = [step for step in steps if point_of(step, limit) is not None]
    if known is None or known.boundary is None:
        return None, []
    confirmation, boundary = opened[-1], known.boundary
    found = _search_doubts(opened, known, limit)
    asked = [step for step in steps if step.mode == "open"]
    if asked[-1] is not confirmation:
        found.append(doubts.confirmation_lost(asked[-1].label))
    gap = cliff(steps, limit)
    if gap is not None:
        at = next(step for step in opened if step.rate_per_s == gap[0])
        return Maximum(gap[0], gap, "bracket", at), found
    if all(step.is_within for step in opened) and _reached_top(opened, known):
        best = max(opened, key=lambda step: step.rate_per_s or 0)
        return Maximum(best.achieved_per_s, (best.achieved_per_s, None), "at_least", best), found
    beyond = [step.rate_per_s or 0 for step in asked if is_beyond_generator(step)]
    if all(step.is_within for step in opened) and beyond:
        best = max(opened, key=lambda step: step.rate_per_s or 0)
        found.append(doubts.generator_ended(min(beyond)))
        return Maximum(best.achieved_per_s, (best.achieved_per_s, None), "at_least", best), found
    wanted_s = _wanted_s(opened, boundary, limit)
    if wanted_s is not None:
        return None, [doubts.budget_too_short(wanted_s)]
    ci = (boundary.low_per_s, boundary.high_per_s)
    return Maximum(boundary.rate_per_s, ci, "estimate", confirmation), found


def _wanted_s(opened: Sequence[StepFigures], boundary: Boundary, limit: LimitSpec) -> float | None:
    """How much open traffic a claim would take; None where what there was carries one."""
    spent_s = sum(step.window_s for step in opened)
    independent = sum(step.n / (step.design_effect or 1.0) for step in opened)
    beyond = independent * (1 - PERCENTILES[limit.percentile])
    if beyond < FEWEST_BEYOND:
        return spent_s * WANTED_BEYOND / max(beyond, 0.01)
    if boundary.relative_sd > MOST_RELATIVE_SD:
        return spent_s * (boundary.relative_sd / WANTED_RELATIVE_SD) ** 2
    return None


def _reached_top(opened: Sequence[StepFigures], known: Knowledge) -> bool:
    """Whether the open steps went as high as the closed probe had seen, where that is no limit."""
    highest = max(step.rate_per_s or 0 for step in opened)
    return not known.is_capacity and highest >= NEAR_TOP_RATIO * known.capacity_per_s


def _search_doubts(
    opened: Sequence[StepFigures], known: Knowledge, limit: LimitSpec
) -> list[Doubt]:
    boundary, confirmation = known.boundary, opened[-1]
    assert boundary is not None
    found = []
    if confirmation.window_s < SOAK_S:
        found.append(doubts.not_soaked(confirmation.window_s))
    ratio = boundary.rate_per_s / known.prediction.rate_per_s
    off = abs(math.log(ratio))
    if known.prediction.servers and off > max(
        DISAGREES_SDS * boundary.relative_sd, DISAGREES_RATIO
    ):
        found.append(doubts.model_disagrees(ratio))
    point = point_of(confirmation, limit)
    assert point is not None
    excess = Excess(point.n, point.over_ratio, point.design_effect)
    if settled(excess, PERCENTILES[limit.percentile]) == "over":
        found.append(doubts.not_confirmed(confirmation.label))
    return found
