"""A model without TensorFlow: answers at once and remembers what it ran."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from savedmodel_server.errors import Code, ServingError
from savedmodel_server.signature import Array, Signature, TensorSpec

SIGNATURES = {
    "serving_default": Signature(
        {"content": TensorSpec("string", (None,))}, {"length": TensorSpec("int32", (None,))}
    ),
    "double": Signature({"x": TensorSpec("float", (None, 2))}, {"y": TensorSpec("float")}),
    "add": Signature(
        {"a": TensorSpec("float", (None,)), "b": TensorSpec("int32", (None,))},
        {"sum": TensorSpec("float", (None,))},
    ),
    "scalar": Signature({"s": TensorSpec("float", ())}, {"t": TensorSpec("float", ())}),
    "broken": Signature({"x": TensorSpec("float", (None,))}, {"y": TensorSpec("float", (None,))}),
}


@dataclass
class FakeModel:
    """`runs` holds the signature and the number of rows of each run."""

    name: str = "half"
    version: int = 123
    signatures: Mapping[str, Signature] = field(default_factory=lambda: SIGNATURES)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    definitions: Mapping[str, bytes] = field(default_factory=dict)
    runs: list[tuple[str, int]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def predict(self, signature: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        first = next(iter(inputs.values()))
        with self.lock:
            self.runs.append((signature, first.shape[0] if first.ndim else 0))
        if signature == "serving_default":
            return {"length": np.array([len(row) for row in inputs["content"]], np.int32)}
        if signature == "double":
            return {"y": inputs["x"] * 2}
        if signature == "add":
            return {"sum": (inputs["a"] + inputs["b"]).astype(np.float32)}
        if signature == "scalar":
            return {"t": inputs["s"]}
        raise ServingError(Code.INVALID_ARGUMENT, "the graph refuses")
