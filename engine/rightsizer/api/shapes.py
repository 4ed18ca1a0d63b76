"""Requests and answers by botocore's own service models, which are the authority for shapes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache, lru_cache
from typing import Any

import regex
from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape

from rightsizer.api.faults import ApiFault, violations

SERVICES = {"SageMaker": "sagemaker", "Logs_20140328": "logs"}
"""Targets' prefixes, and the services that they mean."""
OTHER_SCHEMES = ("file://", "http://")
MATCH_S = 1.0
"""A pattern that takes longer counts as not met."""
LOCATIONS = ("S3Uri", "Url", "ModelPackageSourceUri")
"""Shapes whose pattern allows https:// and s3:// alone. Other schemes are judged where an address
is read: file:// in allowed folders, http:// at the S3 endpoint."""


@lru_cache
def service_model(service: str) -> ServiceModel:
    """The service model of `sagemaker` or `logs`; the first time takes about a second."""
    return ServiceModel(Loader().load_service_model(service, "service-2"), service)


def operation_model(target: str) -> OperationModel | None:
    """The operation of `SageMaker.CreateModel`; None where the services have none of that name."""
    prefix, _, name = target.partition(".")
    service = SERVICES.get(prefix)
    if service is None or name not in service_model(service).operation_names:
        return None
    return service_model(service).operation_model(name)


def read(target: str, document: Any) -> dict[str, Any]:
    """An operation's input, checked: members that the shape does not know are dropped, timestamps
    are seconds since the epoch.

    Raises:
        ApiFault: SerializationException of a wrong type; ValidationException with every constraint
            that is broken, in the reference service's words.
    """
    shape = _operation(target).input_shape
    if not isinstance(document, dict):
        raise ApiFault("SerializationException", "the body must be a JSON object")
    if shape is None:
        return {}
    found: dict[str, Any] = _read(shape, document, "")
    if problems := list(_problems(shape, found, "")):
        raise violations(problems)
    return found


def _operation(target: str) -> OperationModel:
    found = operation_model(target)
    if found is None:
        raise LookupError(target)
    return found


# -- types -------------------------------------------------------------------------------------


def _read(shape: Shape, value: Any, at: str) -> Any:
    """The value as its shape's type; null members count as not given."""
    match shape.type_name, value:
        case "structure", dict():
            assert isinstance(shape, StructureShape)
            return {
                name: _read(member, value[name], _member(at, name))
                for name, member in shape.members.items()
                if value.get(name) is not None
            }
        case "list", list():
            assert isinstance(shape, ListShape)
            return [
                _read(shape.member, item, f"{at}.{number}.member")
                for number, item in enumerate(value, start=1)
            ]
        case "map", dict():
            assert isinstance(shape, MapShape)
            return {
                str(key): _read(shape.value, item, f"{at}.{key}.member")
                for key, item in value.items()
            }
        case "string", str():
            return value
        case "boolean", bool():
            return value
        case "integer" | "long", int() if not isinstance(value, bool):
            return value
        case "float" | "double", int() | float() if not isinstance(value, bool):
            return float(value)
        case "timestamp", _:
            return _timestamp(value, at)
    raise _not_of_type(shape, value, at)


def _timestamp(value: Any, at: str) -> float:
    try:
        if isinstance(value, str):
            return datetime.fromisoformat(value).timestamp()
        if not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    except (TypeError, ValueError, OverflowError):
        pass
    raise ApiFault("SerializationException", f"{at or 'the body'} is no timestamp")


def _not_of_type(shape: Shape, value: Any, at: str) -> ApiFault:
    article = "an" if shape.type_name[0] in "aeiou" else "a"
    given = {"dict": "structure", "str": "string", "bool": "boolean", "int": "integer"}
    kind = given.get(type(value).__name__, type(value).__name__)
    what = f"{at or 'the body'} must be {article} {shape.type_name}, not {kind}"
    return ApiFault("SerializationException", what)


def _member(at: str, name: str) -> str:
    lower = name[:1].lower() + name[1:]
    return f"{at}.{lower}" if at else lower


# -- constraints -------------------------------------------------------------------------------


def _problems(shape: Shape, value: Any, at: str) -> Iterator[str]:
    if isinstance(shape, StructureShape):
        for name in shape.required_members:
            if name not in value:
                yield _broken(None, _member(at, name), "Member must not be null")
        for name, item in value.items():
            yield from _problems(shape.members[name], item, _member(at, name))
        return
    yield from _size_problems(shape, value, at)
    if isinstance(shape, ListShape):
        for number, item in enumerate(value, start=1):
            yield from _problems(shape.member, item, f"{at}.{number}.member")
    elif isinstance(shape, MapShape):
        for key, item in value.items():
            yield from _problems(shape.key, key, at)
            yield from _problems(shape.value, item, f"{at}.{key}.member")
    elif shape.type_name == "string":
        yield from _text_problems(shape, value, at)


def _size_problems(shape: Shape, value: Any, at: str) -> Iterator[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    is_number = shape.type_name in ("integer", "long", "float", "double")
    size = value if is_number else len(value) if isinstance(value, str | list | dict) else None
    if size is None:
        return
    what = "have value" if is_number else "have length"
    if low is not None and size < low:
        yield _broken(value, at, f"Member must {what} greater than or equal to {low}")
    if high is not None and size > high:
        yield _broken(value, at, f"Member must {what} less than or equal to {high}")


def _text_problems(shape: Any, value: str, at: str) -> Iterator[str]:
    if shape.enum and value not in shape.enum:
        allowed = ", ".join(shape.enum)
        yield _broken(value, at, f"Member must satisfy enum value set: [{allowed}]")
    pattern, most = shape.metadata.get("pattern"), shape.metadata.get("max", math.inf)
    if pattern is None or (shape.name in LOCATIONS and value.startswith(OTHER_SCHEMES)):
        return
    # What is too long anyway is not matched: that may take for ever.
    if len(value) <= most and not _matches(pattern, value):
        yield _broken(value, at, f"Member must satisfy regular expression pattern: {pattern}")


def _matches(pattern: str, value: str) -> bool:
    try:
        return _compiled(pattern).fullmatch(value, timeout=MATCH_S) is not None
    except TimeoutError:
        return False


@cache
def _compiled(pattern: str) -> Any:
    """The model's patterns are Java's; `regex` knows what those of our operations use."""
    return regex.compile(pattern)


def _broken(value: Any, at: str, constraint: str) -> str:
    said = "null" if value is None else str(value)
    given = f"Value {said}" if value is None else f"Value '{said[:100]}'"
    return f"{given} at '{at}' failed to satisfy constraint: {constraint}"


# -- answers -----------------------------------------------------------------------------------


def write(target: str, answer: Mapping[str, Any]) -> bytes:
    """An operation's output as JSON; empty where it has none.

    Raises:
        ValueError: it is not of the output's shape, which is a bug of ours.
    """
    shape = _operation(target).output_shape
    if shape is None:
        return b""
    return json.dumps(_written(shape, answer, "")).encode()


def _written(shape: Shape, value: Any, at: str) -> Any:
    match shape.type_name, value:
        case "structure", Mapping():
            assert isinstance(shape, StructureShape)
            given = {name: item for name, item in value.items() if item is not None}
            if unknown := set(given) - set(shape.members):
                raise ValueError(f"{at}: unknown members {', '.join(sorted(unknown))}")
            if missing := set(shape.required_members) - set(given):
                raise ValueError(f"{at}: without {', '.join(sorted(missing))}")
            return {
                name: _written(shape.members[name], item, f"{at}.{name}")
                for name, item in given.items()
            }
        case "list", list() | tuple():
            assert isinstance(shape, ListShape)
            return [_written(shape.member, item, f"{at}[]") for item in value]
        case "map", Mapping():
            assert isinstance(shape, MapShape)
            return {key: _written(shape.value, item, f"{at}{{}}") for key, item in value.items()}
        case "string", str():
            return value
        case "boolean", bool():
            return value
        case "integer" | "long", int() if not isinstance(value, bool):
            return value
        case "float" | "double" | "timestamp", int() | float() if not isinstance(value, bool):
            return float(value)
    raise ValueError(f"{at} is {type(value).__name__}, not {shape.type_name}")
