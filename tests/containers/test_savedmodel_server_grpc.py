"""The running server, over gRPC."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from rightsizer.payloads import Payload
from rightsizer.tensors import predict_request, tensor_of

from .serving import Server, free_port, run_to_end, serving

pytestmark = [pytest.mark.server, pytest.mark.tensorflow, pytest.mark.shared_cpus]

SERVICE = "/tensorflow.serving.PredictionService/"
PREDICT = SERVICE + "Predict"
# Made by tensorflow-serving-api 2.21.0: a = [1, 2] and b = [10, 20] for `add` of version 3 of tiny.
OFFICIAL_REQUEST = base64.b64decode(
    "Cg8KBHRpbnkSAggDGgNhZGQSFwoBYRISCAESBBICCAIiCAAAgD8AAABAEhcKAWISEggDEgQSAggCIggKAAAAFAAAABoD"
    "c3Vt"
)


@dataclass(frozen=True)
class GrpcServer:
    """A running server and a channel to it."""

    http: Server
    channel: grpc.Channel

    def call(self, method: str, content: bytes) -> bytes:
        return bytes(self.channel.unary_unary(method)(content, timeout=30))

    def refusal(self, method: str, content: bytes) -> tuple[str, str]:
        """(status, details)"""
        with pytest.raises(grpc.RpcError) as caught:
            self.call(method, content)
        return caught.value.code().name, caught.value.details()

    def predict(self, **changes: Any) -> dict[str, np.ndarray[Any, Any]]:
        return outputs_of(self.call(PREDICT, request_for(**changes)))


def messages() -> Any:
    from savedmodel_server import grpc_messages

    return grpc_messages


def request_for(
    name: str = "tiny", signature: str = "", version: int | None = None, label: str = "",
    outputs: tuple[str, ...] = (), **inputs: Any,
) -> bytes:  # fmt: skip
    import tensorflow as tf

    request = messages().PredictRequest(output_filter=outputs)
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    request.model_spec.version_label = label
    if version is not None:
        request.model_spec.version.value = version
    for key, value in inputs.items():
        request.inputs[key] = tf.make_tensor_proto(value).SerializeToString()
    return bytes(request.SerializeToString())


def outputs_of(content: bytes) -> dict[str, np.ndarray[Any, Any]]:
    import tensorflow as tf
    from tensorflow.core.framework import tensor_pb2

    response = messages().PredictResponse.FromString(content)
    assert response.model_spec.name
    return {
        name: tf.make_ndarray(tensor_pb2.TensorProto.FromString(value))
        for name, value in response.outputs.items()
    }


@pytest.fixture(scope="module")
def server(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GrpcServer]:
    log = tmp_path_factory.mktemp("grpc") / "log"
    port = free_port()
    more = ["--model-name", "tiny", "--grpc-port", str(port)]
    with (
        serving(models, log, *more) as http,
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        grpc.channel_ready_future(channel).result(10)
        yield GrpcServer(http, channel)


ROW = np.array([[1, 2]], np.float32)


def test_a_request_of_the_official_client_is_answered(server):
    assert outputs_of(server.call(PREDICT, OFFICIAL_REQUEST))["sum"].tolist() == [11, 22]


def test_a_request_of_the_engine_is_answered(models, tmp_path):
    jpeg = Payload("cat", b"\xff\xd8 any bytes \x00" * 1000, "image/jpeg")
    content = predict_request("echo", "serving_default", "content", tensor_of(jpeg))
    port = free_port()
    log = tmp_path / "log"
    with serving(models / "echo", log, TF_SERVING_GRPC_PORT=str(port)):
        assert f"and by gRPC on port {port}" in log.read_text()
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            found = outputs_of(channel.unary_unary(PREDICT)(content, wait_for_ready=True))
    assert found["content_bytes"].tolist() == [jpeg.body]


def test_the_answer_names_model_version_and_signature(server):
    response = messages().PredictResponse.FromString(server.call(PREDICT, request_for(x=ROW)))
    spec = response.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("tiny", 3, "serving_default")


def test_outputs_that_are_not_asked_for_are_left_out(server):
    everything = server.predict(signature="count_rows", x=ROW)
    assert set(everything) == {"rows", "total"}
    assert set(server.predict(signature="count_rows", outputs=("total",), x=ROW)) == {"total"}


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({"name": "other"}, "NOT_FOUND", "Servable not found for request: Latest(other)"),
        ({"name": ""}, "INVALID_ARGUMENT", "ModelSpec has no model name specified."),
        ({"version": 7}, "NOT_FOUND", "Servable not found for request: Specific(tiny, 7)"),
        ({"label": "new"}, "INVALID_ARGUMENT", "Unrecognized servable version label: new"),
        ({"signature": "no"}, "FAILED_PRECONDITION", 'Serving signature key "no" not found.'),
        ({"y": ROW}, "INVALID_ARGUMENT", "Sent extra: {y}. Missing but required: {}."),
        ({"x": None}, "INVALID_ARGUMENT", "Sent extra: {}. Missing but required: {x}."),
        ({"x": ROW.astype("i4")}, "INVALID_ARGUMENT", "Expects arg[0] to be float but int32"),
        ({"outputs": ("z",)}, "INVALID_ARGUMENT", "Outputs expected to be in the set {y}."),
    ],
)
def test_a_request_that_does_not_fit_is_refused_with_the_reason(server, changes, status, said):
    given = {"x": ROW, **changes}
    if given["x"] is None:
        del given["x"]
    refused, details = server.refusal(PREDICT, request_for(**given))
    assert refused == status
    assert said in details


def test_bytes_that_are_no_request_are_refused(server):
    assert server.refusal(PREDICT, b"\xff\xff")[0] == "INTERNAL"
    assert server.refusal(PREDICT, b"") == ("INVALID_ARGUMENT", "Missing ModelSpec")
    assert server.refusal(SERVICE + "Classify", b"")[0] == "UNIMPLEMENTED"
    assert server.predict(x=ROW)["y"].tolist() == [[2, 4]]


def test_requests_above_grpcs_usual_limit_are_taken(server):
    rows = np.ones((2_000_000, 2), np.float32)  # 16 MB
    options = [("grpc.max_receive_message_length", -1)]
    target = server.http.log.read_text().partition("gRPC on port ")[2].split()[0]
    with grpc.insecure_channel(f"127.0.0.1:{target}", options=options) as channel:
        found = outputs_of(channel.unary_unary(PREDICT)(request_for(x=rows), timeout=60))
    assert (found["y"] == 2).all()


def test_the_metadata_is_the_models_signatures(server):
    from tensorflow.core.protobuf import meta_graph_pb2

    request = messages().GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "tiny"
    content = server.call(SERVICE + "GetModelMetadata", request.SerializeToString())
    held = messages().GetModelMetadataResponse.FromString(content).metadata["signature_def"]
    assert held.type_url == "type.googleapis.com/tensorflow.serving.SignatureDefMap"
    signatures = messages().SignatureDefMap.FromString(held.value).signature_def
    add = meta_graph_pb2.SignatureDef.FromString(signatures["add"])
    assert set(add.inputs) == {"a", "b"}
    del request.metadata_field[:]
    refused = server.refusal(SERVICE + "GetModelMetadata", request.SerializeToString())
    assert refused[0] == "INVALID_ARGUMENT"


def test_the_status_is_available(server):
    method = "/tensorflow.serving.ModelService/GetModelStatus"
    request = messages().GetModelStatusRequest()
    request.model_spec.name = "tiny"
    content = server.call(method, request.SerializeToString())
    [status] = messages().GetModelStatusResponse.FromString(content).model_version_status
    assert (status.version, status.state, status.status.error_code) == (3, 30, 0)
    request.model_spec.name = "other"
    assert server.refusal(method, request.SerializeToString()) == (
        "NOT_FOUND", "Could not find any versions of model other",
    )  # fmt: skip


def test_the_server_is_healthy_and_unknown_services_are_not(server):
    method = "/grpc.health.v1.Health/Check"
    assert server.call(method, b"") == b"\x08\x01"  # SERVING
    unknown = messages().HealthCheckRequest(service="other").SerializeToString()
    assert server.refusal(method, unknown)[0] == "NOT_FOUND"


def test_predictions_are_counted_as_those_over_http_are(server):
    before = server.http.get("/stats").document
    server.predict(x=ROW)
    server.refusal(PREDICT, b"")
    server.call("/grpc.health.v1.Health/Check", b"")
    after = server.http.get("/stats").document
    assert after["predictions"] == before["predictions"] + 2
    assert after["in_flight"] == 0


def test_several_processes_share_the_port_and_batches_are_joined(models, tmp_path):
    port = free_port()
    more = ["--model-name", "tiny", "--grpc-port", str(port)]
    variables = {"SAGEMAKER_TFS_INSTANCE_COUNT": "2", "SAGEMAKER_TFS_ENABLE_BATCHING": "true"}

    def one(number: int) -> list[Any]:
        options = [("grpc.use_local_subchannel_pool", 1)]  # a connection of its own
        with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
            call = channel.unary_unary(PREDICT)
            row = np.array([[number, number]], np.float32)
            content = request_for(x=row)
            return [outputs_of(call(content, wait_for_ready=True))["y"].tolist() for _ in range(20)]

    with serving(models, tmp_path / "log", *more, **variables) as server:
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(one, range(8)))
        assert found == [[[[2 * n, 2 * n]]] * 20 for n in range(8)]
        assert server.get("/stats").document["predictions"] == 160


def test_a_port_that_is_taken_ends_the_start_with_a_line(server, models):
    port = server.http.log.read_text().partition("gRPC on port ")[2].split()[0]
    ended = run_to_end(models, "--model-name", "tiny", "--grpc-port", port)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "Address already in use; choose another --grpc-port" in ended.stderr


def test_a_call_in_flight_is_answered_when_the_server_is_told_to_stop(models, tmp_path):
    port = free_port()
    more = ["--model-name", "tiny", "--grpc-port", str(port)]
    variables = {
        "SAGEMAKER_TFS_ENABLE_BATCHING": "true",
        "SAGEMAKER_TFS_BATCH_TIMEOUT_MICROS": "800000",
    }
    with (
        serving(models, tmp_path / "log", *more, **variables) as server,
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        grpc.channel_ready_future(channel).result(10)
        future = channel.unary_unary(PREDICT).future(request_for(x=ROW), timeout=10)
        time.sleep(0.3)
        server.process.terminate()
        assert outputs_of(future.result())["y"].tolist() == [[2, 4]]
        server.process.wait(5)
