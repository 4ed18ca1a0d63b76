"""Payloads as TensorFlow Serving's gRPC takes them: a `PredictRequest`, encoded once. Pure.

Only what one request needs of tensorflow_serving/apis/predict.proto and model.proto and of
tensorflow/core/framework/tensor.proto, in protobuf's wire format (its encoding.md): a field is a
key, then a varint, or a length and so many bytes.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from rightsizer.errors import InputError
from rightsizer.payloads import Payload

NPY = "application/x-npy"
JSON = "application/json"

_STRING = 7
_TYPES = {
    "float32": 1, "float64": 2, "int32": 3, "uint8": 4, "int16": 5, "int8": 6, "complex64": 8,
    "int64": 9, "bool": 10, "uint16": 17, "complex128": 18, "float16": 19, "uint32": 22,
    "uint64": 23,
}  # fmt: skip
"""DataType of types.proto by numpy's names."""

_Array = npt.NDArray[np.generic]


def predict_request(model: str, signature: str, name: str, tensor: bytes) -> bytes:
    """A PredictRequest with one input, `name`."""
    spec = _text(1, model) + _text(3, signature)
    return _bytes(1, spec) + _bytes(2, _text(1, name) + _bytes(2, tensor))


def tensor_of(payload: Payload) -> bytes:
    """A payload's TensorProto, by its content type.

    `application/x-npy`: the array as it lies in the file, its first axis the batch.
    `application/json`: one row, of text or, as 32-bit floats, of numbers. Any other: one row, the
    file itself as a string.

    Raises:
        InputError: the file cannot be read as what it is said to be.
    """
    if payload.content_type == NPY:
        return _array(payload, _loaded(payload))
    if payload.content_type == JSON:
        return _row(payload)
    return _strings([1], [payload.body])


def _loaded(payload: Payload) -> _Array:
    try:
        array: _Array = np.load(io.BytesIO(payload.body), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise _unreadable(payload, str(error), "write it with numpy.save") from None
    return array


def _row(payload: Payload) -> bytes:
    try:
        parsed = json.loads(payload.body)
        value = np.asarray(parsed)
        elements = np.asarray(parsed, dtype=object)
    except ValueError as error:
        raise _unreadable(payload, str(error), "mend it or its content type") from None
    if all(isinstance(element, str) for element in elements.flat):
        return _strings([1, *value.shape], [element.encode() for element in elements.flat])
    if value.dtype.kind not in "iuf":
        why = "it holds neither numbers alone nor text alone"
        raise _unreadable(payload, why, f"give an array of one kind, or {NPY}")
    return _array(payload, value.astype(np.float32)[np.newaxis])


def _array(payload: Payload, array: _Array) -> bytes:
    dtype = _TYPES.get(array.dtype.name)
    if dtype is None:
        why = f"there is no tensor of {array.dtype}"
        raise _unreadable(payload, why, "convert it with astype before numpy.save")
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return _head(dtype, array.shape) + (_bytes(4, little.tobytes()) if array.size else b"")


def _strings(shape: Iterable[int], texts: Iterable[bytes]) -> bytes:
    return _head(_STRING, shape) + b"".join(_bytes(8, text) for text in texts)


def _head(dtype: int, shape: Iterable[int]) -> bytes:
    dims = b"".join(_bytes(2, _varint(1 << 3) + _varint(size)) for size in shape)
    return _varint(1 << 3) + _varint(dtype) + _bytes(2, dims)


def _unreadable(payload: Payload, why: str, todo: str) -> InputError:
    return InputError(f"payload {payload.name} is {payload.content_type}, unreadable", why, todo)


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
