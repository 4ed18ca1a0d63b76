"""A model as its clients see it: signatures of named tensors, and a way to run one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

DEFAULT_SIGNATURE = "serving_default"

Array = NDArray[Any]


@dataclass(frozen=True)
class TensorSpec:
    """One named tensor of a signature."""

    dtype: str  # as TensorFlow Serving writes it: float, double, int32, string ...
    shape: tuple[int | None, ...] | None = None  # None: unknown rank; a None in it: any size

    @property
    def has_open_batch(self) -> bool:
        """Whether the first dimension takes any number of rows."""
        return bool(self.shape) and self.shape is not None and self.shape[0] is None


@dataclass(frozen=True)
class Signature:
    """One callable of the model."""

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]

    @property
    def sole_bytes_input(self) -> str | None:
        """The input's name, where it is the only one and takes strings."""
        if len(self.inputs) != 1:
            return None
        ((name, spec),) = self.inputs.items()
        return name if spec.dtype == "string" else None


class ServedModel(Protocol):
    """What the protocols need to know of a model."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def signatures(self) -> Mapping[str, Signature]: ...
    @property
    def metadata(self) -> Mapping[str, Any]:
        """The signature definitions, as TensorFlow Serving's /metadata gives them."""
        ...

    @property
    def definitions(self) -> Mapping[str, bytes]:
        """The same as SignatureDef messages."""
        ...

    def predict(self, signature: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run one signature. Thread-safe.

        Raises:
            ServingError: the model refuses these inputs, or fails.
        """
        ...


def bytes_row(content: bytes) -> Array:
    """One row of a string tensor."""
    row = np.empty(1, dtype=object)
    row[0] = content
    return row
