"""A payload as a PredictRequest: read back by TensorFlow's own messages."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from rightsizer.errors import InputError
from rightsizer.payloads import Payload
from rightsizer.tensors import predict_request, tensor_of

pytestmark = pytest.mark.shared_cpus


def payload(body: bytes, kind: str) -> Payload:
    return Payload("it", body, kind)


def npy(array: Any) -> Payload:
    file = io.BytesIO()
    np.save(file, array)
    return payload(file.getvalue(), "application/x-npy")


def read_back(encoded: bytes) -> Any:
    import tensorflow as tf
    from tensorflow.core.framework import tensor_pb2

    return tf.make_ndarray(tensor_pb2.TensorProto.FromString(encoded))


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    "array",
    [
        np.linspace(-1, 1, 24).reshape(2, 3, 4),
        np.arange(300, dtype=np.int32).reshape(300, 1),
        np.array([[1, 2], [3, 4]], order="F"),
        np.array([1.5, -2.0], dtype=">f4"),
        np.array([True, False]),
        np.array(3, dtype=np.uint8),
        np.zeros((0, 224), dtype=np.float16),
        np.array([1 + 2j]),
    ],
)
def test_an_array_arrives_as_it_lies_in_its_file(array):
    found = read_back(tensor_of(npy(array)))
    assert found.dtype == array.dtype.newbyteorder("=")
    assert found.shape == array.shape
    assert (found == array).all()


@pytest.mark.tensorflow
def test_a_file_is_one_row_that_is_a_string():
    found = read_back(tensor_of(payload(b"\xff\xd8" + b"x" * 300, "image/jpeg")))
    assert found.tolist() == [b"\xff\xd8" + b"x" * 300]


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("value", "row"),
    [
        ([[1, 2], [3, 4.5]], np.array([[[1, 2], [3, 4.5]]], np.float32)),
        (7, np.array([7], np.float32)),
        (["a", "ü"], np.array([[b"a", "ü".encode()]], object)),
    ],
)
def test_json_is_one_row_of_floats_or_of_text(value, row):
    found = read_back(tensor_of(payload(json.dumps(value).encode(), "application/json")))
    assert found.dtype == row.dtype
    assert found.tolist() == row.tolist()


def test_the_request_names_model_signature_and_input():
    # A PredictRequest by hand: protobuf's wire format, the field numbers of predict.proto.
    tensor = b"\x08\x07\x12\x04\x12\x02\x08\x01B\x01x"
    assert tensor_of(payload(b"x", "image/jpeg")) == tensor
    assert predict_request("m", "s", "in", tensor) == (
        b"\x0a\x06"
        + b"\x0a\x01m"
        + b"\x1a\x01s"
        + b"\x12\x11"
        + b"\x0a\x02in"
        + b"\x12\x0b"
        + tensor
    )


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (payload(b"[1,", "application/json"), "mend it or its content type"),
        (payload(b"[[1], [1, 2]]", "application/json"), "mend it or its content type"),
        (payload(b'{"a": 1}', "application/json"), "neither numbers alone nor text alone"),
        (payload(b'[1, "a"]', "application/json"), "neither numbers alone nor text alone"),
        (payload(b"null", "application/json"), "neither numbers alone nor text alone"),
        (payload(b"\x93NUMPY cut", "application/x-npy"), "write it with numpy.save"),
        (payload(b"not an array", "application/x-npy"), "write it with numpy.save"),
        (npy(np.array(["a"])), "there is no tensor of <U1"),
    ],
)
def test_a_file_that_is_not_what_it_is_said_to_be_is_refused(given, why):
    with pytest.raises(InputError, match=r"payload it is application/.*, unreadable") as caught:
        tensor_of(given)
    assert why in str(caught.value)
