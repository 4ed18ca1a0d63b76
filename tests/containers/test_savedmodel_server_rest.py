"""TensorFlow Serving's REST dialect: statuses, bodies and error strings."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
from savedmodel_server import json_text, tfs_rest
from savedmodel_server.errors import Code, ServingError

from .fake_model import FakeModel

PREDICT = "/v1/models/half:predict"


def ask(body: Any, path: str = PREDICT, method: str = "POST") -> tuple[int, Any]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    reply = tfs_rest.answer(FakeModel(), method, path, content)
    assert reply.content_type == "application/json"
    return reply.status, json.loads(reply.body)


def error(body: Any, path: str = PREDICT, method: str = "POST") -> tuple[int, str]:
    status, document = ask(body, path, method)
    assert list(document) == ["error"]
    return status, document["error"]


def named(signature: str, **body: Any) -> dict[str, Any]:
    return {"signature_name": signature, **body}


@pytest.mark.parametrize(
    "path",
    [
        PREDICT,
        "/v1/models/half/versions/123:predict",
        "/V1/MODELS/half:predict",
        "/v1/models/h%61lf:predict",
    ],
)
def test_a_model_is_predicted_by_each_of_its_paths(path: str):
    assert ask({"instances": ["abc", ""]}, path) == (200, {"predictions": [3, 0]})


def test_base64_objects_are_bytes_in_rows_and_in_columns():
    encoded = {"b64": base64.b64encode(b"\x00\xff").decode()}
    assert ask({"instances": [encoded, "a"]}) == (200, {"predictions": [2, 1]})
    assert ask({"inputs": [encoded]}) == (200, {"outputs": [2]})
    assert ask({"inputs": {"content": [encoded]}}) == (200, {"outputs": [2]})
    assert ask({"instances": [{"content": encoded}]}) == (200, {"predictions": [2]})


def test_several_outputs_are_objects_and_byte_outputs_are_base64():
    outputs = {
        "n": np.array([1, 2], np.int64),
        "raw_bytes": np.array([b"\xff", b""], object),
        "text": np.array([b"a", b"b"], object),
    }
    first = {"n": 1, "raw_bytes": {"b64": "/w=="}, "text": "a"}
    second = {"n": 2, "raw_bytes": {"b64": ""}, "text": "b"}
    assert json.loads(json_text.rows_text(outputs)) == {"predictions": [first, second]}
    assert json.loads(json_text.columns_text(outputs))["outputs"]["n"] == [1, 2]


def test_floats_are_read_back_as_the_same_floats():
    values = np.array([0.1, 1 / 3, 1e-42, 3.4028235e38, -0.0, 16777217.0, 2.0], np.float32)
    back = json.loads(json_text.rows_text({"y": values}))["predictions"]
    assert np.array_equal(np.array(back, np.float32), values)
    text = json_text.rows_text({"y": np.array([np.nan, np.inf, -np.inf], np.float32)})
    assert "[NaN, Infinity, -Infinity" in text


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "JSON Parse error: The document is empty"),
        (b"x", "JSON Parse error: Invalid value. at offset: 0"),
        (b'{"instances" 1}', "JSON Parse error: Missing a colon after a name of object member."),
        (b"[1]", "JSON Value: [1] Is not object"),
        ({}, "Missing 'inputs' or 'instances' key"),
        ({"instances": 1}, "Expecting 'instances' to be an list/array"),
        ({"instances": []}, "No values in 'instances' array"),
        (
            {"instances": ["a"], "inputs": ["a"]},
            "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist ",
        ),
        (
            named("double", instances=["abc"]),
            "Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: "
            'JSON Value: "abc" Type: String is not of expected type: float',
        ),
        (named("double", instances=[[1, 2], [1]]), "Expecting tensor size: 2 but got: 1"),
        (
            named("double", instances=[[[1, 2]], [[1], [2]]]),
            "Expecting shape [1,2] but got: [2,1]",
        ),
        (named("nope", instances=[1]), 'Serving signature name: "nope" not found in signature def'),
        (named("add", inputs={"a": [1]}), "Missing named input: b in 'inputs' object."),
        ({"instances": [{"b64": "%"}]}, "Unable to base64 decode"),
        (named("broken", instances=[1.0]), "the graph refuses"),
        ({"signature_name": 1, "instances": [1]}, "'signature_name' key must be a string value."),
    ],
)
def test_a_faulty_body_is_a_400_in_tensorflow_servings_words(body: Any, message: str):
    status, said = error(body)
    assert status == 400
    assert message in said


def test_a_long_faulty_value_is_cut_in_the_message():
    _, said = error(named("double", instances=["x" * 5000]))
    assert len(said) < 500


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("POST", "/v1/models/m:predict", 404, "Servable not found for request: Latest(m)"),
        (
            "POST",
            "/v1/models/half/versions/7:predict",
            404,
            "Servable not found for request: Specific(half, 7)",
        ),
        ("GET", "/v1/models/m", 404, "Could not find any versions of model m"),
        ("GET", "/v1/models/half/versions/7", 404, "Could not find version 7 of model half"),
        ("POST", "/v1/models/half", 400, "Malformed request: POST /v1/models/half"),
        ("GET", PREDICT, 400, f"Malformed request: GET {PREDICT}"),
        ("DELETE", "/v1/models/half", 400, "Malformed request: DELETE /v1/models/half"),
    ],
)
def test_what_does_not_exist_has_tensorflow_servings_status_and_words(
    method: str, path: str, status: int, message: str
):
    assert error({"instances": ["a"]}, path, method) == (status, message)


def test_bad_json_for_an_unknown_model_is_a_400_first():
    assert error(b"x", "/v1/models/m:predict")[0] == 400


def test_the_status_of_the_served_version_is_available():
    version = {
        "version": "123",
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }
    for path in ("/v1/models/half", "/v1/models/half/versions/123"):
        assert ask(b"", path, "GET") == (200, {"model_version_status": [version]})


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (Code.INVALID_ARGUMENT, 400),
        (Code.FAILED_PRECONDITION, 400),
        (Code.OUT_OF_RANGE, 400),
        (Code.NOT_FOUND, 404),
        (Code.RESOURCE_EXHAUSTED, 429),
        (Code.DEADLINE_EXCEEDED, 504),
        (Code.UNAVAILABLE, 503),
        (Code.UNIMPLEMENTED, 501),
        (Code.UNAUTHENTICATED, 401),
        (Code.PERMISSION_DENIED, 403),
        (Code.ALREADY_EXISTS, 409),
        (Code.ABORTED, 409),
        (Code.CANCELLED, 499),
        (Code.INTERNAL, 500),
        (Code.DATA_LOSS, 500),
    ],
)
def test_every_code_has_tensorflow_servings_http_status(code: Code, status: int):
    assert ServingError(code, "").status == status
