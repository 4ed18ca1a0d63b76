"""What each protocol sends, when its server is ready, and how its refusals read."""

from __future__ import annotations

import base64
import json

import pytest
from rightsizer.errors import EnvironmentFault, InputError
from rightsizer.payloads import Payload
from rightsizer.protocols import Request, ResponseCheck, error_text, ready_path, request_of
from rightsizer.spec import ServerSpec
from rightsizer.tensors import predict_request, tensor_of

JPEG = Payload("cat.jpg", b"\xff\xd8\xff\xe0 not text", "application/x-image", 2.0)


def server(protocol: str, **more: object) -> ServerSpec:
    return ServerSpec.model_validate({"command": ["{port}"], "protocol": protocol, **more})


def sent(protocol: str, payload: Payload = JPEG, **more: object) -> Request:
    return request_of(server(protocol, **more), [payload])


@pytest.mark.parametrize(
    ("protocol", "more", "path"),
    [
        # raw: the root, unless said otherwise
        ("raw", {}, "/"),
        ("raw", {"request": {"path": "/score?v=1"}}, "/score?v=1"),
        ("sagemaker", {}, "/invocations"),
        ("sagemaker", {"request": {"path": "/other"}}, "/other"),
        # TensorFlow Serving's, by the model's name
        ("tfs-rest", {"request": {"model": "resnet50"}}, "/v1/models/resnet50:predict"),
        ("tfs-rest", {}, "/v1/models/model:predict"),
        ("tfs-rest", {"request": {"path": "/v1/models/m/versions/2:predict", "model": "m"}},
         "/v1/models/m/versions/2:predict"),
        ("tfs-grpc", {"request": {"input": "x"}},
         "/tensorflow.serving.PredictionService/Predict"),
    ],
)  # fmt: skip
def test_each_protocol_has_its_path(protocol, more, path):
    assert sent(protocol, **more).path == path


@pytest.mark.parametrize(
    ("protocol", "more", "path"),
    [
        # raw: whoever accepts a connection is ready
        ("raw", {}, None),
        ("raw", {"ready_path": "/health"}, "/health"),
        ("sagemaker", {}, "/ping"),
        ("sagemaker", {"ready_path": "/ready"}, "/ready"),
        ("tfs-rest", {"request": {"model": "resnet50"}}, "/v1/models/resnet50"),
        ("tfs-rest", {}, "/v1/models/model"),
        # its port answers no GET: the first probe tells
        ("tfs-grpc", {"request": {"input": "x"}}, None),
    ],
)
def test_each_protocol_has_its_way_to_say_that_it_is_ready(protocol, more, path):
    assert ready_path(server(protocol, **more)) == path


@pytest.mark.parametrize("protocol", ["raw", "sagemaker"])
def test_raw_and_sagemaker_send_the_file_as_it_is(protocol):
    (body,) = sent(protocol).bodies
    assert (body.name, body.content, body.content_type, body.weight) == (
        "cat.jpg",
        JPEG.body,
        "application/x-image",
        2.0,
    )


def test_tfs_rest_sends_bytes_as_the_named_input_of_one_instance():
    (body,) = sent("tfs-rest", request={"input": "image_bytes", "signature": "jpeg"}).bodies
    assert (body.name, body.content_type, body.weight) == ("cat.jpg", "application/json", 2.0)
    assert json.loads(body.content) == {
        "signature_name": "jpeg",
        "instances": [{"image_bytes": {"b64": base64.b64encode(JPEG.body).decode()}}],
    }


def test_tfs_rest_without_an_inputs_name_sends_the_bare_value():
    (body,) = sent("tfs-rest").bodies
    assert json.loads(body.content) == {
        "signature_name": "serving_default",
        "instances": [{"b64": base64.b64encode(JPEG.body).decode()}],
    }


def test_tfs_rest_sends_json_files_as_values():
    payload = Payload("row.json", b"[1.5, 2]", "application/json")
    (body,) = sent("tfs-rest", payload, request={"input": "x"}).bodies
    assert json.loads(body.content)["instances"] == [{"x": [1.5, 2]}]


def test_tfs_rest_refuses_a_json_file_that_is_none_by_its_name():
    payload = Payload("row.json", b"[1.5,", "application/json")
    with pytest.raises(InputError) as caught:
        sent("tfs-rest", payload)
    assert str(caught.value).startswith(
        "payload row.json is application/json but cannot be parsed: Expecting value"
    )


def test_every_payload_becomes_one_body_in_their_order():
    payloads = [Payload(name, name.encode(), "text/plain", i) for i, name in enumerate("bca", 1)]
    bodies = request_of(server("raw"), payloads).bodies
    assert [(body.name, body.content, body.weight) for body in bodies] == [
        ("b", b"b", 1),
        ("c", b"c", 2),
        ("a", b"a", 3),
    ]


def test_method_headers_and_timeout_are_the_specs():
    request = sent(
        "raw",
        request={"method": "PUT", "headers": {"X-Key": "1"}},
        request_timeout_s=2.5,
    )
    assert (request.method, request.headers, request.timeout_s) == ("PUT", {"X-Key": "1"}, 2.5)
    assert sent("raw").method == "POST"


# -- the response check ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("protocol", "response", "size", "refused"),
    [
        # an empty 200 of a model server is no answer
        ("sagemaker", {}, 0, True),
        ("sagemaker", {}, 1, False),
        ("tfs-rest", {}, 0, True),
        # of a server nobody knows it may be one
        ("raw", {}, 0, False),
        # unless the spec says so
        ("raw", {"min_bytes": 1}, 0, True),
        ("sagemaker", {"min_bytes": 0}, 0, False),
        # the bounds themselves are accepted
        ("raw", {"min_bytes": 10, "max_bytes": 20}, 9, True),
        ("raw", {"min_bytes": 10, "max_bytes": 20}, 10, False),
        ("raw", {"min_bytes": 10, "max_bytes": 20}, 20, False),
        ("raw", {"min_bytes": 10, "max_bytes": 20}, 21, True),
        # nothing but an empty reply
        ("raw", {"max_bytes": 0}, 1, True),
        ("raw", {"max_bytes": 0}, 0, False),
    ],
)
def test_the_response_check_refuses_by_length(protocol, response, size, refused):
    assert (size not in sent(protocol, response=response).check.sizes) is refused


def test_the_text_that_replies_must_contain_travels_with_the_check():
    assert sent("raw", response={"contains": "predictions"}).check == ResponseCheck(
        min_bytes=0, max_bytes=None, contains="predictions"
    )


# -- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "text"),
    [
        # TensorFlow Serving's and SageMaker's form
        (b'{"error": "Servable not found for request: Latest(m)"}',
         "Servable not found for request: Latest(m)"),
        # on one line
        (b'{"error": "Traceback:\\n  line 1\\n  line 2"}', "Traceback: line 1 line 2"),
        # an `error` that is no text: the whole body
        (b'{"error": {"code": 3}}', '{"error": {"code": 3}}'),
        (b'["error"]', '["error"]'),
        # not JSON at all
        (b"<html>\n <b>502</b>\r\n</html>", "<html> <b>502</b> </html>"),
        # nothing to say
        (b"", "(empty body)"),
        (b" \n\t", "(empty body)"),
        (b'{"error": ""}', "(empty body)"),
        # bytes that are no text, and escapes that would steer a terminal
        (b"\xff\x00ok", "\ufffd ok"),
        (b"\x1b[31mred\x1b[0m", "[31mred [0m"),
        # brackets without end
        (b"[" * 100_000, "[" * 300),
    ],
)  # fmt: skip
def test_what_a_refusing_reply_says_is_one_line(body, text):
    assert error_text(body) == text


def test_a_long_refusal_is_cut():
    assert error_text(b"x" * 10_000) == "x" * 300
    assert error_text(json.dumps({"error": "y" * 10_000}).encode(), limit=20) == "y" * 20


def test_a_grpc_request_is_the_payload_in_the_named_input(monkeypatch):
    asked = {"request": {"model": "resnet50", "input": "image"}}
    request = sent("tfs-grpc", **asked)
    assert request.grpc
    assert request.check.min_bytes == 1
    [body] = request.bodies
    assert body.content == predict_request("resnet50", "serving_default", "image", tensor_of(JPEG))
    assert (body.name, body.weight) == ("cat.jpg", 2.0)
    assert not sent("raw").grpc


def test_without_its_client_tfs_grpc_says_what_to_install(monkeypatch):
    monkeypatch.setattr("rightsizer.protocols.find_spec", lambda name: None)
    with pytest.raises(EnvironmentFault, match=r"pip install 'rightsizer\[grpc\]'"):
        sent("tfs-grpc", request={"input": "image"})
    assert sent("tfs-rest").bodies
