"""Which settings of a knobs file are measured on each instance type, within so many candidates.

The grid of all combinations where there is room for it. Else a screening design: knobs that
interact in full cross, each such group in turn around the first combination, all other groups at
theirs (knobs that are not said to interact are taken not to). Else the first of that, of each type
in turn. Pure; the same input gives the same candidates in the same order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Literal

from rightsizer.combinations import Point, Setting, combinations, effective, slack_of, values_on
from rightsizer.errors import ProblemsError
from rightsizer.knobs import Knob, Knobs, Size
from rightsizer.unmet import why_unmet

Kind = Literal["none", "grid", "screening", "part"]


@dataclass(frozen=True)
class Design:
    """The settings of each instance type, the most promising first."""

    kind: Kind
    settings: Mapping[str, tuple[Setting, ...]]
    left_out: int
    """Combinations of the grid that are not measured."""
    cut: tuple[str, ...]
    """Knobs of which some value is measured nowhere."""
    groups: tuple[tuple[str, ...], ...] = ()
    """Knobs that are crossed with each other."""
    impossible: tuple[str, ...] = ()
    """Instance types on which no combination meets what is required."""

    @property
    def measured(self) -> int:
        """Settings of all instance types."""
        return sum(map(len, self.settings.values()))


def design(
    knobs: Knobs | None, sizes: Mapping[str, Size], fixed: Mapping[str, str], room: int
) -> Design:
    """Settings for each type.

    Args:
        sizes: by instance type, in the order in which types are preferred.
        fixed: variables that the job sets itself; they are not swept.
        room: candidates at the most; every type gets one, whatever it is.

    Raises:
        ProblemsError: what is required can be met on no type, or cannot be worked out.
    """
    if knobs is None:
        return Design("none", {name: ({},) for name in sizes}, 0, ())
    swept = [knob for knob in knobs.knobs if _is_swept(knob, fixed)]
    _require_values(knobs, swept, sizes)
    groups = _groups(knobs, swept)
    crossed = {
        name: [_crossed(knobs, group, size, fixed) for group in groups]
        for name, size in sizes.items()
    }
    impossible = tuple(
        name
        for name, points in crossed.items()
        # Of what is required some may be of fixed variables alone, which are in no group.
        if not all(points) or slack_of(knobs, fixed, set(fixed), sizes[name]) is None
    )
    possible = {name: points for name, points in crossed.items() if name not in impossible}
    if not possible:
        raise ProblemsError(why_unmet(knobs, groups, sizes, fixed))
    whole = sum(prod(map(len, points)) for points in possible.values())
    kind: Kind = "grid"
    if whole <= room:
        settings = {name: _grid(points) for name, points in possible.items()}
    else:
        settings = {name: _around(points) for name, points in possible.items()}
        kind = "screening"
        if sum(map(len, settings.values())) > room:
            kind, settings = "part", _first(settings, room)
    measured = sum(map(len, settings.values()))
    return Design(
        kind=kind,
        settings=settings,
        left_out=whole - measured,
        cut=tuple(k.name for k in swept if _is_cut(k.name, possible, settings)),
        groups=tuple(tuple(knob.name for knob in group) for group in groups),
        impossible=impossible,
    )


def _require_values(knobs: Knobs, swept: Sequence[Knob], sizes: Mapping[str, Size]) -> None:
    """Refuse values that cannot be worked out, all at once; raises ProblemsError."""
    problems: dict[str, None] = {}
    for knob in swept:
        for size in sizes.values():
            try:
                values_on(knob, size, knobs.source)
            except ProblemsError as error:
                problems |= dict.fromkeys(error.problems)
    if problems:
        raise ProblemsError(list(problems))


def _is_swept(knob: Knob, fixed: Mapping[str, str]) -> bool:
    return knob.name not in fixed and all(
        fixed.get(name, value) == value for name, value in knob.only_with.items()
    )


def _groups(knobs: Knobs, swept: Sequence[Knob]) -> list[list[Knob]]:
    """Knobs in the order of the file, those that have to do with each other together."""
    ties = [{knob.name, *knob.interacts_with, *knob.only_with} for knob in swept]
    ties += [set(test.names) for test in knobs.require]
    found: list[list[Knob]] = []
    left = list(swept)
    while left:
        names = {left[0].name}
        while more := set().union(*(tie for tie in ties if tie & names)) - names:
            names |= more
        found.append([knob for knob in left if knob.name in names])
        left = [knob for knob in left if knob.name not in names]
    return found


def _crossed(
    knobs: Knobs, group: Sequence[Knob], size: Size, fixed: Mapping[str, str]
) -> list[Point]:
    """All combinations of a group that meet what is required, the most promising first.

    Those that use what a `<=` allows come before those that leave some of it, and of those the
    ones whose values stand further ahead in the file; the server's own are second.
    """
    found: dict[tuple[tuple[str, str], ...], Point] = {}
    for point in combinations(knobs, group, size, fixed):
        found.setdefault(tuple(point.setting.items()), point)
    points = sorted(found.values(), key=lambda point: point.rank)
    own = {k.name: _default_on(k, size) for k in group}
    usual = effective(group, {n: v for n, v in own.items() if v is not None}, fixed)
    for point in points[1:]:
        if None not in own.values() and dict(point.setting) == usual:
            points.remove(point)
            points.insert(1, point)
            break
    return points


def _default_on(knob: Knob, size: Size) -> str | None:
    if knob.default is None or knob.texts:
        return knob.default
    [found] = [e for e in knob.values if e.text == knob.default]
    return f"{found.number(vars(size)):.12g}"


def _grid(groups: Sequence[Sequence[Point]]) -> tuple[Setting, ...]:
    """All combinations of all groups, those nearest to the first ahead."""
    ranked = sorted(product(*map(range, map(len, groups))), key=lambda at: (sum(at), at))
    return tuple(_joined(groups, at) for at in ranked)


def _around(groups: Sequence[Sequence[Point]]) -> tuple[Setting, ...]:
    """The first combination, then each group's others in turn, rank by rank."""
    depth = max(map(len, groups), default=1)
    places = [[0] * len(groups)]
    for rank in range(1, depth):
        for place, points in enumerate(groups):
            if rank < len(points):
                places.append([rank if i == place else 0 for i in range(len(groups))])
    return tuple(_joined(groups, at) for at in places)


def _joined(groups: Sequence[Sequence[Point]], places: Sequence[int]) -> Setting:
    return {
        name: value
        for points, place in zip(groups, places, strict=True)
        for name, value in points[place].setting.items()
    }


def _first(settings: Mapping[str, Sequence[Setting]], room: int) -> dict[str, tuple[Setting, ...]]:
    """So many in all, in turn of each type; of each at least one."""
    counts = dict.fromkeys(settings, 1)
    left = room - len(counts)
    for rank in range(1, max(map(len, settings.values()))):
        for name, listed in settings.items():
            if left > 0 and rank < len(listed):
                counts[name], left = rank + 1, left - 1
    return {name: tuple(listed[: counts[name]]) for name, listed in settings.items()}


def _is_cut(
    name: str,
    possible: Mapping[str, Sequence[Sequence[Point]]],
    settings: Mapping[str, Sequence[Setting]],
) -> bool:
    for kind, groups in possible.items():
        there = {point.setting.get(name) for points in groups for point in points} - {None}
        if there - {setting.get(name) for setting in settings[kind]}:
            return True
    return False
