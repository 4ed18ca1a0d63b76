"""What the numbers of a recorded load must be. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from pydantic import WithJsonSchema

MAX_TRACE_LINES = 200_000


def instants_s(values: Any) -> tuple[float, ...]:
    """A trace's arrival times, s; raises ValueError unless they are finite, >= 0 and ascend."""
    numbers = _trace_numbers(values, "an arrival time")
    if any(later < earlier for earlier, later in pairwise(numbers)):
        raise ValueError("arrival times must ascend")
    return numbers


def counts_per_min(values: Any) -> tuple[int, ...]:
    """A trace's requests minute by minute; raises ValueError unless they are whole and >= 0."""
    numbers = _trace_numbers(values, "a count")
    if any(number != int(number) for number in numbers):
        raise ValueError("requests per minute must be whole numbers")
    if not any(numbers):
        raise ValueError("a trace without a request")
    return tuple(int(number) for number in numbers)


def _trace_numbers(values: Any, what: str) -> tuple[float, ...]:
    if not isinstance(values, list | tuple) or not values:
        raise ValueError("give the path of a file, or a list of numbers")
    if len(values) > MAX_TRACE_LINES:
        raise ValueError(f"{len(values)} numbers are over {MAX_TRACE_LINES}; shorten the trace")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{what} must be a number, not {value!r}")
        if not (0 <= value < math.inf):
            raise ValueError(f"{what} must be at least 0, not {value!r}")
    return tuple(float(value) for value in values)


def or_file(check: Callable[[Any], tuple[float, ...]]) -> Callable[[Any], Any]:
    """A check that lets the name of a file pass: its numbers are checked once they are read."""

    def checked(value: Any) -> Any:
        return value if value is None or (isinstance(value, str) and value) else check(value)

    return checked


def numbers_schema(item: str) -> WithJsonSchema:
    """A file's name or a list of numbers, for the published schema."""
    numbers = {"type": "array", "items": {"type": item, "minimum": 0}, "minItems": 1}
    return WithJsonSchema({"anyOf": [{"type": "string"}, numbers, {"type": "null"}]})
