"""What a shape of the service model asks of a value beside its type: sizes, patterns, enums."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import regex
from botocore.model import ListShape, MapShape, Shape, StructureShape

OTHER_SCHEMES = ("file://", "http://")
MATCH_S = 1.0
"""A pattern that takes longer counts as not met."""
LOCATIONS = ("S3Uri", "Url", "ModelPackageSourceUri")
"""Shapes whose pattern allows https:// and s3:// alone. Other schemes are judged where an address
is read: file:// in allowed folders, http:// at the S3 endpoint."""


ENUM_MOST = 20
"""Values of an enum that are told whole; of a longer one the first few."""
ENUM_SHOWN = 3


def member_path(at: str, name: str) -> str:
    """A member of what lies at a path, as errors name it: `inputConfig.endpoints`."""
    lower = name[:1].lower() + name[1:]
    return f"{at}.{lower}" if at else lower


def problems_of(shape: Shape, value: Any, at: str = "") -> Iterator[str]:
    """The constraints that a value breaks, in the reference service's words.

    Members of lists and maps are told each by its own path, where the reference says only that one
    of them is wrong.
    """
    if isinstance(shape, StructureShape):
        for name in shape.required_members:
            if name not in value:
                yield _broken(None, member_path(at, name), "Member must not be null")
        for name, item in value.items():
            yield from problems_of(shape.members[name], item, member_path(at, name))
        return
    yield from _size_problems(shape, value, at)
    if isinstance(shape, ListShape):
        for number, item in enumerate(value, start=1):
            yield from problems_of(shape.member, item, f"{at}.{number}.member")
    elif isinstance(shape, MapShape):
        for key, item in value.items():
            yield from problems_of(shape.key, key, at)
            yield from problems_of(shape.value, item, f"{at}.{key}.member")
    elif shape.type_name == "string":
        yield from _text_problems(shape, value, at)


def _size_problems(shape: Shape, value: Any, at: str) -> Iterator[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    is_number = shape.type_name in ("integer", "long")
    if not is_number and not isinstance(value, str | list | dict):
        return
    size = value if is_number else len(value)
    what = "have value" if is_number else "have length"
    if low is not None and size < low:
        yield _broken(value, at, f"Member must {what} greater than or equal to {low}")
    if high is not None and size > high:
        yield _broken(value, at, f"Member must {what} less than or equal to {high}")


def _text_problems(shape: Any, value: str, at: str) -> Iterator[str]:
    if shape.enum and value not in shape.enum:
        allowed = _shortened(shape.enum)
        yield _broken(value, at, f"Member must satisfy enum value set: [{allowed}]")
    pattern, most = shape.metadata.get("pattern"), shape.metadata.get("max", math.inf)
    if pattern is None or (shape.name in LOCATIONS and value.startswith(OTHER_SCHEMES)):
        return
    # What is too long anyway is not matched: that may take for ever.
    if len(value) <= most and not _matches(pattern, value):
        yield _broken(value, at, f"Member must satisfy regular expression pattern: {pattern}")


def is_long(problem: str) -> bool:
    """Whether it tells of an enum that was shortened: such are told last."""
    return problem.endswith(" more]")


def _shortened(values: Sequence[str]) -> str:
    """Some enums have hundreds of values, and a message has room for other problems too."""
    if len(values) <= ENUM_MOST:
        return ", ".join(values)
    return f"{', '.join(values[:ENUM_SHOWN])}, ..., and {len(values) - ENUM_SHOWN} more"


def _matches(pattern: str, value: str) -> bool:
    try:
        return _compiled(pattern).fullmatch(value, timeout=MATCH_S) is not None
    except TimeoutError:
        return False


@cache
def _compiled(pattern: str) -> Any:
    """The model's patterns are Java's: \\d, \\w and \\s are ASCII's there, \\p{..} is not."""
    return regex.compile(pattern, 0 if r"\p{" in pattern else regex.ASCII)


def _broken(value: Any, at: str, constraint: str) -> str:
    given = "Value null" if value is None else f"Value '{str(value)[:100]}'"
    return f"{given} at '{at}' failed to satisfy constraint: {constraint}"
