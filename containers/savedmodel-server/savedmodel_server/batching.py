"""Requests that wait for one another, to run as one batch.

As TensorFlow Serving's batch scheduler does it: a batch is due when it is full or its first request
has waited long enough, and is closed only when a batch thread takes it, so that batches grow while
all threads are busy.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from savedmodel_server.errors import Code, ServingError, invalid
from savedmodel_server.settings import Batching
from savedmodel_server.signature import Array, ServedModel, Signature

Outputs = dict[str, Array]


@dataclass(frozen=True)
class _Task:
    inputs: Mapping[str, Array]
    rows: int
    outputs: Future[Outputs] = field(default_factory=Future)


@dataclass
class _Batch:
    signature: str
    due: float  # time.monotonic()
    tasks: list[_Task] = field(default_factory=list)
    rows: int = 0


class BatchedModel:
    """A model whose `predict` blocks until a batch with its rows has run."""

    def __init__(
        self,
        model: ServedModel,
        batching: Batching,
        threads: int,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        """Start the batch threads; return once each has run `prepare`."""
        self.name = model.name
        self.version = model.version
        self.signatures = model.signatures
        self.metadata = model.metadata
        self.definitions = model.definitions
        self._model = model
        self._batching = batching
        self._changed = threading.Condition()
        self._closed: list[_Batch] = []  # full ones, oldest first
        self._open: dict[Any, _Batch] = {}  # one for each kind of row
        ready = threading.Barrier(threads + 1)
        for number in range(threads):
            threading.Thread(
                target=self._run_batches,
                args=(prepare, ready),
                name=f"batch-{number}",
                daemon=True,
            ).start()
        ready.wait()

    def predict(self, signature: str, inputs: Mapping[str, Array]) -> Outputs:
        """Run one signature, in a batch with other requests of the same kind.

        Raises:
            ServingError: the model refuses the batch, or the rows exceed the largest batch.
        """
        rows = _rows(self.signatures[signature], inputs)
        if rows is None:
            return self._model.predict(signature, inputs)
        if rows > self._batching.max_batch_size:
            raise invalid(
                f"Task size {rows} is larger than maximum input batch size "
                f"{self._batching.max_batch_size}"
            )
        task = _Task(inputs, rows)
        with self._changed:
            self._add(task, signature)
            self._changed.notify()
        return task.outputs.result()

    def _add(self, task: _Task, signature: str) -> None:
        kinds = {name: (array.shape[1:], array.dtype) for name, array in task.inputs.items()}
        key = (signature, *sorted(kinds.items()))
        batch = self._open.get(key)
        if batch and batch.rows + task.rows > self._batching.max_batch_size:
            self._closed.append(self._open.pop(key))
            batch = None
        if batch is None:
            due = time.monotonic() + self._batching.timeout_s
            batch = self._open[key] = _Batch(signature, due)
        batch.tasks.append(task)
        batch.rows += task.rows
        if batch.rows == self._batching.max_batch_size:
            self._closed.append(self._open.pop(key))

    def _run_batches(self, prepare: Callable[[], None] | None, ready: threading.Barrier) -> None:
        try:
            if prepare:
                prepare()
        finally:
            ready.wait()
        while True:
            with self._changed:
                batch = self._next()
            _settle(batch, self._model)

    def _next(self) -> _Batch:
        """Wait for a batch that is full or due, and take it."""
        while True:
            if self._closed:
                return self._closed.pop(0)
            if not self._open:
                self._changed.wait()
                continue
            key, oldest = min(self._open.items(), key=lambda item: item[1].due)
            wait_s = oldest.due - time.monotonic()
            if wait_s <= 0:
                return self._open.pop(key)
            self._changed.wait(wait_s)


def _rows(signature: Signature, inputs: Mapping[str, Array]) -> int | None:
    """How many rows a request brings; None where it cannot be joined with others."""
    if not all(spec.has_open_batch for spec in signature.inputs.values()):
        return None
    if inputs.keys() != signature.inputs.keys() or any(not a.ndim for a in inputs.values()):
        return None
    counts = {array.shape[0] for array in inputs.values()}
    if len(counts) != 1:
        raise invalid("Batching session Run() input tensors must have equal 0th-dimension size")
    return counts.pop() or None


def _settle(batch: _Batch, model: ServedModel) -> None:
    try:
        outputs = _run(batch, model)
    except ServingError as error:
        for task in batch.tasks:
            task.outputs.set_exception(ServingError(error.code, error.message))
        return
    except BaseException as error:  # a bug: its requests must not wait for ever
        for task in batch.tasks:
            task.outputs.set_exception(ServingError(Code.INTERNAL, repr(error)))
        return
    start = 0
    for task in batch.tasks:
        end = start + task.rows
        task.outputs.set_result({name: array[start:end] for name, array in outputs.items()})
        start = end


def _run(batch: _Batch, model: ServedModel) -> Outputs:
    if len(batch.tasks) == 1:
        return model.predict(batch.signature, batch.tasks[0].inputs)
    names = batch.tasks[0].inputs
    joined = {name: np.concatenate([task.inputs[name] for task in batch.tasks]) for name in names}
    outputs = model.predict(batch.signature, joined)
    if any(not array.ndim or array.shape[0] != batch.rows for array in outputs.values()):
        raise invalid(
            "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension "
            "sizes of the input tensors"
        )
    return outputs
