"""Requests and answers by botocore's own service models, which are the authority for shapes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from itertools import islice
from typing import Any

from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape

from rightsizer.api.constraints import is_long, member_path, problems_of
from rightsizer.api.faults import ApiFault, violations

SERVICES = {"SageMaker": "sagemaker", "Logs_20140328": "logs"}
"""Targets' prefixes, and the services that they mean."""
PROBLEMS_MOST = 50
"""A body may break more constraints than anybody reads."""
BITS = {"integer": 32, "long": 64}


@cache
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
        ApiFault: SerializationException of a wrong type; ValidationException with the constraints
            that are broken.
    """
    shape = _operation(target).input_shape
    if not isinstance(document, dict):
        raise ApiFault("SerializationException", "the body must be a JSON object")
    if shape is None:
        return {}
    found: dict[str, Any] = _read(shape, document, "")
    if problems := list(islice(problems_of(shape, found), PROBLEMS_MOST)):
        raise violations(sorted(problems, key=is_long))
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
                name: _read(member, value[name], member_path(at, name))
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
                _text(key, at): _read(shape.value, item, f"{at}.{key}.member")
                for key, item in value.items()
            }
        case "string", str():
            return _text(value, at)
        case "boolean", bool():
            return value
        case "integer" | "long", int() if not isinstance(value, bool):
            return _integer(value, BITS[shape.type_name], at)
        case "timestamp", _:
            return _timestamp(value, at)
    raise _not_of_type(shape, value, at)


def _text(value: str, at: str) -> str:
    """JSON's escapes can say half a character, which nothing can keep."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ApiFault("SerializationException", f"{at} is no Unicode text") from None
    return value


def _integer(value: int, bits: int, at: str) -> int:
    if value.bit_length() >= bits:
        raise ApiFault("SerializationException", f"{at} is no integer of {bits} bits")
    return value


def _timestamp(value: Any, at: str) -> float:
    """Seconds since the epoch, as a number or an ISO 8601 string; UTC unless it says otherwise."""
    try:
        if isinstance(value, str):
            given = datetime.fromisoformat(value)
            return (given if given.tzinfo else given.replace(tzinfo=UTC)).timestamp()
        if not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    except (TypeError, ValueError, OverflowError):
        pass
    raise ApiFault("SerializationException", f"{at} is no timestamp")


def _not_of_type(shape: Shape, value: Any, at: str) -> ApiFault:
    given = {dict: "structure", str: "string", bool: "boolean", int: "integer", type(None): "null"}
    kind = given.get(type(value), type(value).__name__)
    article = "an" if shape.type_name == "integer" else "a"
    what = f"{at} must be {article} {shape.type_name}, not {kind}"
    return ApiFault("SerializationException", what)


# -- answers -----------------------------------------------------------------------------------


def write(target: str, answer: Mapping[str, Any]) -> bytes:
    """An operation's output as JSON; empty where it has none.

    Raises:
        ValueError: it is not of the output's shape, which is a bug of ours.
    """
    shape = _operation(target).output_shape
    if shape is None:
        if answer:
            raise ValueError(f"{target} answers nothing, not {', '.join(answer)}")
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
            return {
                _written(shape.key, key, f"{at}{{}}"): _written(shape.value, item, f"{at}{{}}")
                for key, item in value.items()
            }
        case ("string", str()) | ("boolean", bool()):
            return value
        case "integer" | "long", int() if not isinstance(value, bool):
            return value
        case "float" | "double", int() | float() if not isinstance(value, bool):
            return float(value)  # NaN stands for what was not measured
        case "timestamp", int() | float() if not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    raise ValueError(f"{at} is {type(value).__name__}, not {shape.type_name}")
