"""Combinations of knobs on one instance type, those that meet what a knobs file requires. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

from rightsizer.errors import ProblemsError
from rightsizer.knobs import Knob, Knobs, Size

MOST_CROSSED = 10_000
"""Combinations of one group of knobs, counted before they are made."""

Setting = Mapping[str, str]
"""An environment: values by variable, those that change nothing left out."""


@dataclass(frozen=True)
class Point:
    """One combination; the lowest rank is the most promising."""

    rank: tuple[float, ...]
    setting: Setting


def values_on(knob: Knob, size: Size, source: str) -> tuple[str, ...]:
    """A knob's values on a type, each once.

    Raises:
        ProblemsError: an expression has no value, or one of the type's size is not whole.
    """
    if knob.texts:
        return knob.texts
    names = vars(size)
    try:
        found = [expression.number(names) for expression in knob.values]
    except ValueError as error:
        known = ", ".join(f"{name} {value:g}" for name, value in names.items())
        raise ProblemsError([f"{source}: {knob.name}: {error} with {known}; mend it"]) from None
    for expression, number in zip(knob.values, found, strict=True):
        if expression.names and number != int(number):
            what = f"{expression.text} comes to {number:.12g}, no whole number"
            raise ProblemsError(
                [f"{source}: {knob.name}: {what}; write ({expression.text}) // 1 to round down"]
            )
    return tuple(dict.fromkeys(f"{number:.12g}" for number in found))


def combinations(
    knobs: Knobs, group: Sequence[Knob], size: Size, fixed: Mapping[str, str]
) -> Iterator[Point]:
    """Those of a group that meet what is required, in the order of the file."""
    values = [values_on(knob, size, knobs.source) for knob in group]
    if (count := prod(map(len, values))) > MOST_CROSSED:
        named = ", ".join(knob.name for knob in group)
        raise ProblemsError(
            [f"{knobs.source}: {named} interact in {count} combinations; list fewer values"]
        )
    for places in product(*(range(len(listed)) for listed in values)):
        all_set = {k.name: v[at] for k, v, at in zip(group, values, places, strict=True)}
        setting = effective(group, all_set, fixed)
        slack = slack_of(knobs, {**fixed, **setting}, {k.name for k in group}, size)
        if slack is not None:
            yield Point((round(slack, 9), sum(places), *places), setting)


def effective(
    group: Sequence[Knob], values: Mapping[str, str], fixed: Mapping[str, str]
) -> dict[str, str]:
    """The variables that change something beside the others."""
    known = {**fixed, **values}
    return {
        knob.name: values[knob.name]
        for knob in group
        if knob.name in values and all(known.get(n) == v for n, v in knob.only_with.items())
    }


def slack_of(knobs: Knobs, values: Mapping[str, str], group: set[str], size: Size) -> float | None:
    """What a combination leaves unused; None where it is not allowed."""
    numbers = dict(vars(size))
    for name in {name for test in knobs.require for name in test.names} & set(values):
        try:
            numbers[name] = float(values[name])
        except ValueError:
            raise ProblemsError(
                [f"server.environment.{name} must be a number: {knobs.source} compares it"]
            ) from None
    slack = 0.0
    for test in knobs.require:
        if test.names & group and test.names <= numbers.keys():
            try:
                if not test.holds(numbers):
                    return None
                slack += test.slack(numbers)
            except ValueError as error:
                raise ProblemsError([f"{knobs.source}: require: {test.text}: {error}"]) from None
    return slack
