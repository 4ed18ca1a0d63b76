"""What one element of a JSON tensor may be, by the type of the tensor."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

NUMPY_TYPES: dict[str, type[np.generic]] = {
    "float": np.float32,
    "double": np.float64,
    "int8": np.int8,
    "int16": np.int16,
    "int32": np.int32,
    "int64": np.int64,
    "uint8": np.uint8,
    "uint32": np.uint32,
    "uint64": np.uint64,
    "bool": np.bool_,
}
FLOATS = {"float", "double"}


def is_base64_object(value: Any) -> bool:
    """Whether it is `{"b64": "..."}` and nothing else."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def leaf_types(dtype: str) -> set[type]:
    """The Python types that a parsed JSON leaf of a tensor type may have."""
    if dtype in FLOATS:
        return {float, int}
    if dtype == "string":
        return {str, dict}
    if dtype == "bool":
        return {bool}
    return {int} if dtype in NUMPY_TYPES else set()


def decode_base64(text: str) -> bytes:
    """Standard base64; padding may be left out.

    Raises:
        binascii.Error: it cannot be decoded.
    """
    missing = -len(text) % 4
    return base64.b64decode(text + "=" * missing if missing else text, validate=True)
