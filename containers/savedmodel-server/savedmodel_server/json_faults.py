"""Why a predict body does not fit its signature, in TensorFlow Serving's words.

The walk visits elements one by one in the order TensorFlow Serving does (util/json_tensor.cc), so
that both name the same first fault. It runs only for bodies already known to be faulty.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from savedmodel_server.errors import Code, ServingError, invalid
from savedmodel_server.json_leaves import (
    FLOATS,
    NUMPY_TYPES,
    decode_base64,
    is_base64_object,
    leaf_types,
)
from savedmodel_server.json_text import debug_text
from savedmodel_server.signature import Signature


def explain_instances(instances: list[Any], signature: Signature) -> ServingError:
    """The first fault of an `instances` list."""
    named = isinstance(instances[0], dict) and not is_base64_object(instances[0])
    shapes: dict[str, list[int]] = {}
    for index, item in enumerate(instances):
        is_object = isinstance(item, dict) and not is_base64_object(item)
        if named and not is_object:
            return invalid(f"Expecting object but got list at item {index} of input list")
        if is_object and not named:
            return invalid(f"Expecting value/list but got object at item {index} of input list")
        members = item if named else {next(iter(signature.inputs)): item}
        for name, value in members.items():
            fault = _item_fault(value, name, signature, shapes)
            if fault:
                key = f" key: {name}" if named else ""
                return invalid(
                    f"Failed to process element: {index}{key} of 'instances' list. "
                    f"Error: {fault.code.name}: {fault.message}"
                )
        if named and members.keys() != signature.inputs.keys():
            return invalid(
                f"Failed to process element: {index} of 'instances' list. "
                f"JSON object: {debug_text(item)} keys must be equal to: "
                f"{','.join(sorted(signature.inputs))}"
            )
    return invalid("'instances' does not fit the signature")


def explain_tensor(value: Any, dtype: str) -> ServingError:
    """The first fault of one tensor of `inputs`."""
    return _fault(value, 0, dtype, _shape(value)) or invalid("'inputs' does not fit the signature")


def _item_fault(
    value: Any, name: str, signature: Signature, shapes: dict[str, list[int]]
) -> ServingError | None:
    if name not in signature.inputs:
        return invalid(f"JSON object: does not have named input: {name}")
    shape = _shape(value)
    if fault := _fault(value, 0, signature.inputs[name].dtype, shape):
        return fault
    expected = shapes.setdefault(name, shape)
    if _size(shape) != _size(expected):
        return invalid(f"Expecting tensor size: {_size(expected)} but got: {_size(shape)}")
    if shape != expected:
        return invalid(f"Expecting shape {_brackets(expected)} but got: {_brackets(shape)}")
    return None


def _fault(value: Any, level: int, dtype: str, shape: list[int]) -> ServingError | None:
    rank = len(shape)
    if not isinstance(value, list):
        if level != rank:
            return invalid(
                f"JSON Value: {debug_text(value)} found at incorrect level: {level + 1} "
                f"in the JSON DOM. Expected at level: {rank}"
            )
        return _leaf_fault(value, dtype)
    if level >= rank:
        return invalid(f"Encountered list at unexpected level: {level} expected < {rank}")
    if len(value) != shape[level]:
        return invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} "
            f"expected size: {shape[level]}"
        )
    faults = (_fault(item, level + 1, dtype, shape) for item in value)
    return next((fault for fault in faults if fault), None)


def _leaf_fault(value: Any, dtype: str) -> ServingError | None:
    if isinstance(value, dict) and dtype == "string":
        if not is_base64_object(value):
            return invalid(
                f"JSON Value: {debug_text(value)} not formatted correctly for base64 data"
            )
        try:
            decode_base64(value["b64"])
        except ValueError:
            return invalid("Unable to base64 decode")
        return None
    if not leaf_types(dtype) and not isinstance(value, dict):
        shown = debug_text(value)
        return ServingError(
            Code.UNIMPLEMENTED, f"Conversion of JSON Value: {shown} to type: {dtype}"
        )
    if type(value) in leaf_types(dtype) and _in_range(value, dtype):
        return None
    return invalid(
        f"JSON Value: {debug_text(value)} Type: {_json_type(value)} "
        f"is not of expected type: {dtype}"
    )


def _in_range(value: Any, dtype: str) -> bool:
    if dtype in FLOATS or not isinstance(value, int) or dtype == "bool":
        return True
    limits = np.iinfo(NUMPY_TYPES[dtype])  # type: ignore[type-var]
    return bool(limits.min <= value <= limits.max)


def _json_type(value: Any) -> str:
    if value is None:
        return "Null"
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, str):
        return "String"
    return "Object" if isinstance(value, dict) else "Number"


def _shape(value: Any) -> list[int]:
    """The shape its first elements suggest."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        value = value[0] if value else None
    return shape


def _size(shape: list[int]) -> int:
    return int(np.prod(shape, dtype=np.int64))


def _brackets(shape: list[int]) -> str:
    return "[" + ",".join(map(str, shape)) + "]"
