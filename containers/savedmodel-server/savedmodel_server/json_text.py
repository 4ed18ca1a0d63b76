"""JSON written as TensorFlow Serving writes it: in error messages, and as the bodies of answers."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from savedmodel_server.errors import invalid
from savedmodel_server.signature import Array

DEBUG_LIMIT = 256
_INDENT = "    "


def debug_text(value: object) -> str:
    """A parsed JSON value for an error message, cut at 256 characters.

    Objects are spread over lines and arrays are not, as in TensorFlow Serving.
    """
    tokens = _tokens(value, 0, "")
    text = ""
    while len(text) < DEBUG_LIMIT and (token := next(tokens, None)) is not None:
        text += token
    return text[:DEBUG_LIMIT]


def _tokens(value: object, depth: int, before: str) -> Iterator[str]:
    if isinstance(value, dict):
        yield before + "{"
        for index, (name, item) in enumerate(value.items()):
            yield (",\n" if index else "\n") + _INDENT * (depth + 1) + _scalar(name)
            yield from _tokens(item, depth + 1, ": ")
        yield ("\n" + _INDENT * depth if value else "") + "}"
    elif isinstance(value, list):
        yield before + "["
        for index, item in enumerate(value):
            yield from _tokens(item, depth + 1, ", " if index else "")
        yield "]"
    else:
        yield before + _scalar(value)


def _scalar(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def rows_text(outputs: Mapping[str, Array]) -> str:
    """The answer to `instances`: one prediction a row.

    Raises:
        ServingError: an output has no rows, or another number of rows than the others.
    """
    count = _row_count(outputs)
    columns = {name: _leaf_texts(name, array) for name, array in outputs.items()}
    rows = [
        {
            name: _array_text(_row(columns[name], array, row), array.shape[1:], None)
            for name, array in outputs.items()
        }
        for row in range(count)
    ]
    if len(outputs) == 1:
        # The stray line break is TensorFlow Serving's own.
        values = ", ".join(text for row in rows for text in row.values())
        end = "\n    ]" if rows else "]"
        return '{\n    "predictions": [' + values + end + "\n}"
    objects = ["\n        " + _object_text(row, 2) for row in rows]
    return '{\n    "predictions": [' + ",".join(objects) + ("\n    ]" if rows else "]") + "\n}"


def columns_text(outputs: Mapping[str, Array]) -> str:
    """The answer to `inputs`: whole tensors by name, or the only one bare."""
    if not outputs:
        raise invalid("Cannot convert empty tensor map to JSON")
    depth = 1 if len(outputs) == 1 else 2
    texts = {
        name: _array_text(_leaf_texts(name, array), array.shape, depth)
        for name, array in outputs.items()
    }
    sole = next(iter(texts.values()))
    return _object_text({"outputs": sole if len(texts) == 1 else _object_text(texts, 1)}, 0)


def _row_count(outputs: Mapping[str, Array]) -> int:
    if not outputs:
        raise invalid("Cannot convert empty tensor map to JSON")
    count: int | None = None
    for name, array in outputs.items():
        if not array.ndim:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if count is not None and array.shape[0] != count:
            raise invalid(
                f"Tensor name: {name} has inconsistent batch size: {array.shape[0]} "
                f"expecting: {count}"
            )
        count = array.shape[0]
    return count or 0


def _row(texts: list[str], array: Array, row: int) -> list[str]:
    size = len(texts) // array.shape[0]
    return texts[row * size : (row + 1) * size]


def _object_text(members: Mapping[str, str], depth: int) -> str:
    pad = "\n" + _INDENT * (depth + 1)
    body = ",".join(f"{pad}{_scalar(name)}: {text}" for name, text in members.items())
    return "{" + body + "\n" + _INDENT * depth + "}"


def _array_text(texts: list[str], shape: tuple[int, ...], depth: int | None) -> str:
    """Nested brackets around leaves; spread over lines from a depth on, or all on one (None)."""
    if not shape:
        return texts[0]
    if len(shape) == 1:
        items = texts
    else:
        size = len(texts) // shape[0] if shape[0] else 0
        inner = None if depth is None else depth + 1
        items = [
            _array_text(texts[row * size : (row + 1) * size], shape[1:], inner)
            for row in range(shape[0])
        ]
    if depth is None or not items:
        return "[" + ", ".join(items) + "]"
    pad = "\n" + _INDENT * (depth + 1)
    return "[" + pad + ("," + pad).join(items) + "\n" + _INDENT * depth + "]"


def _leaf_texts(name: str, array: Array) -> list[str]:
    """Every element as JSON, in order."""
    kind = array.dtype.kind
    flat = array.reshape(-1)
    if kind == "f" or array.dtype.name == "bfloat16":
        return _float_texts(flat)
    if kind in "iu":
        return [str(value) for value in flat.tolist()]
    if kind == "b":
        return ["true" if value else "false" for value in flat.tolist()]
    if kind in "OSU":
        return [_string_text(value, name.endswith("_bytes")) for value in flat.tolist()]
    raise invalid(f"Failed to write JSON value for tensor type: {array.dtype.name}")


def _float_texts(flat: Array) -> list[str]:
    """Six digits where they name the same number, else as many as the type can need."""
    wide = flat.dtype.itemsize == 8
    values: list[float] = flat.tolist() if wide else flat.astype(np.float32).tolist()
    texts = [f"{value:.6g}" for value in values]
    with np.errstate(over="ignore"):  # six digits of the largest float are already infinite
        read_back = np.array([float(text) for text in texts], flat.dtype)
    exact = (read_back == flat).tolist()
    digits = 17 if wide else 9
    return [
        _float_text(text if same else f"{value:.{digits}g}")
        for text, value, same in zip(texts, values, exact, strict=True)
    ]


_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def _float_text(text: str) -> str:
    if "." in text or "e" in text:
        return text
    return _NOT_FINITE.get(text) or text + ".0"


def _string_text(value: Any, as_bytes: bool) -> str:
    content = value if isinstance(value, bytes) else str(value).encode()
    if as_bytes:
        return '{"b64": "' + base64.b64encode(content).decode() + '"}'
    return _scalar(content.decode("utf-8", "replace"))
