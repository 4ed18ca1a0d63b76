"""Which of several choices are worth a look: those that no other beats in both respects. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """The places of the Pareto front of (cost, latency), where less is better, cheapest first.

    A point is on it if no other is as good in both and better in one. Equal points are all on it.
    """
    order = sorted(range(len(points)), key=lambda place: points[place])
    found: list[int] = []
    for place in order:
        cost, latency = points[place]
        if not found:
            found.append(place)
            continue
        least_cost, least = points[found[-1]]
        if latency < least or (cost == least_cost and latency == least):
            found.append(place)
    return found
