"""First runs, made before the first request: a model's first run of each kind is many times slower.

TensorFlow instantiates a function at its first call, which takes seconds. oneDNN builds its
primitives at the first call of each batch size: below 0.1 s for ResNet50, so that a few sizes stand
for all. Every size up to 32 would take a core minutes.
"""

from __future__ import annotations

import base64
from itertools import count, takewhile

import numpy as np

from savedmodel_server.errors import ServingError
from savedmodel_server.json_leaves import NUMPY_TYPES
from savedmodel_server.settings import Batching
from savedmodel_server.signature import Array, ServedModel, Signature, TensorSpec

# A grey JPEG of 8 x 8 pixels: the string that models of images take.
_JPEG = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABALDA4MChAODQ4SERATGCgaGBYWGDEjJR0oOjM9PDkzODdASFxOQERXRT"
    "c4UG1RV19iZ2hnPk1xeXBkeFxlZ2P/wAALCAAIAAgBAREA/8QAFAABAAAAAAAAAAAAAAAAAAAAAP/EABQQAQAAAAAA"
    "AAAAAAAAAAAAAAD/2gAIAQEAAD8AP//Z"
)
_STRINGS = (_JPEG, b"", b"0", b"{}")


def warm_up(model: ServedModel, batching: Batching | None) -> list[str]:
    """Run every signature at one row, and with batching at 2, 4, 8 ... up to the largest batch.

    Without batching the sizes are the clients' choice, and 1 is what single requests have.

    Returns:
        A line for each signature that refused every input tried, and so stays cold.
    """
    cold = []
    for name, signature in model.signatures.items():
        if not signature.inputs:
            continue  # an initialiser, which clients cannot call
        try:
            _warm_signature(model, name, signature, batching.max_batch_size if batching else 1)
        except ServingError as error:
            cold.append(f"signature {name!r} was not warmed up, it refused: {_short(error)}")
    return cold


def warm_thread(model: ServedModel) -> None:
    """One run of each signature in the calling thread, which has costs of its own."""
    for name, signature in model.signatures.items():
        if signature.inputs:
            try:
                _first_accepted(model, name, signature)
            except ServingError:
                continue  # already reported by warm_up


def _warm_signature(model: ServedModel, name: str, signature: Signature, largest: int) -> None:
    content = _first_accepted(model, name, signature)
    if is_batchable(signature):
        for size in _sizes(largest):
            model.predict(name, _inputs(signature, size, content))


def _sizes(largest: int) -> list[int]:
    """Powers of two above 1, and the largest."""
    powers = takewhile(lambda size: size < largest, (2**n for n in count(1)))
    return [*powers, largest] if largest > 1 else []


def _first_accepted(model: ServedModel, name: str, signature: Signature) -> bytes:
    """The content for string inputs that the signature runs on."""
    refusals = []
    for content in _STRINGS:
        try:
            model.predict(name, _inputs(signature, 1, content))
            return content
        except ServingError as error:
            refusals.append(error)
    raise refusals[0]


def is_batchable(signature: Signature) -> bool:
    """Whether rows of several requests can be joined into one run."""
    return all(spec.has_open_batch for spec in signature.inputs.values())


def _inputs(signature: Signature, size: int, content: bytes) -> dict[str, Array]:
    return {name: _example(spec, size, content) for name, spec in signature.inputs.items()}


def _example(spec: TensorSpec, size: int, content: bytes) -> Array:
    known = (None,) if spec.shape is None else spec.shape
    shape = [1 if dim is None else dim for dim in known]
    if spec.has_open_batch:
        shape[0] = size
    if spec.dtype == "string":
        return np.full(shape, content, dtype=object)
    return np.zeros(shape, dtype=NUMPY_TYPES.get(spec.dtype, np.float16))


def _short(error: ServingError) -> str:
    return " ".join(error.message.split())[:200]
