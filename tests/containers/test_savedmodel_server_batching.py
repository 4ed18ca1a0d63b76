"""How requests are joined, and what is run before the first of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from savedmodel_server.batching import BatchedModel
from savedmodel_server.counts import ANSWERED, INVOCATIONS, PREDICTIONS, Counts
from savedmodel_server.errors import ServingError
from savedmodel_server.settings import Batching
from savedmodel_server.warm_up import warm_up

from .fake_model import SIGNATURES, FakeModel

# Long enough that a batch is closed by its size alone, unless a test waits for it.
LONG_S = 30.0


def rows(*values: float) -> dict[str, np.ndarray]:
    return {"x": np.array([[value, value] for value in values], np.float32)}


def test_requests_that_fill_a_batch_run_together_and_get_their_own_rows():
    model = FakeModel()
    batched = BatchedModel(model, Batching(4, LONG_S), threads=1)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda n: batched.predict("double", rows(n)), range(4)))
    assert model.runs == [("double", 4)]
    assert [answer["y"].tolist() for answer in answers] == [[[2 * n, 2 * n]] for n in range(4)]


def test_a_lone_request_runs_after_the_timeout():
    model = FakeModel()
    batched = BatchedModel(model, Batching(4, 0.01), threads=1)
    assert batched.predict("double", rows(1, 2))["y"].shape == (2, 2)
    assert model.runs == [("double", 2)]


def test_a_refused_batch_refuses_every_request_in_it():
    batched = BatchedModel(FakeModel(), Batching(2, LONG_S), threads=1)

    def ask(_: int) -> str:
        with pytest.raises(ServingError) as refused:
            batched.predict("broken", {"x": np.zeros(1, np.float32)})
        return refused.value.message

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(ask, range(2))) == ["the graph refuses"] * 2


def test_more_rows_than_the_largest_batch_are_refused():
    batched = BatchedModel(FakeModel(), Batching(2, 0.0), threads=1)
    with pytest.raises(ServingError, match="Task size 3 is larger than maximum input batch size 2"):
        batched.predict("double", rows(1, 2, 3))


def test_a_signature_without_rows_is_not_batched():
    model = FakeModel()
    batched = BatchedModel(model, Batching(8, LONG_S), threads=1)
    assert batched.predict("scalar", {"s": np.float32(3)[()] + np.zeros(())}) == {"t": 3}


def test_inputs_of_unequal_length_are_refused_before_they_join_a_batch():
    batched = BatchedModel(FakeModel(), Batching(8, LONG_S), threads=1)
    inputs = {"a": np.zeros(2, np.float32), "b": np.zeros(3, np.int32)}
    with pytest.raises(ServingError, match="must have equal 0th-dimension size"):
        batched.predict("add", inputs)


def test_every_signature_is_run_beforehand_at_batch_sizes_up_to_the_largest():
    model = FakeModel(signatures={name: SIGNATURES[name] for name in ("double", "add", "scalar")})
    assert warm_up(model, Batching(6, 0.0)) == []
    assert set(model.runs) == {
        *(("double", size) for size in (1, 2, 4, 6)),
        *(("add", size) for size in (1, 2, 4, 6)),
        ("scalar", 0),
    }


def test_a_signature_that_refuses_the_warm_up_is_reported_and_does_not_stop_it():
    model = FakeModel(signatures={name: SIGNATURES[name] for name in ("broken", "double")})
    [line] = warm_up(model, None)
    assert line == "signature 'broken' was not warmed up, it refused: the graph refuses"
    assert ("double", 1) in model.runs


def test_counts_add_up_over_the_processes():
    counts = Counts(processes=2)
    for process, kind in ((0, INVOCATIONS), (1, INVOCATIONS), (1, PREDICTIONS), (0, ANSWERED)):
        counts.add(process, kind)
    assert counts.totals() == {
        "requests": 3,
        "invocations": 2,
        "predictions": 1,
        "in_flight": 2,
    }
