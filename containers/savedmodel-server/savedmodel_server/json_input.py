"""TensorFlow Serving's predict bodies: JSON to arrays, and its words for what is wrong with them.

The arrays are made by C loops over whole levels of nesting; only when one of those finds something
odd is the body walked element by element, to name the first fault as TensorFlow Serving would.
"""

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Mapping
from itertools import chain
from typing import Any

import numpy as np

from savedmodel_server.errors import invalid
from savedmodel_server.json_faults import explain_instances, explain_tensor
from savedmodel_server.json_leaves import (
    NUMPY_TYPES,
    decode_base64,
    is_base64_object,
    leaf_types,
)
from savedmodel_server.json_text import debug_text
from savedmodel_server.signature import Array, Signature

_BLANK = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()

# What Python's parser says, in rapidjson's words.
_REASONS = (
    ("Expecting property name", "Missing a name for object member."),
    ("Expecting ':' delimiter", "Missing a colon after a name of object member."),
    ("Unterminated string", "Missing a closing quotation mark in string."),
    ("Invalid \\\\escape", "Invalid escape character in string."),
    ("Invalid \\\\uXXXX", "Incorrect hex digit after \\u escape in string."),
)


def parse(body: bytes) -> dict[str, Any]:
    """The object in a request body. What follows it is not looked at.

    Raises:
        ServingError: no JSON, or no object.
    """
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _parse_error("Invalid encoding in string.", error.start) from None
    blank = _BLANK.match(text)
    start = blank.end() if blank else 0
    if start == len(text):
        raise _parse_error("The document is empty.", len(body))
    try:
        document, _ = _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise _parse_error(_reason(error), len(text[: error.pos].encode())) from None
    except RecursionError:
        raise invalid("JSON Parse error: nested too deeply") from None
    except ValueError:  # more digits than Python turns into an integer
        raise _parse_error("Number too big to be stored in double.", start) from None
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {debug_text(document)} Is not object")
    return document


def _parse_error(reason: str, offset: int) -> Exception:
    return invalid(f"JSON Parse error: {reason} at offset: {offset}")


def _reason(error: json.JSONDecodeError) -> str:
    if error.msg.startswith("Expecting ',' delimiter"):
        return _missing_comma(error.doc[: error.pos])
    return next(
        (ours for theirs, ours in _REASONS if error.msg.startswith(theirs)), "Invalid value."
    )


def _missing_comma(before: str) -> str:
    """Which bracket is open decides what could have followed the comma."""
    open_brackets: list[str] = []
    for char in re.sub(r'"(?:[^"\\]|\\.)*"', "", before):
        if char in "[{":
            open_brackets.append(char)
        elif char in "]}":
            open_brackets.pop()
    if open_brackets[-1] == "{":
        return "Missing a comma or } after an object member."
    return "Missing a comma or ] after an array element."


def signature_name(document: Mapping[str, Any]) -> str:
    """The signature a request asks for; empty for the default one."""
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {debug_text(document)} not formatted correctly. "
            "'signature_name' key must be a string value."
        )
    return name


def read_inputs(
    document: Mapping[str, Any], name: str, signature: Signature
) -> tuple[dict[str, Array], bool]:
    """The tensors of a request, and whether it gives them by rows (`instances`).

    Raises:
        ServingError: the request does not fit the signature.
    """
    if not signature.inputs:
        raise invalid(f"Failed to get input map for signature: {name or 'DEFAULT'}")
    if "instances" not in document:
        if "inputs" not in document:
            raise invalid("Missing 'inputs' or 'instances' key")
        return _from_inputs(document["inputs"], signature), False
    shown = f"JSON Value: {debug_text(document)}" if _is_malformed(document) else ""
    if "inputs" in document:
        raise invalid(
            f"{shown} Not formatted correctly expecting only one of 'inputs' or 'instances' keys"
            " to exist "
        )
    instances = document["instances"]
    if not isinstance(instances, list):
        raise invalid(f"{shown} Expecting 'instances' to be an list/array")
    if not instances:
        raise invalid(f"{shown} No values in 'instances' array")
    return _from_instances(instances, signature), True


def _is_malformed(document: Mapping[str, Any]) -> bool:
    instances = document["instances"]
    return "inputs" in document or not isinstance(instances, list) or not instances


def _from_instances(instances: list[Any], signature: Signature) -> dict[str, Array]:
    inputs = signature.inputs
    first = instances[0]
    if not isinstance(first, dict) and len(inputs) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            "required as per tensorinfo_map"
        )
    columns: dict[str, list[Any]]
    if isinstance(first, dict) and not is_base64_object(first):
        if not all(type(item) is dict and item.keys() == inputs.keys() for item in instances):
            raise explain_instances(instances, signature)
        columns = {name: [item[name] for item in instances] for name in inputs}
    else:
        columns = {next(iter(inputs)): instances}
    arrays = {}
    for name, column in columns.items():
        array = _tensor(column, inputs[name].dtype)
        if array is None:
            raise explain_instances(instances, signature)
        arrays[name] = array
    return arrays


def _from_inputs(value: Any, signature: Signature) -> dict[str, Array]:
    inputs = signature.inputs
    if not isinstance(value, dict) or is_base64_object(value):
        if len(inputs) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors "
                "required as per tensorinfo_map"
            )
        value = {next(iter(inputs)): value}
    arrays = {}
    for name, spec in inputs.items():
        if name not in value:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
        array = _tensor(value[name], spec.dtype)
        if array is None:
            raise explain_tensor(value[name], spec.dtype)
        arrays[name] = array
    return arrays


def _tensor(value: Any, dtype: str) -> Array | None:
    """Nested lists as an array; None where something does not fit, without saying what."""
    shape = []
    level: list[Any] = [value]
    while isinstance(level[0], list):
        size = len(level[0])
        if set(map(type, level)) != {list} or set(map(len, level)) != {size}:
            return None
        shape.append(size)
        level = list(chain.from_iterable(level))
        if not level:
            break
    if not set(map(type, level)) <= leaf_types(dtype):
        return None
    return _array(level, dtype, shape)


def _array(leaves: list[Any], dtype: str, shape: list[int]) -> Array | None:
    if dtype == "string":
        flat = np.empty(len(leaves), dtype=object)
        try:
            flat[:] = [_bytes(leaf) for leaf in leaves]
        except (binascii.Error, ValueError, KeyError):
            return None
        return flat.reshape(shape)
    try:
        with np.errstate(over="ignore"):  # beyond the type's range is infinite, as in C++
            return np.array(leaves, dtype=NUMPY_TYPES[dtype]).reshape(shape)
    except OverflowError:
        return None


def _bytes(leaf: Any) -> bytes:
    if isinstance(leaf, str):
        return leaf.encode("utf-8", "surrogatepass")
    if not is_base64_object(leaf):
        raise ValueError("neither text nor base64")
    return decode_base64(leaf["b64"])
